//! Faults of IOMMU and VFIO: what keeps a GPU from a virtual machine, or keeps it there.

use super::doctor_facts::DoctorFacts;
use super::rule::{Check, Hit, Ruled, Severity, Skipped, hit_if, known, only_if};
use super::view::{each, is_on_vfio};
use crate::claim::{self, Claim};
use crate::pci::GpuFunction;

pub(super) const CHECKS: [Check; 12] = [
    Check {
        code: "iommu_switched_off",
        severity: Severity::Hint,
        why: "without an IOMMU no GPU can be given to a virtual machine",
        cure: "remove `{}` from the kernel command line (`/etc/default/grub`, then `update-grub`), and reboot",
        rule: switched_off,
    },
    Check {
        code: "iommu_not_switched_on",
        severity: Severity::Hint,
        why: "the firmware has an IOMMU that the kernel does not use; no GPU can be given to a virtual machine",
        cure: "add `intel_iommu=on iommu=pt` (on AMD: `amd_iommu=on iommu=pt`) to the kernel command line, and reboot",
        rule: not_switched_on,
    },
    Check {
        code: "iommu_off_in_firmware",
        severity: Severity::Hint,
        why: "without an IOMMU no GPU can be given to a virtual machine",
        cure: "enable VT-d (Intel) or AMD-Vi/IOMMU (AMD) in the firmware's setup, then reboot",
        rule: off_in_firmware,
    },
    Check {
        code: "vfio_without_iommu",
        severity: Severity::Error,
        why: "vfio-pci cannot give a GPU to a virtual machine without an IOMMU",
        cure: "enable the IOMMU (firmware and kernel command line) and reboot, or give the GPU back: \
               `echo > /sys/bus/pci/devices/{}/driver_override`",
        rule: vfio_without_iommu,
    },
    Check {
        code: "noiommu_mode",
        severity: Severity::Warning,
        why: "in no-IOMMU mode a guest can read and write all memory of the host through its GPU",
        cure: "remove `enable_unsafe_noiommu_mode` from /etc/modprobe.d and the command line; until then `echo 0 > {}`",
        rule: noiommu,
    },
    Check {
        code: "acs_override",
        severity: Severity::Warning,
        why: "the ACS override makes the kernel report smaller IOMMU groups than the hardware has: devices of one guest may reach those of another",
        cure: "remove `{}` from the kernel command line; use a slot or a board whose ports have ACS",
        rule: acs_override,
    },
    Check {
        code: "group_not_isolated",
        severity: Severity::Hint,
        why: "all devices of an IOMMU group go to a guest together; these belong to others",
        cure: "enable ACS in the firmware, or put the card into another slot; `gpuhostctl iommu` shows the groups",
        rule: not_isolated,
    },
    Check {
        code: "vfio_ids_take_gpu",
        severity: Severity::Warning,
        why: "the setting binds every card with this PCI id at each boot, before any other driver can",
        cure: "remove the id from the setting (kernel command line, /etc/modprobe.d), rebuild the initramfs, reboot, and bind by \
               address instead",
        rule: ids_take_gpu,
    },
    Check {
        code: "gpu_taken_by_id",
        severity: Severity::Hint,
        why: "the setting binds the GPU at every boot, no virtual machine runs, and containers cannot use it",
        cure: "if the host is to use it: remove the id from the setting (kernel command line, /etc/modprobe.d), rebuild the \
               initramfs and reboot, or remove the id now (`remove_id`); a rebind alone binds it to the same driver again",
        rule: taken_by_id,
    },
    Check {
        code: "gpu_left_on_vfio",
        severity: Severity::Hint,
        why: "the GPU is set aside for a virtual machine, none runs, and containers cannot use it",
        cure: "give it back: `echo > /sys/bus/pci/devices/{}/driver_override; echo {} > \
               /sys/bus/pci/devices/{}/driver/unbind; echo {} > /sys/bus/pci/drivers_probe`",
        rule: left_on_vfio,
    },
    Check {
        code: "boot_vga_on_vfio",
        severity: Severity::Warning,
        why: "the console's GPU is bound to VFIO: the host has no display, and the guest may get a video ROM that was already \
              executed",
        cure: "make another GPU the primary one in the firmware, or add `video=efifb:off` and give the guest a ROM file",
        rule: boot_vga,
    },
    Check {
        code: "override_without_driver",
        severity: Severity::Warning,
        why: "driver_override keeps every other driver away from the GPU",
        cure: "`echo > /sys/bus/pci/devices/{}/driver_override; echo {} > /sys/bus/pci/drivers_probe`",
        rule: dangling_override,
    },
];

/// The kernel has no IOMMU groups, and there is a GPU that could need one.
fn without_groups(facts: &DoctorFacts) -> Result<(), Skipped> {
    let scan = facts.scan()?;
    only_if(!scan.gpus.is_empty() && scan.iommu_groups_total == 0 && !facts.is_guest())
}

fn off_word(word: &str) -> bool {
    ["intel_iommu=off", "amd_iommu=off", "iommu=off"].contains(&word)
}

fn switched_off(facts: &DoctorFacts) -> Ruled {
    without_groups(facts)?;
    let word = facts.on_cmdline(off_word)?;
    Ok(word
        .map(|word| Hit::of(word, "/proc/cmdline contains it, and the kernel has no IOMMU group"))
        .into_iter()
        .collect())
}

fn not_switched_on(facts: &DoctorFacts) -> Ruled {
    without_groups(facts)?;
    only_if(facts.on_cmdline(off_word)?.is_none())?;
    let firmware = *known(&facts.kernel.firmware_iommu, "/sys/firmware/acpi/tables")?;
    hit_if(firmware, || Hit::of("/sys/kernel/iommu_groups", "it is empty, and the firmware describes an IOMMU"))
}

fn off_in_firmware(facts: &DoctorFacts) -> Ruled {
    without_groups(facts)?;
    only_if(facts.host.host.arch == "x86_64" && facts.kernel.virtual_machine.get() == Some(false))?;
    let firmware = *known(&facts.kernel.firmware_iommu, "/sys/firmware/acpi/tables")?;
    let found = "there is neither DMAR nor IVRS, and the kernel has no IOMMU group";
    hit_if(!firmware, || Hit::of("/sys/firmware/acpi/tables", found))
}

fn is_for_vfio(gpu: &GpuFunction) -> bool {
    is_on_vfio(gpu) || gpu.driver_override.known().is_some_and(|driver| driver.contains("vfio"))
}

fn vfio_without_iommu(facts: &DoctorFacts) -> Ruled {
    let scan = facts.scan()?;
    only_if(scan.iommu_groups_total == 0 && facts.kernel.noiommu.get() != Some(true))?;
    each(&scan.gpus, |gpu| {
        is_for_vfio(gpu).then(|| Hit::of(gpu.address, "it is set aside for VFIO, and the kernel has no IOMMU group"))
    })
}

fn noiommu(facts: &DoctorFacts) -> Ruled {
    let path = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    hit_if(*known(&facts.kernel.noiommu, path)?, || Hit::of(path, "Y"))
}

fn acs_override(facts: &DoctorFacts) -> Ruled {
    let word = facts.on_cmdline(|word| word.starts_with("pcie_acs_override="))?;
    Ok(word.map(|word| Hit::of(word, "/proc/cmdline contains it")).into_iter().collect())
}

fn not_isolated(facts: &DoctorFacts) -> Ruled {
    let scan = facts.scan()?;
    let group_of = |gpu: &GpuFunction| scan.groups.iter().find(|group| gpu.iommu_group.get() == Some(group.id));
    each(&scan.gpus, |gpu| {
        let group = group_of(gpu)?;
        // Virtual functions of the card stand beside it where the platform has no ACS, and go with it.
        let foreign = group.foreign_to(gpu.address).filter(|member| !gpu.virtual_functions.contains(&member.address));
        let names: Vec<String> = foreign.map(|member| member.address.to_string()).take(4).collect();
        let told = || format!("group {} also holds {}", group.id, names.join(", "));
        (!names.is_empty()).then(|| Hit::of(gpu.address, told()))
    })
}

/// The settings by which vfio-pci and pci-stub take ids by themselves, as files say and as the daemon sees them.
fn claims(facts: &DoctorFacts) -> Vec<Claim> {
    let line = facts.kernel.cmdline.known().map(String::as_str).unwrap_or_default();
    let settings = facts.kernel.modprobe.known().into_iter().flatten();
    let mut claims = claim::on_cmdline(line, "/proc/cmdline");
    claims.extend(settings.flat_map(|setting| claim::in_line(&setting.line, &setting.file)));
    let seen = facts.host.host.stack.claims.iter();
    claims.extend(seen.filter(|claim| !claims.contains(claim)).cloned().collect::<Vec<_>>());
    claims
}

fn are_several(gpus: &[GpuFunction], gpu: &GpuFunction) -> bool {
    gpus.iter().filter(|other| other.id == gpu.id).count() > 1
}

fn cure(facts: &DoctorFacts, claim: &Claim, gpu: &GpuFunction) -> String {
    claim.cure(gpu.id, gpu.address, facts.host.host.os_id.known().map(String::as_str))
}

fn ids_take_gpu(facts: &DoctorFacts) -> Ruled {
    known(&facts.kernel.cmdline, "/proc/cmdline")?;
    let (claims, gpus) = (claims(facts), &facts.scan()?.gpus);
    each(gpus, |gpu| {
        // A single card of its kind was meant.
        only_if(are_several(gpus, gpu)).ok()?;
        let claim = claims.iter().find(|claim| claim.takes(gpu))?;
        let found = format!("{claim} binds every {} to {}", gpu.id, claim.by.driver());
        Some(Hit::of(gpu.address, found).cure(format!("{}; then bind by address", cure(facts, claim, gpu))))
    })
}

/// The setting that has the bound driver take it.
fn claim_of<'a>(claims: &'a [Claim], gpu: &GpuFunction) -> Option<&'a Claim> {
    claim::of_gpu(claims, gpu, gpu.driver.known()?.as_str())
}

fn taken_by_id(facts: &DoctorFacts) -> Ruled {
    let (claims, gpus) = (claims(facts), &facts.scan()?.gpus);
    only_if(gpus.iter().any(|gpu| claim_of(&claims, gpu).is_some()))?;
    only_if(known(&facts.kernel.hypervisors, "the processes of virtual machines")?.is_empty())?;
    each(gpus, |gpu| {
        let claim = claim_of(&claims, gpu).filter(|_| !are_several(gpus, gpu))?;
        let found = format!("{claim} binds it to {}", claim.by.driver());
        Some(Hit::of(gpu.address, found).cure(format!("if the host is to use it: {}", cure(facts, claim, gpu))))
    })
}

fn left_on_vfio(facts: &DoctorFacts) -> Ruled {
    let claims = claims(facts);
    // What a setting takes again and again is told by the checks of that setting.
    let is_left = |gpu: &&GpuFunction| is_on_vfio(gpu) && claim_of(&claims, gpu).is_none();
    let gpus = || facts.scan().map(|scan| scan.gpus.iter().filter(is_left));
    only_if(gpus()?.next().is_some())?;
    only_if(known(&facts.kernel.hypervisors, "the processes of virtual machines")?.is_empty())?;
    each(gpus()?, |gpu| Some(Hit::of(gpu.address, "it is bound to VFIO, and no virtual machine runs")))
}

fn boot_vga(facts: &DoctorFacts) -> Ruled {
    each(&facts.scan()?.gpus, |gpu| {
        let primary = gpu.boot_vga.get() == Some(true) && is_for_vfio(gpu);
        primary.then(|| Hit::of(gpu.address, "boot_vga is 1, and it is set aside for VFIO"))
    })
}

fn dangling_override(facts: &DoctorFacts) -> Ruled {
    each(&facts.scan()?.gpus, |gpu| {
        let wanted = gpu.driver_override.known().filter(|_| gpu.driver.is_none())?;
        Some(Hit::of(gpu.address, format!("driver_override is {wanted}, and no driver is bound")))
    })
}
