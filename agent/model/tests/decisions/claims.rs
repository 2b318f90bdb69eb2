//! Ids that vfio-pci and pci-stub take at boot, in every spelling in which people write them.

use crate::world::{function, judged, raw};
use model::claim::{Claim, Claimant, IdPattern, in_file, in_line, of_gpu, on_cmdline};
use model::holders::Holders;
use model::passthrough::{BindRequest, ReleaseRequest, plan_passthrough, plan_release, scope_of};
use model::plan::{GroupState, MemberState, ModuleState, PowerControl};
use model::policy::{Policy, Requester};
use model::{Absence, PciAddress, PciClass, PciId, Reading};
use proptest::prelude::*;

/// Who takes a GeForce RTX 4090, of all that these settings name.
fn takers(claims: &[Claim]) -> Vec<Claimant> {
    let gpu = function("0000:01:00.0", "10de:2684", "", 14);
    claims.iter().filter(|claim| claim.takes(&gpu)).map(|claim| claim.by).collect()
}

#[test]
fn the_kernels_command_line_is_read_as_the_kernel_reads_it() {
    for (text, by) in [
        ("quiet vfio-pci.ids=10de:2684,10de:22ba splash", Claimant::VfioPci),
        ("vfio_pci.ids=10de:22ba,10de:2684", Claimant::VfioPci),
        ("vfio_pci.ids=10DE:2684", Claimant::VfioPci),
        ("vfio-pci.ids=0x10de:0x2684", Claimant::VfioPci),
        ("vfio-pci.ids=\"10de:2684,10de:22ba\"", Claimant::VfioPci),
        ("\"vfio-pci.ids=10de:2684 10de:22ba\"", Claimant::VfioPci),
        ("vfio-pci.ids=10de:2684:ffffffff:ffffffff:00030000:ffff00ff", Claimant::VfioPci),
        ("vfio-pci.ids=10de:ffffffff:ffffffff:ffffffff:00030000:00ff0000", Claimant::VfioPci),
        ("pci-stub.ids=10de:2684", Claimant::PciStub),
        ("pci_stub.ids=10de:2684:1043", Claimant::PciStub),
    ] {
        assert_eq!(takers(&on_cmdline(text, "/proc/cmdline")), [by], "{text}");
    }
    for text in [
        "vfio-pci.ids=10de:2685",
        "vfio-pci.ids=10de",
        "vfio-pci.ids=",
        "vfio-pci.disable_vga=1",
        "xvfio-pci.ids=10de:2684",
        "vfio-pci.ids=10de:2684:ffffffff:ffffffff:00020000:00ff0000",
        "rd.driver.pre=vfio-pci",
    ] {
        assert!(takers(&on_cmdline(text, "/proc/cmdline")).is_empty(), "{text}");
    }
}

#[test]
fn files_of_modprobe_and_lists_of_modules_are_read_too() {
    for text in [
        "options vfio-pci ids=10de:2684,10de:22ba disable_vga=1\n",
        "# of mine\noptions\tvfio_pci  disable_vga=1 ids=10de:2684\n",
        "options vfio-pci ids=\"10de:2684,10de:22ba\"\n",
        "options vfio-pci \\\n    ids=10de:22ba,10de:2684\n",
        "options vfio-pci ids=10de:2684 # the second card\n",
        "ext4\nvfio_pci ids=10de:2684\n",
    ] {
        assert_eq!(takers(&in_file(text, "/etc/modprobe.d/vfio.conf")), [Claimant::VfioPci], "{text}");
    }
    assert_eq!(takers(&in_line("options pci-stub ids=10de:2684", "x")), [Claimant::PciStub]);
    for text in ["#options vfio-pci ids=10de:2684\n", "softdep nvidia pre: vfio-pci\n", "options kvm ids=10de:2684\n"] {
        assert!(takers(&in_file(text, "x")).is_empty(), "{text}");
    }
}

#[test]
fn subsystem_and_class_narrow_what_is_taken() {
    let id = PciId { vendor: 0x10de, device: 0x2684 };
    let subsystem = Reading::Known(PciId { vendor: 0x1043, device: 0x889a });
    let class = PciClass(0x03_00_00);
    for (text, takes) in [
        ("10de:2684:1043", true),
        ("10de:2684:1043:889a", true),
        ("10de:2684:1043:889b", false),
        ("10de:2684:1462:889a", false),
        ("10de:2684:ffffffff:ffffffff:030000:ff0000", true),
        ("10de:2684:ffffffff:ffffffff:040000:ff0000", false),
        ("ffffffff:ffffffff:ffffffff:ffffffff:030000:ffff00", true),
    ] {
        let pattern = IdPattern::parse(text).unwrap();
        assert_eq!(pattern.matches(id, &subsystem, class), takes, "{text}");
        // What could not be read may be what was meant.
        assert!(pattern.matches(id, &Reading::default(), class) || !takes || text.contains("040000"), "{text}");
    }
}

#[test]
fn the_setting_is_named_as_it_stands_and_the_cure_takes_the_id_away() {
    let gpu = function("0000:01:00.0", "10de:2684", "vfio-pci", 14);
    let claims = on_cmdline("vfio_pci.ids=10de:2684", "/proc/cmdline");
    let claim = of_gpu(&claims, &gpu, "vfio-pci").unwrap();
    assert_eq!(claim.to_string(), "vfio_pci.ids= in /proc/cmdline");
    let cure = claim.cure(gpu.id, gpu.address, Some("debian"));
    for part in [
        "remove 10de:2684 from vfio_pci.ids=",
        "update-grub",
        "update-initramfs -u",
        "echo 10de 2684 > /sys/bus/pci/drivers/vfio-pci/remove_id",
        "echo 0000:01:00.0 > /sys/bus/pci/drivers_probe",
    ] {
        assert!(cure.contains(part), "{part}: {cure}");
    }
    let claims = in_file("options pci-stub ids=10de:2684", "/etc/modprobe.d/stub.conf");
    let cure = of_gpu(&claims, &gpu, "pci-stub").unwrap().cure(gpu.id, gpu.address, Some("fedora"));
    assert!(cure.contains("in /etc/modprobe.d/stub.conf, `dracut -f`"), "{cure}");
    assert!(cure.contains("/sys/bus/pci/drivers/pci-stub/remove_id"), "{cure}");
    assert!(of_gpu(&claims, &gpu, "vfio-pci").is_none(), "what another driver would take explains nothing");
    assert!(of_gpu(&claims, &gpu, "nvgrace_gpu_vfio_pci").is_none());
}

#[test]
fn a_gpu_that_a_setting_takes_says_so_and_not_that_a_guest_has_it() {
    for (driver, text) in [("vfio-pci", "vfio_pci.ids=10de:2684"), ("pci-stub", "pci-stub.ids=10de:2684")] {
        let mut raw = raw(vec![function("0000:01:00.0", "10de:2684", driver, 14)], &[]);
        raw.host.stack.claims = on_cmdline(text, "/proc/cmdline");
        let gpu = crate::world::only(raw);
        let link = gpu.first_broken_link().unwrap();
        let (reason, remedy) = (link.reason.clone().unwrap(), link.remedy.clone().unwrap());
        let setting = text.split_once("10de").unwrap().0;
        assert!(reason.contains(&format!("{driver} is bound: {setting} in /proc/cmdline")), "{reason}");
        assert!(remedy.contains(&format!("{driver}/remove_id")), "{remedy}");
        assert!(!reason.contains("machine") && !remedy.contains("machine"), "{reason} {remedy}");
    }
}

#[test]
fn bind_and_release_name_the_setting_and_its_cure() {
    let mut raw = raw(vec![function("0000:01:00.0", "10de:2684", "vfio-pci", 14)], &[]);
    raw.host.stack.claims = in_file("options vfio_pci ids=10de:2684", "/etc/modprobe.d/vfio.conf");
    let host = judged(raw);
    let gpu: PciAddress = "0000:01:00.0".parse().unwrap();
    let scope = scope_of(&host, gpu).unwrap();
    let function = host.gpu(gpu).unwrap().pci.clone();
    let member = MemberState {
        address: gpu,
        id: Reading::Known(function.id),
        class: Reading::Known(function.class),
        driver: function.driver,
        driver_override: Reading::Absent(Absence::None),
        d3cold_allowed: Reading::Known(true),
        power_control: Reading::Known(PowerControl::Auto),
        mediated_devices: Reading::Absent(Absence::None),
        virtual_functions: Reading::Known(0),
        console: None,
        usb_devices: Vec::new(),
    };
    let seen = GroupState {
        group: function.iommu_group,
        no_iommu: false,
        members: vec![member],
        vfio_node: true,
        variant: None,
        module: ModuleState::Loaded,
    };
    assert_eq!(scope.members, [gpu]);
    let (holders, policy) = (Holders::default(), Policy::default());
    let request = BindRequest { gpu, requester: Requester::Local, guest_memory_mib: None, given_by_us: false };
    let bind = plan_passthrough(&host, &seen, &holders, &policy, &request).unwrap_err();
    let release = ReleaseRequest { gpu, requester: Requester::Local, home: None };
    let release = plan_release(&host, &seen, &holders, &policy, &release).unwrap_err();
    for refusal in [bind, release] {
        assert_eq!(refusal.code(), "bound_by_others");
        let told = refusal.to_string();
        assert!(told.contains("options vfio_pci ids= in /etc/modprobe.d/vfio.conf"), "{told}");
        assert!(told.contains("echo 10de 2684 > /sys/bus/pci/drivers/vfio-pci/remove_id"), "{told}");
        assert!(!told.contains("machine"), "{told}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z\"\\\\ \n#=.:,0-9_-]{0,60}(vfio-pci.ids=|options vfio-pci ids=)?[\"0-9a-fx:, ]{0,30}") {
        let _ = (on_cmdline(&text, "x"), in_file(&text, "y"));
    }
}
