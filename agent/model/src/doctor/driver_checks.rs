//! Faults of the kernel driver: another one has the GPU, or NVIDIA's is not built, not allowed, not loaded, not the right one.

use super::doctor_facts::{DoctorFacts, Setting};
use super::rule::{Check, Hit, Ruled, Severity, Skipped, hit_if, known, only_if};
use super::view::{each, is_on};
use crate::mig::MigMaster;
use crate::pci::{VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};
use crate::version::upstream;
use std::collections::BTreeSet;

pub(super) const CHECKS: [Check; 17] = [
    Check {
        code: "mig_second_master",
        severity: Severity::Hint,
        why: "it rebuilds MIG layouts at each boot or label: gpuhostd brings no layout back beside it, and follows no desired MIG layout",
        cure: "if gpuhostd is to manage MIG, stop it; if not, leave gpus[].mig out of the desired state",
        rule: mig_masters,
    },
    Check {
        code: "nouveau_bound",
        severity: Severity::Error,
        why: "nouveau is bound to the GPU: NVIDIA's driver, CUDA and containers cannot use it",
        cure: "`printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' > /etc/modprobe.d/blacklist-nouveau.conf && \
               update-initramfs -u` (`dracut -f` on rpm distributions), install NVIDIA's driver, reboot",
        rule: |facts| bound_to(facts, &["nouveau"]),
    },
    Check {
        code: "nova_bound",
        severity: Severity::Error,
        why: "the nova driver is bound to the GPU: NVIDIA's driver, CUDA and containers cannot use it",
        cure: "`printf 'blacklist nova_core\\nblacklist nova_drm\\n' > /etc/modprobe.d/blacklist-nova.conf && \
               update-initramfs -u` (`dracut -f` on rpm distributions), install NVIDIA's driver, reboot",
        rule: |facts| bound_to(facts, &["nova", "nova_core", "nova-core", "NovaCore"]),
    },
    Check {
        code: "driver_not_installed",
        severity: Severity::Error,
        why: "without a driver there is no CUDA: the GPU cannot be used",
        cure: "Ubuntu: `ubuntu-drivers install --gpgpu`; Debian: `apt install nvidia-driver` (component non-free); else \
               NVIDIA's package for the distribution",
        rule: not_installed,
    },
    Check {
        code: "kernel_headers_missing",
        severity: Severity::Error,
        why: "NVIDIA's module cannot be built for this kernel without its headers",
        cure: "`apt install linux-headers-{} && dkms autoinstall` (rpm: `dnf install kernel-devel-{}`), then `modprobe nvidia`",
        rule: no_headers,
    },
    Check {
        code: "module_not_built",
        severity: Severity::Error,
        why: "NVIDIA's driver is installed, and its module is not built for the running kernel",
        cure: "`dkms autoinstall -k {}`, then `modprobe nvidia`; /var/lib/dkms/nvidia*/*/build/make.log shows what failed",
        rule: not_built,
    },
    Check {
        code: "secure_boot_rejects_module",
        severity: Severity::Error,
        why: "Secure Boot lets the kernel load only modules with a key that it knows",
        cure: "enrol the key that signed it: `mokutil --import /var/lib/shim-signed/mok/MOK.der` (dkms: /var/lib/dkms/mok.pub), \
               reboot and confirm; or install the distribution's signed modules",
        rule: rejected,
    },
    Check {
        code: "module_blacklisted",
        severity: Severity::Error,
        why: "a setting keeps the kernel from loading NVIDIA's module",
        cure: "remove the line from {}, then `update-initramfs -u && modprobe nvidia`",
        rule: blacklisted,
    },
    Check {
        code: "module_not_loaded",
        severity: Severity::Error,
        why: "the module is installed but not loaded: no NVIDIA GPU works",
        cure: "`modprobe nvidia`; where it fails `dmesg | tail -30` shows why",
        rule: not_loaded,
    },
    Check {
        code: "gpu_without_driver",
        severity: Severity::Error,
        why: "the driver is loaded and serves other GPUs, or none, but not this one",
        cure: "`dmesg | grep {}` shows why; `echo {} > /sys/bus/pci/drivers_probe` makes the kernel try again",
        rule: without_driver,
    },
    Check {
        code: "open_modules_required",
        severity: Severity::Error,
        why: "this GPU works only with the open flavour of NVIDIA's modules (or only with an older driver)",
        cure: "install the flavour that the line names: `nvidia-open` for new GPUs, a legacy branch for old ones; then reboot",
        rule: wrong_flavour,
    },
    Check {
        code: "firmware_missing",
        severity: Severity::Error,
        why: "the driver needs a firmware file and gave up the GPU without it",
        cure: "install the firmware (`apt install firmware-amd-graphics firmware-misc-nonfree`, `dnf install linux-firmware`), \
               `update-initramfs -u`, reboot",
        rule: firmware,
    },
    Check {
        code: "driver_version_mismatch",
        severity: Severity::Error,
        why: "module and libraries differ: every NVML and CUDA call fails with 'Driver/library version mismatch'",
        cure: "stop what uses the GPUs, `rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia && modprobe nvidia`, or reboot",
        rule: mismatch,
    },
    Check {
        code: "two_driver_installations",
        severity: Severity::Warning,
        why: "two installations overwrite each other's libraries: the next upgrade causes a version mismatch",
        cure: "keep one: `nvidia-uninstall` removes that of NVIDIA's installer, `apt purge '*nvidia*'` that of the packages",
        rule: two_installations,
    },
    Check {
        code: "driver_upgrades_by_itself",
        severity: Severity::Warning,
        why: "an upgrade at night replaces the libraries under the loaded module, and all GPUs fail until the reboot",
        cure: "`apt-mark hold {}`, or add \"nvidia-\" and \"libnvidia-\" to Unattended-Upgrade::Package-Blacklist",
        rule: upgrades,
    },
    Check {
        code: "reboot_required",
        severity: Severity::Hint,
        why: "installed updates take effect only after a reboot",
        cure: "move the workloads to another host, then `systemctl reboot`",
        rule: reboot,
    },
    Check {
        code: "no_render_node",
        severity: Severity::Warning,
        why: "GPUs of AMD and Intel are given to containers as render nodes; this one has none",
        cure: "`ls /sys/bus/pci/devices/{}/drm` and `dmesg | grep {}` show what the driver offers; is the driver for display only?",
        rule: no_render_node,
    },
];

fn bound_to(facts: &DoctorFacts, drivers: &[&str]) -> Ruled {
    each(facts.nvidia_gpus()?, |gpu| {
        let name = drivers.iter().find(|name| is_on(gpu, name))?;
        Some(Hit::of(gpu.address, format!("/sys/bus/pci/devices/{}/driver is {name}", gpu.address)))
    })
}

/// Why no module of NVIDIA's is loaded. The first cause that holds is the only one that is reported.
#[derive(Debug, PartialEq, Eq)]
enum Unloaded {
    NotInstalled,
    NoHeaders(String),
    NotBuilt(String),
    Rejected(String),
    Blacklisted(Setting),
    Idle(String),
}

fn unloaded(facts: &DoctorFacts) -> Result<Unloaded, Skipped> {
    facts.orphans()?;
    only_if(!facts.is_loaded("nvidia")? && facts.nvidia.container_driver.get() != Some(true))?;
    let Some(file) = facts.kernel.nvidia_module_file.known() else {
        only_if(facts.kernel.nvidia_module_file.is_none())?;
        let installed = !known(&facts.nvidia.libraries, "the driver's libraries")?.is_empty();
        let release = facts.host.host.kernel.known().cloned().unwrap_or_else(|| "$(uname -r)".to_owned());
        let headers = facts.kernel.headers.get() != Some(false);
        return Ok(match (installed, headers) {
            (false, _) => Unloaded::NotInstalled,
            (true, false) => Unloaded::NoHeaders(release),
            (true, true) => Unloaded::NotBuilt(release),
        });
    };
    if let Some(line) = rejection(facts) {
        return Ok(Unloaded::Rejected(line));
    }
    Ok(forbidding(facts).map_or_else(|| Unloaded::Idle(file.clone()), Unloaded::Blacklisted))
}

fn rejection(facts: &DoctorFacts) -> Option<String> {
    let words = ["Key was rejected", "unsigned module", "Required key not available", "module signature"];
    let mut log = facts.kernel.log.known()?.iter().rev();
    let refused = |line: &&String| {
        let speaks_of_another = line.contains("module ") && !line.to_ascii_lowercase().contains("nvidia");
        words.iter().any(|word| line.contains(word))
            && (line.contains("ejected") || line.contains("not available"))
            && !speaks_of_another
    };
    log.find(refused).map(|line| line.trim().to_owned())
}

fn forbidding(facts: &DoctorFacts) -> Option<Setting> {
    let forbids = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("blacklist"), Some("nvidia"), None) => true,
            (Some("install"), Some("nvidia"), Some(what)) => what.ends_with("/false") || what.ends_with("/true"),
            _ => false,
        }
    };
    let in_files = facts.kernel.modprobe.known().into_iter().flatten().find(|setting| forbids(&setting.line)).cloned();
    in_files.or_else(|| {
        let is_it = |word: &str| {
            let list = word.strip_prefix("module_blacklist=").or_else(|| word.strip_prefix("modprobe.blacklist="));
            list.is_some_and(|list| list.split(',').any(|module| module == "nvidia"))
        };
        let word = facts.on_cmdline(is_it).ok().flatten()?;
        Some(Setting { file: "the kernel command line".to_owned(), line: word.to_owned() })
    })
}

fn not_installed(facts: &DoctorFacts) -> Ruled {
    only_if(unloaded(facts)? == Unloaded::NotInstalled)?;
    each(facts.orphans()?, |gpu| {
        Some(Hit::of(gpu.address, "no driver is bound, and neither a module nor a library of NVIDIA's is installed"))
    })
}

fn no_headers(facts: &DoctorFacts) -> Ruled {
    let Unloaded::NoHeaders(release) = unloaded(facts)? else { return Ok(Vec::new()) };
    let found = format!("neither /lib/modules/{release}/build nor a module of NVIDIA's exists");
    Ok(vec![Hit::of(release, found)])
}

fn not_built(facts: &DoctorFacts) -> Ruled {
    let Unloaded::NotBuilt(release) = unloaded(facts)? else { return Ok(Vec::new()) };
    let found = format!("there is no nvidia.ko under /lib/modules/{release}");
    Ok(vec![Hit::of(release, found)])
}

fn rejected(facts: &DoctorFacts) -> Ruled {
    let Unloaded::Rejected(line) = unloaded(facts)? else { return Ok(Vec::new()) };
    let state = match facts.kernel.secure_boot.get() {
        Some(true) => "Secure Boot is on",
        Some(false) => "Secure Boot is off, the kernel is locked down",
        None => "Secure Boot's state is not known",
    };
    Ok(vec![Hit::of("nvidia", format!("{state}; the kernel log has: {line}"))])
}

fn blacklisted(facts: &DoctorFacts) -> Ruled {
    let Unloaded::Blacklisted(setting) = unloaded(facts)? else { return Ok(Vec::new()) };
    Ok(vec![Hit::of(setting.file, setting.line)])
}

fn not_loaded(facts: &DoctorFacts) -> Ruled {
    let Unloaded::Idle(file) = unloaded(facts)? else { return Ok(Vec::new()) };
    Ok(vec![Hit::of("nvidia", format!("{file} exists and is not loaded"))])
}

/// Where the cause is known its own check reports it.
fn without_driver(facts: &DoctorFacts) -> Ruled {
    let is_known = |ruled: Ruled| ruled.is_ok_and(|hits| !hits.is_empty());
    only_if(!is_known(wrong_flavour(facts)) && !is_known(firmware(facts)))?;
    only_if(facts.on_cmdline(|word| word == "nomodeset")?.is_none())?;
    let (nvidia, amdgpu) = (facts.is_loaded("nvidia")?, facts.is_loaded("amdgpu")?);
    each(&facts.scan()?.gpus, |gpu| {
        let loaded = match gpu.id.vendor {
            VENDOR_NVIDIA => nvidia,
            VENDOR_AMD => amdgpu,
            _ => false,
        };
        let orphan = gpu.driver.is_none() && gpu.driver_override.known().is_none();
        (loaded && orphan).then(|| Hit::of(gpu.address, "its driver's module is loaded, and no driver is bound"))
    })
}

fn wrong_flavour(facts: &DoctorFacts) -> Ruled {
    facts.nvidia_gpus()?;
    let words = ["requires use of the NVIDIA open kernel modules", "Legacy drivers", "is not supported by the NVIDIA"];
    let log = facts.log()?;
    let last = log.iter().rev().find(|line| line.contains("NVRM") && words.iter().any(|word| line.contains(word)));
    // A later driver may have taken the GPU.
    only_if(
        facts
            .nvidia_gpus()?
            .iter()
            .any(|gpu| gpu.driver.is_none() || !facts.host.reports.iter().any(|(_, said)| said.is_ok())),
    )?;
    Ok(last.map(|line| Hit::of("nvidia", line.trim())).into_iter().collect())
}

fn firmware(facts: &DoctorFacts) -> Ruled {
    let log = facts.log()?;
    each(&facts.scan()?.gpus, |gpu| {
        only_if(gpu.driver.is_none() && [VENDOR_AMD, VENDOR_INTEL].contains(&gpu.id.vendor)).ok()?;
        let address = gpu.address.to_string();
        let line =
            log.iter().rev().find(|line| line.contains(&address) && line.contains("Direct firmware load for"))?;
        Some(Hit::of(gpu.address, line.trim()))
    })
}

fn mismatch(facts: &DoctorFacts) -> Ruled {
    let module = known(&facts.kernel.nvidia_module, "/sys/module/nvidia/version")?;
    // A driver container brings libraries of its own.
    only_if(facts.nvidia.container_driver.get() != Some(true))?;
    let libraries = known(&facts.nvidia.libraries, "the driver's libraries")?;
    let current: Vec<_> = libraries.iter().filter(|library| library.current).collect();
    only_if(!current.is_empty())?;
    let wrong = current.iter().filter(|library| library.version != *module);
    let hits = wrong.map(|library| {
        Hit::of(&library.path, format!("the loaded module is {module}, the library {}", library.version))
    });
    Ok(hits.collect())
}

fn two_installations(facts: &DoctorFacts) -> Ruled {
    let libraries = known(&facts.nvidia.libraries, "the driver's libraries")?;
    let versions: BTreeSet<&str> = libraries.iter().map(|library| library.version.as_str()).collect();
    let packaged = facts.nvidia.packages.known().is_some_and(|packages| packages.iter().any(|p| is_driver(&p.name)));
    if versions.len() > 1 {
        let list: Vec<_> = libraries.iter().map(|library| library.path.as_str()).collect();
        return Ok(vec![Hit::of("libnvidia-ml.so.1", format!("several versions are installed: {}", list.join(", ")))]);
    }
    let both = packaged && facts.nvidia.runfile.get() == Some(true);
    hit_if(both, || Hit::of("/usr/bin/nvidia-uninstall", "NVIDIA's installer was used beside the packages"))
}

/// A package that holds libraries or modules of the driver.
fn is_driver(name: &str) -> bool {
    let libraries =
        ["libnvidia-compute", "libnvidia-ml", "nvidia-driver", "nvidia-headless", "nvidia-dkms", "nvidia-kernel"];
    libraries.iter().any(|prefix| name.starts_with(prefix))
}

fn upgrades(facts: &DoctorFacts) -> Ruled {
    facts.nvidia_gpus()?;
    only_if(*known(&facts.nvidia.auto_upgrades, "apt's settings")?)?;
    let packages = known(&facts.nvidia.packages, "the list of packages")?;
    let excepted = |name: &str| {
        let matches =
            |pattern: &String| name.starts_with(pattern.trim_start_matches('^').trim_end_matches([':', '*', '.', '$']));
        facts.nvidia.upgrade_exceptions.iter().any(matches)
    };
    let free = packages.iter().filter(|package| is_driver(&package.name) && !package.held && !excepted(&package.name));
    let names: Vec<&str> = free.clone().map(|package| package.name.as_str()).collect();
    let version = free.clone().next().map(|package| upstream(&package.version)).unwrap_or_default();
    hit_if(!names.is_empty(), || {
        Hit::of(names.join(" "), format!("{version} is neither held nor excluded, and unattended-upgrades is enabled"))
    })
}

fn reboot(facts: &DoctorFacts) -> Ruled {
    let packages = known(&facts.kernel.reboot_required, "/run/reboot-required.pkgs")?;
    let matter = packages.iter().filter(|name| name.starts_with("linux-") || name.contains("nvidia"));
    let names: Vec<&str> = matter.map(String::as_str).collect();
    hit_if(!names.is_empty(), || Hit::of("/run/reboot-required.pkgs", names.join(", ")))
}

fn no_render_node(facts: &DoctorFacts) -> Ruled {
    each(&facts.scan()?.gpus, |gpu| {
        let serves = ["amdgpu", "i915", "xe"].into_iter().find(|name| is_on(gpu, name))?;
        gpu.drm
            .render
            .is_none()
            .then(|| Hit::of(gpu.address, format!("{serves} is bound, but there is no renderD node")))
    })
}

fn mig_masters(facts: &DoctorFacts) -> Ruled {
    let hit = |master: &MigMaster| Hit::of("MIG", format!("{master} sets MIG layouts")).cure(master.remedy());
    Ok(facts.host.host.mig_masters.iter().map(hit).collect())
}
