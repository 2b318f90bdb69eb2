//! Faults behind the loaded driver: NVML and nvidia-smi, device nodes, persistence, fabric manager, lost GPUs.

use super::doctor_facts::{DeviceNode, DoctorFacts};
use super::rule::{Check, Hit, Ruled, Severity, hit_if, known, only_if};
use super::view::{each, is_on_vfio};
use crate::driver::ProbeError;
use crate::smi::remedy;
use crate::verdict_reasons::{Ailment, ailments};
use crate::version::{numbers, upstream};

pub(super) const CHECKS: [Check; 15] = [
    Check {
        code: "driver_hangs",
        severity: Severity::Error,
        why: "the driver does not answer; every program that uses it hangs too",
        cure: "`dmesg | grep -iE 'NVRM|Xid'` shows why, `ps -eo pid,stat,wchan,comm | grep ' D'` who waits; often only a \
               reboot helps",
        rule: hangs,
    },
    Check {
        code: "nvml_fails",
        severity: Severity::Error,
        why: "the module is loaded and NVML does not work: no program can use the GPUs",
        cure: "`nvidia-smi` by hand; `dmesg | grep -iE 'NVRM|Xid'` shows more",
        rule: fails,
    },
    Check {
        code: "nvidia_smi_missing",
        severity: Severity::Warning,
        why: "the kernel modules of the driver are loaded, but its programs and libraries are missing",
        cure: "install the user space of the loaded module's version (`cat /sys/module/nvidia/version`): `nvidia-utils-*`, \
               `nvidia-smi`",
        rule: smi_missing,
    },
    Check {
        code: "gpu_not_listed",
        severity: Severity::Error,
        why: "the driver is bound to the GPU but could not initialise it",
        cure: "`dmesg | grep -iE 'NVRM|Xid|{}'` shows why; a power cycle of the machine is the next step",
        rule: not_listed,
    },
    Check {
        code: "gpu_lost",
        severity: Severity::Error,
        why: "the GPU fell off the bus",
        cure: "`dmesg | grep -iE 'Xid|AER|{}'`; a reboot or a power cycle brings it back; check power and seating",
        rule: |facts| unhealthy(facts, Ailment::GpuLost, "the driver reports: GPU is lost"),
    },
    Check {
        code: "gpu_requires_reset",
        severity: Severity::Error,
        why: "the driver refuses work on this GPU until it is reset",
        cure: "stop what uses it, `nvidia-smi --gpu-reset -i {}`; where that is refused, reboot",
        rule: |facts| unhealthy(facts, Ailment::ResetRequired, "the driver reports: reset required"),
    },
    Check {
        code: "xid_logged",
        severity: Severity::Warning,
        why: "the driver reported an error of hardware or firmware since boot",
        cure: "look up the number (docs.nvidia.com/deploy/xid-errors), drain the GPU and reset it: `nvidia-smi --gpu-reset -i {}`",
        rule: xid,
    },
    Check {
        code: "uvm_unreachable",
        severity: Severity::Error,
        why: "CUDA needs nvidia_uvm and its device; nothing on this host loads it",
        cure: "`modprobe nvidia-uvm && nvidia-modprobe -u -c=0`; for each boot: `echo nvidia-uvm > /etc/modules-load.d/nvidia-uvm.conf`",
        rule: uvm,
    },
    Check {
        code: "device_nodes_missing",
        severity: Severity::Error,
        why: "programs and containers reach the driver through these devices",
        cure: "`nvidia-modprobe -c=0` makes them (`-c=N` for GPU N); check the udev rules of the driver's packages",
        rule: nodes_missing,
    },
    Check {
        code: "device_nodes_mode",
        severity: Severity::Warning,
        why: "users and containers may not open the GPU",
        cure: "`chmod 666 {}`, and look for the udev rule or umask that set it; the driver wants the mode of NVreg_DeviceFileMode",
        rule: nodes_mode,
    },
    Check {
        code: "persistence_off",
        severity: Severity::Hint,
        why: "the GPU is initialised again at each first use: this takes seconds, and settings are lost",
        cure: "`systemctl enable --now nvidia-persistenced`, or `nvidia-smi -i {} -pm 1`",
        rule: persistence,
    },
    Check {
        code: "persistenced_failed",
        severity: Severity::Warning,
        why: "the service that keeps the GPUs initialised has failed",
        cure: "`systemctl status {}`, `journalctl -u {} -b`",
        rule: persistenced,
    },
    Check {
        code: "fabric_manager_missing",
        severity: Severity::Error,
        why: "with NVSwitches CUDA starts only after the fabric manager has set them up (error 802)",
        cure: "install it in the driver's version: `apt install nvidia-fabricmanager-BRANCH`, `systemctl enable --now nvidia-fabricmanager`",
        rule: fabric_missing,
    },
    Check {
        code: "fabric_manager_stopped",
        severity: Severity::Error,
        why: "with NVSwitches CUDA starts only after the fabric manager has set them up (error 802)",
        cure: "`systemctl enable --now {}`; where it fails `journalctl -u {} -b` shows why",
        rule: fabric_stopped,
    },
    Check {
        code: "fabric_manager_version",
        severity: Severity::Error,
        why: "the fabric manager works only with a driver of exactly its own version",
        cure: "install the same version of both, `systemctl restart nvidia-fabricmanager`",
        rule: fabric_version,
    },
];

/// Xids of hardware and firmware; those that a program can cause by itself (13, 31, 43, 45 …) are none of a host's faults.
const XIDS: [u32; 15] = [48, 62, 64, 74, 79, 92, 95, 110, 119, 120, 136, 140, 143, 149, 154];

fn hangs(facts: &DoctorFacts) -> Ruled {
    let hung = |fault: &ProbeError| matches!(fault, ProbeError::Timeout { .. } | ProbeError::Stuck { .. });
    let hits = facts.probe_faults().filter(|(_, fault)| hung(fault));
    let hits = hits.map(|(source, fault)| Hit::of(source.code(), fault.to_string()));
    Ok(hits.collect())
}

/// One that answered makes up for another that failed. A version mismatch has a check of its own.
fn fails(facts: &DoctorFacts) -> Ruled {
    facts.served()?;
    only_if(facts.report().is_err())?;
    let told = |fault: &ProbeError| match fault {
        ProbeError::Failed { said, .. } => !said.contains("version mismatch"),
        ProbeError::Crashed { .. } | ProbeError::Garbled { .. } => true,
        ProbeError::NotAsked { .. }
        | ProbeError::Absent { .. }
        | ProbeError::Timeout { .. }
        | ProbeError::Stuck { .. }
        | ProbeError::HandUnavailable { .. } => false,
    };
    let first = facts.probe_faults().find(|(_, fault)| told(fault));
    let hit = |(source, fault): (crate::driver::DriverSource, &ProbeError)| {
        let hit = Hit::of(source.code(), fault.to_string());
        match remedy(&fault.to_string()) {
            Some(cure) => hit.cure(cure),
            None => hit,
        }
    };
    Ok(first.map(hit).into_iter().collect())
}

fn smi_missing(facts: &DoctorFacts) -> Ruled {
    facts.served()?;
    only_if(facts.report().is_err() && facts.probe_faults().count() > 0)?;
    let all_absent = facts
        .probe_faults()
        .all(|(_, fault)| matches!(fault, ProbeError::Absent { .. } | ProbeError::HandUnavailable { .. }));
    hit_if(all_absent, || Hit::of("nvidia-smi, libnvidia-ml.so.1", "neither was found"))
}

fn not_listed(facts: &DoctorFacts) -> Ruled {
    let report = facts.report()?;
    each(facts.served()?, |gpu| {
        let listed = report.gpus.iter().any(|said| said.address == gpu.address);
        let address = gpu.address.to_string();
        let line =
            || facts.kernel.log.known()?.iter().rev().find(|l| l.contains("RmInitAdapter") && l.contains(&address));
        let found =
            || line().map_or("nvidia is bound, but NVML does not list it".to_owned(), |line| line.trim().to_owned());
        (!listed).then(|| Hit::of(gpu.address, found()))
    })
}

fn unhealthy(facts: &DoctorFacts, ailment: Ailment, found: &str) -> Ruled {
    let gpus = facts.report()?.gpus.iter().filter(|gpu| ailments(gpu).contains(&ailment));
    Ok(gpus.map(|gpu| Hit::of(gpu.address, found)).collect())
}

/// `NVRM: Xid (PCI:0000:41:00): 79, pid=…`.
fn xid_of(line: &str) -> Option<(&str, u32)> {
    let (_, rest) = line.split_once("Xid (PCI:")?;
    let (place, rest) = rest.split_once("): ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((place, digits.parse().ok()?))
}

fn xid(facts: &DoctorFacts) -> Ruled {
    let log = facts.log()?;
    each(facts.nvidia_gpus()?, |gpu| {
        let place = gpu.address.to_string();
        let place = place.rsplit_once('.').map_or(place.as_str(), |(slot, _)| slot);
        let bad =
            |line: &&String| xid_of(line).is_some_and(|(at, number)| at.starts_with(place) && XIDS.contains(&number));
        let last = log.iter().rev().find(bad)?;
        Some(Hit::of(gpu.address, last.trim()))
    })
}

/// Where `nvidia-modprobe` is there CUDA loads the module by itself.
fn uvm(facts: &DoctorFacts) -> Ruled {
    facts.served()?;
    only_if(!facts.is_loaded("nvidia_uvm")?)?;
    let tool = *known(&facts.nvidia.modprobe_tool, "/usr/bin/nvidia-modprobe")?;
    only_if(facts.nvidia.container_driver.get() != Some(true))?;
    hit_if(!tool, || Hit::of("nvidia_uvm", "the module is not loaded, and nvidia-modprobe is not installed"))
}

fn nodes_missing(facts: &DoctorFacts) -> Ruled {
    facts.served()?;
    only_if(facts.nvidia.container_driver.get() != Some(true))?;
    let nodes = known(&facts.nvidia.nodes, "/dev")?;
    let minors = facts.report()?.gpus.iter().filter_map(|gpu| gpu.minor.get());
    let uvm = facts.is_loaded("nvidia_uvm")?.then(|| "/dev/nvidia-uvm".to_owned());
    let wanted = minors.map(|minor| format!("/dev/nvidia{minor}")).chain(["/dev/nvidiactl".to_owned()]).chain(uvm);
    let missing: Vec<String> = wanted.filter(|path| !nodes.iter().any(|node| node.path == *path)).collect();
    hit_if(!missing.is_empty(), || Hit::of(missing.join(" "), "the driver answers, but the device does not exist"))
}

/// Only the devices whose permissions the driver sets itself: a site may have chosen others by `NVreg_DeviceFileMode`.
fn nodes_mode(facts: &DoctorFacts) -> Ruled {
    let wanted = *known(&facts.nvidia.node_mode, "/proc/driver/nvidia/params")?;
    let nodes = known(&facts.nvidia.nodes, "/dev")?;
    let is_its = |path: &str| {
        path == "/dev/nvidiactl" || path.strip_prefix("/dev/nvidia").is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    let wrong = nodes.iter().filter(|node| is_its(&node.path) && node.mode & wanted != wanted);
    let hit = |node: &DeviceNode| {
        let (path, cure) = (&node.path, "and look for the udev rule or umask that set it");
        let found = format!("its mode is {:o}, and the driver wants {wanted:o}", node.mode);
        Hit::of(path, found).cure(format!("`chmod {wanted:o} {path}`, {cure}"))
    };
    Ok(wrong.map(hit).collect())
}

fn persistence(facts: &DoctorFacts) -> Ruled {
    let off = facts.report()?.gpus.iter().filter(|gpu| gpu.persistence.get() == Some(false));
    Ok(off.map(|gpu| Hit::of(gpu.address, "persistence mode is off")).collect())
}

fn persistenced(facts: &DoctorFacts) -> Ruled {
    let unit = facts.unit("nvidia-persistenced.service")?;
    hit_if(unit.active == "failed", || Hit::of(&unit.name, format!("it has failed: {}", unit.result)))
}

const FABRIC: &str = "nvidia-fabricmanager.service";

/// The host itself runs GPUs behind NVSwitches. Where all GPUs are with guests, a guest runs the fabric manager.
fn has_fabric(facts: &DoctorFacts) -> Result<(), super::rule::Skipped> {
    let scan = facts.scan()?;
    only_if(!scan.nvswitches.is_empty() && !facts.nvidia_gpus()?.iter().all(|gpu| is_on_vfio(gpu)))?;
    facts.served()?;
    only_if(facts.nvidia.container_driver.get() != Some(true))
}

fn fabric_missing(facts: &DoctorFacts) -> Ruled {
    has_fabric(facts)?;
    let units = known(&facts.service.units, "the units of systemd")?;
    let there = units.iter().any(|unit| unit.name == FABRIC && unit.load != "not-found");
    let driver = facts.kernel.nvidia_module.known();
    let branch = driver.and_then(|version| numbers(version).first().copied());
    let branch = branch.map_or_else(|| "BRANCH".to_owned(), |branch| branch.to_string());
    let count = facts.scan()?.nvswitches.len();
    let cure = format!("`apt install nvidia-fabricmanager-{branch} && systemctl enable --now nvidia-fabricmanager`");
    let found = || format!("{count} NVSwitches, and {FABRIC} is not installed");
    hit_if(!there, || Hit::of("nvidia-fabricmanager", found()).cure(cure))
}

fn fabric_stopped(facts: &DoctorFacts) -> Ruled {
    has_fabric(facts)?;
    let unit = facts.unit(FABRIC)?;
    let found = || format!("it is {} ({})", unit.active, unit.result);
    hit_if(!["active", "activating", "reloading"].contains(&unit.active.as_str()), || Hit::of(&unit.name, found()))
}

fn fabric_version(facts: &DoctorFacts) -> Ruled {
    has_fabric(facts)?;
    let driver = known(&facts.kernel.nvidia_module, "/sys/module/nvidia/version")?;
    let packages = known(&facts.nvidia.packages, "the list of packages")?;
    // nvidia-fabricmanager-dev and -devel are headers.
    let is_it = |name: &str| name.starts_with("nvidia-fabricmanager") && !name.contains("dev");
    let wrong = packages.iter().filter(|p| is_it(&p.name) && upstream(&p.version) != driver);
    Ok(wrong.map(|p| Hit::of(&p.name, format!("it is {}, the driver {driver}", upstream(&p.version)))).collect())
}
