//! Cases of the bus, the IOMMU and VFIO.

use super::{Case, all_on, case, cmdline, first, known, on, said, scan};
use crate::world::setting;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DoctorFacts, Hypervisor};
use model::os_cause::OsCause;
use model::pci::UnreadableFunction;
use model::ports::ScanError;

fn without_iommu(facts: &mut DoctorFacts) {
    scan(facts).iommu_groups_total = 0;
    scan(facts).groups.clear();
    scan(facts).gpus.iter_mut().for_each(|gpu| gpu.iommu_group = Reading::Absent(Absence::None));
}

fn replace_word(facts: &mut DoctorFacts, old: &str, new: &str) {
    let line = known(&mut facts.kernel.cmdline).replace(old, new);
    facts.kernel.cmdline = Reading::Known(line);
}

fn to_vfio(facts: &mut DoctorFacts, index: usize) {
    let gpu = &mut scan(facts).gpus[index];
    on(gpu, "vfio-pci");
    gpu.driver_override = Reading::Known("vfio-pci".to_owned());
}

fn guest(facts: &mut DoctorFacts, memlock_bytes: Option<u64>) {
    let name = "qemu-system-x86".to_owned();
    facts.kernel.hypervisors = Reading::Known(vec![Hypervisor { pid: 4711, name, memlock_bytes }]);
}

pub(super) fn cases() -> Vec<Case> {
    [bus(), iommu(), vfio()].into_iter().flatten().collect()
}

fn bus() -> Vec<Case> {
    vec![
        case(
            "pci_scan_failed",
            |f| f.host.scan = Err(ScanError { path: "/sys/bus/pci/devices".into(), cause: OsCause::found("gone") }),
            |f| scan(f).gpus.clear(),
        ),
        case(
            "pci_function_unreadable",
            |f| {
                let path = "/sys/bus/pci/devices/0000:51:00.0/class".to_owned();
                let said = "Input/output error (os error 5)".to_owned();
                scan(f).unreadable.push(UnreadableFunction { name: "0000:51:00.0".to_owned(), path, said });
            },
            |f| scan(f).functions_total = 90,
        ),
        case(
            "bar_no_space",
            |f| said(f, "pci 0000:a1:00.0: BAR 1: no space for [mem size 0x1000000000 64bit pref]"),
            |f| said(f, "pci 0000:05:00.0: BAR 1: no space for [mem size 0x1000000000 64bit pref]"),
        ),
        case(
            "link_width_reduced",
            |f| first(f).link.width = Reading::Known(8),
            |f| {
                // The slot has no more.
                first(f).link.width = Reading::Known(8);
                first(f).link.port.as_mut().unwrap().max_width = Reading::Known(8);
            },
        ),
        case(
            "display_link_width_reduced",
            |f| {
                first(f).class = model::PciClass(0x03_0000);
                first(f).link.width = Reading::Known(8);
            },
            |f| {
                // A guest sees the links that its hypervisor makes up.
                first(f).class = model::PciClass(0x03_0000);
                first(f).link.width = Reading::Known(8);
                f.kernel.virtual_machine = Reading::Known(true);
            },
        ),
        case(
            "resizable_bar_unused",
            |f| f.kernel.slots[0].bar1_bytes = Reading::Known(256 << 20),
            |f| {
                f.kernel.slots[0].bar1_bytes = Reading::Known(256 << 20);
                f.kernel.slots[0].bar1_max_bytes = Reading::Absent(Absence::None);
            },
        ),
        case(
            "nomodeset",
            |f| {
                first(f).id = "1002:740f".parse().unwrap();
                first(f).driver = Reading::Absent(Absence::None);
                cmdline(f, "nomodeset");
            },
            |f| cmdline(f, "nomodeset"),
        ),
    ]
}

fn iommu() -> Vec<Case> {
    vec![
        case(
            "iommu_switched_off",
            |f| {
                without_iommu(f);
                replace_word(f, "intel_iommu=on", "intel_iommu=off");
            },
            |f| replace_word(f, "intel_iommu=on", "intel_iommu=off"),
        ),
        case(
            "iommu_not_switched_on",
            |f| {
                without_iommu(f);
                replace_word(f, "intel_iommu=on iommu=pt", "");
            },
            |f| {
                // A guest has no IOMMU of its own.
                without_iommu(f);
                f.kernel.virtual_machine = Reading::Known(true);
            },
        ),
        case(
            "iommu_off_in_firmware",
            |f| {
                without_iommu(f);
                f.kernel.firmware_iommu = Reading::Known(false);
            },
            |f| {
                without_iommu(f);
                f.kernel.firmware_iommu = Reading::Known(false);
                f.host.host.arch = "aarch64".to_owned();
            },
        ),
        case(
            "vfio_without_iommu",
            |f| {
                without_iommu(f);
                f.kernel.virtual_machine = Reading::Known(true);
                to_vfio(f, 0);
                guest(f, None);
            },
            |f| to_vfio(f, 0),
        ),
        case(
            "noiommu_mode",
            |f| f.kernel.noiommu = Reading::Known(true),
            |f| f.kernel.noiommu = Reading::Absent(Absence::None),
        ),
        case(
            "acs_override",
            |f| cmdline(f, "pcie_acs_override=downstream,multifunction"),
            |f| cmdline(f, "pcie_aspm=off"),
        ),
        case(
            "group_not_isolated",
            |f| {
                let more = crate::world::group(10, &["0000:42:00.0"]).members;
                scan(f).groups[0].members.extend(more);
            },
            |f| {
                // Another function of the same card, and a bridge.
                let mut more = crate::world::group(10, &["0000:41:00.1", "0000:40:01.0"]).members;
                more[1].class = Reading::Known(model::PciClass(0x06_0400));
                scan(f).groups[0].members.extend(more);
            },
        ),
    ]
}

fn vfio() -> Vec<Case> {
    vec![
        case(
            "vfio_ids_take_gpu",
            |f| {
                known(&mut f.kernel.modprobe).push(setting("options vfio-pci ids=10de:26b9,10de:22bc disable_vga=1"));
            },
            |f| {
                // The only one of its kind.
                scan(f).gpus[1].id = "10de:2204".parse().unwrap();
                cmdline(f, "vfio-pci.ids=10de:2204");
            },
        ),
        case(
            "vfio_ids_take_gpu",
            |f| {
                // In the kernel's other spelling, with every field; the cards are taken, and a rebind would not help.
                all_on(f, "vfio-pci");
                cmdline(f, "vfio_pci.ids=10de:26b9:ffffffff:ffffffff:030200:ffffff");
            },
            |f| cmdline(f, "vfio_pci.ids=10de:26b9:ffffffff:ffffffff:030000:ffffff"),
        ),
        case("vfio_ids_take_gpu", |f| cmdline(f, "pci-stub.ids=10de:26b9"), |f| cmdline(f, "pci-stub.idx=10de:26b9")),
        case(
            "gpu_taken_by_id",
            |f| {
                scan(f).gpus[1].id = "10de:2204".parse().unwrap();
                on(&mut scan(f).gpus[1], "vfio-pci");
                cmdline(f, "vfio-pci.ids=\"10de:2204\"");
            },
            |f| {
                scan(f).gpus[1].id = "10de:2204".parse().unwrap();
                on(&mut scan(f).gpus[1], "vfio-pci");
                cmdline(f, "vfio-pci.ids=10de:2204");
                guest(f, None);
            },
        ),
        case(
            "gpu_left_on_vfio",
            |f| to_vfio(f, 1),
            |f| {
                to_vfio(f, 1);
                guest(f, None);
            },
        ),
        case(
            "boot_vga_on_vfio",
            |f| {
                to_vfio(f, 0);
                guest(f, None);
                first(f).boot_vga = Reading::Known(true);
            },
            |f| first(f).boot_vga = Reading::Known(true),
        ),
        case(
            "override_without_driver",
            |f| {
                first(f).driver = Reading::Absent(Absence::None);
                first(f).driver_override = Reading::Known("vfio-pci".to_owned());
            },
            |f| first(f).driver_override = Reading::Known("nvidia".to_owned()),
        ),
        case(
            "memlock_limit_low",
            |f| {
                all_on(f, "vfio-pci");
                guest(f, Some(8 << 20));
            },
            |f| guest(f, Some(8 << 20)),
        ),
    ]
}
