//! The kernel: command line, modules, firmware, settings of modprobe, cgroups, SELinux.

use super::place::Place;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{KernelFacts, Setting};

/// Folders of modprobe's settings.
const MODPROBE: [&str; 4] = ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
/// Words of settings that matter for GPUs.
const MATTERS: [&str; 10] =
    ["nvidia", "nouveau", "nova", "vfio", "pci-stub", "pci_stub", "amdgpu", "i915", "xe", "radeon"];
/// Folders below `/lib/modules/<release>` where NVIDIA's module may lie.
const MODULE_FOLDERS: [&str; 7] = [
    "updates/dkms",
    "updates",
    "extra",
    "extra/nvidia",
    "kernel/drivers/video",
    "kernel/drivers/char/drm",
    "weak-updates",
];
/// The UEFI variable that shows whether Secure Boot is on.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Reads them; `release` is that of the running kernel.
pub(super) fn read(place: &Place, release: Option<&str>) -> KernelFacts {
    let text = |path: &str| place.read(path, |text| Some(text.to_owned()));
    KernelFacts {
        cmdline: text("/proc/cmdline"),
        modules: place.read("/proc/modules", |text| Some(text.lines().filter_map(first_word).collect())),
        nvidia_module: text("/sys/module/nvidia/version"),
        nvidia_module_file: release.map_or(Reading::default(), |release| module_file(place, release)),
        headers: release.map_or(Reading::default(), |release| place.is_there(&format!("/lib/modules/{release}/build"))),
        virtual_machine: place.read("/proc/cpuinfo", |text| Some(is_guest(text))),
        firmware_iommu: firmware_iommu(place),
        secure_boot: secure_boot(place),
        noiommu: switch(place, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"),
        modprobe: modprobe(place),
        cgroup: cgroup(place),
        selinux: switch(place, "/sys/fs/selinux/enforce"),
        selinux_devices: switch(place, "/sys/fs/selinux/booleans/container_use_devices"),
        log: Reading::default(),
        reboot_required: place
            .read("/run/reboot-required.pkgs", |text| Some(text.lines().map(str::to_owned).collect())),
        hypervisors: Reading::default(),
        slots: Vec::new(),
    }
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

/// A file that begins with `1` or `Y` is on.
fn switch(place: &Place, path: &str) -> Reading<bool> {
    place.read(path, |text| match text.chars().next()? {
        '1' | 'Y' | 'y' => Some(true),
        '0' | 'N' | 'n' => Some(false),
        _ => None,
    })
}

/// x86 has the flag; other architectures do not say.
fn is_guest(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.is_some_and(|(_, flags)| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

fn module_file(place: &Place, release: &str) -> Reading<String> {
    let is_module = |name: &str| matches!(name, "nvidia.ko" | "nvidia.ko.xz" | "nvidia.ko.zst" | "nvidia.ko.gz");
    let base = format!("/lib/modules/{release}");
    if !place.has(&base) {
        // A container does not have its host's modules: that reports nothing of them.
        return Reading::default();
    }
    let mut folders: Vec<String> = MODULE_FOLDERS.map(|folder| format!("{base}/{folder}")).to_vec();
    // Ubuntu's ready-made modules lie in a folder for each branch: kernel/nvidia-580srv.
    let branches = place.names(&format!("{base}/kernel")).unwrap_or_default();
    let branches = branches.iter().filter(|name| name.starts_with("nvidia-"));
    folders.extend(branches.flat_map(|name| [format!("{base}/kernel/{name}"), format!("{base}/kernel/{name}/bits")]));
    let file = folders.iter().find_map(|folder| {
        let names = place.names(folder).ok()?;
        names.iter().find(|name| is_module(name)).map(|name| format!("{folder}/{name}"))
    });
    file.map_or(Reading::Absent(Absence::None), Reading::Known)
}

fn firmware_iommu(place: &Place) -> Reading<bool> {
    match place.names("/sys/firmware/acpi/tables") {
        Ok(names) => Reading::Known(names.iter().any(|name| ["DMAR", "IVRS", "IORT"].contains(&name.as_str()))),
        Err(why) => Reading::Absent(why),
    }
}

/// Four bytes of attributes, then the value.
fn secure_boot(place: &Place) -> Reading<bool> {
    match place.bytes(SECURE_BOOT) {
        Ok(bytes) => bytes.get(4).map_or(Reading::Absent(Absence::garbled("")), |value| Reading::Known(*value == 1)),
        Err(why) => Reading::Absent(why),
    }
}

/// A file of the same name in an earlier folder takes the place of one in a later folder.
fn modprobe(place: &Place) -> Reading<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut seen = Vec::new();
    for folder in MODPROBE {
        for name in place.names(folder).unwrap_or_default() {
            if !name.ends_with(".conf") || seen.contains(&name) {
                continue;
            }
            let file = format!("{folder}/{name}");
            match place.text(&file) {
                Ok(text) => settings.extend(matter(&text, &file)),
                Err(Absence::None) => {}
                Err(why) => return Reading::Absent(why),
            }
            seen.push(name);
        }
    }
    Reading::Known(settings)
}

fn matter(text: &str, file: &str) -> Vec<Setting> {
    // A backslash at its end carries a line on.
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before).trim());
    let matter = lines.filter(|line| {
        let module = line.split_whitespace().nth(1).unwrap_or_default();
        MATTERS.iter().any(|word| {
            module == *word || module.starts_with(&format!("{word}_")) || module.starts_with(&format!("{word}-"))
        })
    });
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    matter.map(|line| Setting { file: file.to_owned(), line: words(line) }).collect()
}

fn cgroup(place: &Place) -> Reading<u32> {
    if place.has("/sys/fs/cgroup/cgroup.controllers") {
        return Reading::Known(2);
    }
    if place.has("/sys/fs/cgroup/devices/tasks") || place.has("/sys/fs/cgroup/memory/tasks") {
        return Reading::Known(1);
    }
    Reading::default()
}
