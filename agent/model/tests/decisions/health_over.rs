//! Who takes what back: each row of the table against each kind of fault, both ways, and where a row does not hold.

use model::PciAddress;
use model::health::device_fault::{Fault, GpuFaultKind, Recovery};
use model::health::kernel_log::KernelLog;
use model::health::over::{Evidence, ROWS};
use model::time::BootMillis;
use std::collections::BTreeSet;

const GPU: &str = "0000:41:00.0";
const PORT: &str = "0000:40:01.1";
/// Long enough that nothing belongs to the same start of a driver, and short enough that nothing has ended by itself.
const LATER_S: u64 = 300;

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

/// A log of these texts, each at its second.
fn log(lines: &[(u64, &str)]) -> KernelLog {
    let mut log = KernelLog::default();
    for (number, (second, text)) in lines.iter().enumerate() {
        log.take(&format!("3,{number},{second}000000,-;{text}\n"));
    }
    log
}

fn faults(log: &KernelLog, address: &str) -> BTreeSet<Fault> {
    let now = BootMillis((LATER_S + 400) * 1000);
    log.against(at(address), now).map(|finding| finding.fault).collect()
}

/// A record for each kind of fault that the kernel log can report.
const SAMPLES: [(Fault, &str); 25] = [
    (Fault::Xid(48), "NVRM: Xid (PCI:0000:41:00): 48, pid=1, name=a, An uncorrectable double bit error"),
    (
        Fault::XidFatal(149),
        "NVRM: Xid (PCI:0000:41:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x004505c6 0x00000000)",
    ),
    (Fault::Xid(64), "NVRM: Xid (PCI:0000:41:00): 64, pid=1, name=a, Row Remapper: failed"),
    (
        Fault::Recovery(Recovery::Reset),
        "NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
    ),
    (
        Fault::Recovery(Recovery::Reboot),
        "NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
    ),
    (Fault::FallenOffTheBus, "NVRM: GPU 0000:41:00.0: GPU has fallen off the bus."),
    (
        Fault::FallenOffAtProbe,
        "NVRM: The NVIDIA GPU 0000:41:00.0\\x0aNVRM: (PCI ID: 10de:2330) installed in this system has\\x0aNVRM: fallen off the bus \
         and is not responding to commands.",
    ),
    (Fault::InitFailed, "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x62:0x40:2168)"),
    (Fault::StartFailed, "amdgpu 0000:41:00.0: amdgpu: Fatal error during GPU init"),
    (Fault::RemovedInUse, "NVRM: Attempting to remove device 0000:41:00.0 with non-zero usage count!"),
    (Fault::SxidFatal(24007), "nvidia-nvswitch3: SXid (PCI:0000:41:00.0): 24007, Fatal, Link 44 sourcerouting error"),
    (Fault::PcieFatal, "nvidia 0000:41:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer"),
    (
        Fault::PcieNonFatal,
        "nvidia 0000:41:00.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer",
    ),
    (Fault::SlotLinkDown, "pcieport 0000:41:00.0: pciehp: Slot(3): Link Down"),
    (Fault::SlotEmpty, "pcieport 0000:41:00.0: pciehp: Slot(3): Card not present"),
    (Fault::SlotPower, "pcieport 0000:41:00.0: pciehp: Slot(3): Power fault"),
    (Fault::Contained, "pcieport 0000:41:00.0: DPC: containment event, status:0x1f01 source:0x0000"),
    (Fault::Inaccessible, "nvidia 0000:41:00.0: Unable to change power state from D3cold to D0, device inaccessible"),
    (Fault::NotReady, "vfio-pci 0000:41:00.0: not ready 65535ms after FLR; giving up"),
    (
        Fault::IommuFault,
        "DMAR: [DMA Write NO_PASID] Request device [41:00.0] fault addr 0x0 [fault reason 0x05] PTE Write",
    ),
    (Fault::IommuTimeout, "iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:41:00.0 address=0x10021]"),
    (Fault::Hang, "amdgpu 0000:41:00.0: amdgpu: GPU reset begin!"),
    (Fault::ResetFailed, "xe 0000:41:00.0: [drm] device wedged, needs recovery"),
    (Fault::RasUncorrectable, "amdgpu 0000:41:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block"),
    (Fault::RasDeferred, "amdgpu 0000:41:00.0: {15}Poison is created"),
];

/// The records that show each evidence, in a log where nothing speaks against it.
fn shown_by(evidence: Evidence) -> &'static [&'static str] {
    match evidence {
        Evidence::Enumerated => &["pci 0000:41:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint"],
        Evidence::DriverLoaded => &[
            "nvidia-nvlink: Unregistered Nvlink Core, major device number 235",
            "nvidia-nvlink: Nvlink Core is being initialized, major device number 235",
            "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.105.08  Release Build",
        ],
        Evidence::NothingToRecover => &[
            "NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)",
        ],
        Evidence::WantsSomethingElse => &[
            "NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x3 (Drain P2P)",
        ],
        Evidence::RemovalWentOn => &["NVRM: Continuing with GPU removal for device 0000:41:00.0"],
        Evidence::SwitchProbed => {
            &["nvidia-nvswitch: Probing device 0000:41:00.0, Vendor Id = 0x10de, Device Id = 0x22a3, Class = 0x68000"]
        }
        Evidence::ResetDone => &["vfio-pci 0000:41:00.0: resetting", "vfio-pci 0000:41:00.0: reset done"],
        Evidence::Ready => &["nvidia 0000:41:00.0: ready 2047ms after resume"],
        Evidence::Recovered => &["pcieport 0000:41:00.0: AER: device recovery successful"],
        Evidence::LinkBack => &["pcieport 0000:41:00.0: pciehp: Slot(3): Link Up"],
        Evidence::CardPresent => &["pcieport 0000:41:00.0: pciehp: Slot(3): Card present"],
        Evidence::GpuReset => &["amdgpu 0000:41:00.0: amdgpu: GPU reset(4) succeeded!"],
        Evidence::DriverStarted => &["[drm] Initialized amdgpu 3.57.0 20150101 for 0000:41:00.0 on minor 0"],
        // These two are no records: health_answers.rs has them.
        Evidence::DriverAnswers | Evidence::BusAnswers => &[],
    }
}

#[test]
fn every_kind_of_the_log_has_a_sample_and_every_sample_is_understood() {
    let kinds: BTreeSet<GpuFaultKind> = SAMPLES.iter().map(|(fault, _)| fault.kind()).collect();
    let of_driver = [GpuFaultKind::DriverMemory, GpuFaultKind::DriverMemoryLasting];
    let without: Vec<GpuFaultKind> =
        GpuFaultKind::ALL.iter().copied().filter(|kind| !kinds.contains(kind) && !of_driver.contains(kind)).collect();
    assert_eq!(without, [GpuFaultKind::BadPages], "its sample is a test of its own: nothing but a new card ends it");
    for (fault, sample) in SAMPLES {
        assert_eq!(faults(&log(&[(100, sample)]), GPU), [fault].into(), "{sample}");
    }
}

#[test]
fn each_row_ends_what_it_says_and_nothing_else() {
    for row in ROWS {
        for (fault, sample) in SAMPLES {
            let mut lines = vec![(100, sample)];
            lines.extend(shown_by(row.evidence).iter().map(|text| (100 + LATER_S, *text)));
            if lines.len() == 1 {
                continue;
            }
            let ended = !faults(&log(&lines), GPU).contains(&fault);
            assert_eq!(ended, row.ends.contains(&fault.kind()), "{:?} and {fault:?}", row.evidence);
        }
    }
}

#[test]
fn no_row_speaks_for_another_device() {
    for row in ROWS {
        for (fault, sample) in SAMPLES {
            let elsewhere = |text: &str| text.replace("0000:41:00", "0000:42:00").replace("[41:00", "[42:00");
            let shown: Vec<String> = shown_by(row.evidence).iter().map(|text| elsewhere(text)).collect();
            let mut lines = vec![(100, sample)];
            lines.extend(shown.iter().map(|text| (100 + LATER_S, text.as_str())));
            let ended = !faults(&log(&lines), GPU).contains(&fault);
            let of_all = row.evidence == Evidence::DriverLoaded && row.ends.contains(&fault.kind());
            assert_eq!(ended, of_all, "{:?} and {fault:?}", row.evidence);
        }
    }
}

#[test]
fn every_fault_that_stands_is_ended_by_something() {
    for (fault, _) in SAMPLES {
        let by = ROWS.iter().filter(|row| row.ends.contains(&fault.kind())).count();
        assert!(by > 0 || !fault.stands(), "{fault:?} stands for ever");
    }
    let bad = "amdgpu 0000:41:00.0: amdgpu: This GPU is in BAD status.";
    let started = shown_by(Evidence::DriverStarted)[0];
    assert_eq!(faults(&log(&[(1, bad), (300, started)]), GPU), [Fault::BadPages].into());
    let enumerated = shown_by(Evidence::Enumerated)[0];
    assert!(faults(&log(&[(1, bad), (300, enumerated)]), GPU).is_empty(), "another card, perhaps");
}

const LOST: &str = "NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.";
const BANNER: &str = "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  570.158.01  Release Build";
const BEGINS: &str = "nvidia-nvlink: Nvlink Core is being initialized, major device number 235";
const PROBE: [&str; 3] = [
    "NVRM: The NVIDIA GPU 0000:41:00.0",
    "NVRM: (PCI ID: 10de:26b5) installed in this system has",
    "NVRM: fallen off the bus and is not responding to commands.",
];

#[test]
fn the_banner_of_the_same_load_is_no_new_load() {
    let fallen: BTreeSet<Fault> = [Fault::FallenOffAtProbe].into();
    let probe = |second: u64| PROBE.map(|text| (second, text)).to_vec();
    let with = |mut lines: Vec<(u64, &'static str)>, more: &[(u64, &'static str)]| {
        lines.extend(more);
        faults(&log(&lines), GPU)
    };
    assert_eq!(with(probe(100), &[(101, BANNER)]), fallen, "the driver says both");
    assert_eq!(with(probe(100), &[(190, BANNER)]), fallen, "also where it probed for long");
    assert!(with(probe(100), &[(101, BANNER), (300, BANNER)]).is_empty(), "the next load found nothing");
    assert!(with(probe(100), &[(101, BANNER), (299, BEGINS), (300, BANNER)]).is_empty());
    let again: Vec<_> = probe(100).into_iter().chain([(101, BANNER), (299, BEGINS)]).chain(probe(300)).collect();
    assert_eq!(with(again, &[(301, BANNER)]), fallen, "the next load found it again");
}

#[test]
fn where_a_load_begins_its_own_faults_stand_whatever_they_are() {
    let lost: BTreeSet<Fault> = [Fault::Xid(79)].into();
    assert!(faults(&log(&[(100, LOST), (200, BEGINS), (201, BANNER)]), GPU).is_empty(), "of the load before");
    assert_eq!(
        faults(&log(&[(100, BEGINS), (101, LOST), (160, BANNER)]), GPU),
        lost,
        "a driver that initialises while it probes"
    );
    assert_eq!(faults(&log(&[(100, LOST), (100, BANNER)]), GPU), lost, "nobody loads a module in no time");
    assert!(faults(&log(&[(100, LOST), (102, BANNER)]), GPU).is_empty());
}

#[test]
fn a_reset_that_is_done_after_it_gave_up_is_none() {
    let lost: BTreeSet<Fault> = [Fault::Xid(79), Fault::NotReady].into();
    let gave_up = "vfio-pci 0000:41:00.0: not ready 65535ms after FLR; giving up";
    let [resetting, done] = ["vfio-pci 0000:41:00.0: resetting", "vfio-pci 0000:41:00.0: reset done"];
    let failed = [(100, LOST), (200, resetting), (266, gave_up), (266, done)];
    assert_eq!(faults(&log(&failed), GPU), lost, "pci_dev_restore says it of every reset");
    let again: Vec<_> = failed.into_iter().chain([(300, resetting), (301, done)]).collect();
    assert!(faults(&log(&again), GPU).is_empty(), "the next one did not give up");
    let waited = [
        (100, LOST),
        (200, resetting),
        (202, "vfio-pci 0000:41:00.0: not ready 1023ms after FLR; waiting"),
        (204, done),
    ];
    assert!(faults(&log(&waited), GPU).is_empty(), "to wait is not to give up");
    let another = [(100, LOST), (200, resetting), (266, &*gave_up.replace("41:00.0", "42:00.0")), (266, done)];
    assert!(faults(&log(&another), GPU).is_empty(), "another device gave up");
    let answers =
        [(100, LOST), (266, gave_up), (270, "vfio-pci 0000:41:00.0: ready 4095ms after bus reset"), (271, done)];
    assert!(faults(&log(&answers), GPU).is_empty(), "a second way to reset it worked");
}

#[test]
fn a_reset_under_a_driver_that_knows_nothing_of_it_says_only_that_the_device_answers() {
    let slept = "nvidia 0000:41:00.0: Unable to change power state from D3hot to D0, device inaccessible";
    let done = [(200, "nvidia 0000:41:00.0: resetting"), (201, "nvidia 0000:41:00.0: reset done")];
    let lines: Vec<_> = [(100, LOST), (101, slept)].into_iter().chain(done).collect();
    assert_eq!(faults(&log(&lines), GPU), [Fault::Xid(79)].into());
    let variant = [(100, LOST), (200, "nvgrace-gpu-vfio-pci 0000:41:00.0: reset done")];
    assert!(faults(&log(&variant), GPU).is_empty(), "a variant driver of VFIO");
}

#[test]
fn a_companion_function_speaks_for_itself_alone() {
    for text in [
        "pci 0000:41:00.1: [10de:22ba] type 00 class 0x040300 PCIe Endpoint",
        "vfio-pci 0000:41:00.1: reset done",
        "snd_hda_intel 0000:41:00.1: ready 2047ms after resume",
    ] {
        let lines = [(100, LOST), (101, "nvidia 0000:41:00.0: not ready 65535ms after resume; giving up"), (200, text)];
        assert_eq!(faults(&log(&lines), GPU), [Fault::Xid(79), Fault::NotReady].into(), "{text}");
    }
}

#[test]
fn a_recovery_that_failed_takes_the_devices_along_and_one_that_worked_leaves_a_trace() {
    let port_fatal = "pcieport 0000:40:01.1: AER: Multiple Uncorrected (Fatal) error received: 0000:40:01.1";
    let cannot = "nvidia 0000:41:00.0: AER: can't recover (no error_detected callback)";
    let ended = |how: &str| format!("pcieport {PORT}: AER: device recovery {how}");
    let (failed, well) = (ended("failed"), ended("successful"));
    let seen = |lines: &[(u64, &str)]| faults(&log(lines), GPU);
    assert_eq!(seen(&[(100, port_fatal), (100, cannot), (101, &failed)]), [Fault::PcieFatal].into());
    assert_eq!(seen(&[(100, cannot), (101, &failed)]), [Fault::PcieNonFatal].into(), "the link was not reset");
    assert!(seen(&[(100, port_fatal), (100, cannot), (300, &failed)]).is_empty(), "another error's recovery");
    let told = "pcieport 0000:40:01.1: AER: Uncorrectable (Fatal) error message received from 0000:41:00.0";
    assert_eq!(seen(&[(100, told)]), [Fault::PcieFatal].into());
    assert_eq!(seen(&[(100, told), (101, &well)]), [Fault::PcieNonFatal].into(), "for an hour");
    assert_eq!(seen(&[(100, told), (300, &well)]), [Fault::PcieFatal].into(), "another error's recovery");
}

#[test]
fn what_a_port_says_holds_for_what_is_below_it() {
    let bridge = "pci 0000:40:01.1: PCI bridge to [bus 41-43]";
    let down = "pcieport 0000:40:01.1: pciehp: Slot(3): Link Down";
    let seen = |lines: &[(u64, &str)], address: &str| faults(&log(lines), address);
    assert_eq!(seen(&[(1, bridge), (100, down)], GPU), [Fault::SlotLinkDown].into());
    assert_eq!(seen(&[(1, bridge), (100, down)], "0000:43:00.0"), [Fault::SlotLinkDown].into());
    assert!(seen(&[(1, bridge), (100, down)], "0000:44:00.0").is_empty());
    assert!(seen(&[(1, bridge), (100, down)], "0001:41:00.0").is_empty(), "the same bus of another domain");
    assert!(seen(&[(100, down)], GPU).is_empty(), "the log does not say what is below");
    let nonfatal = "pcieport 0000:40:01.1: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer";
    assert!(seen(&[(1, bridge), (100, nonfatal)], GPU).is_empty(), "it may be of any of them");
    let alone = "pci 0000:40:01.1: PCI bridge to [bus 41]";
    assert_eq!(
        seen(&[(1, alone), (100, nonfatal)], GPU),
        [Fault::PcieNonFatal].into(),
        "it is the other end of the link"
    );
    let back = "pci 0000:41:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint";
    let lines = [(1, bridge), (100, down), (200, back)];
    assert!(seen(&lines, GPU).is_empty() && seen(&lines, PORT).is_empty(), "the kernel found the card there");
    let up = "pcieport 0000:40:01.1: pciehp: Slot(3): Link Up";
    assert!(seen(&[(1, bridge), (100, down), (200, up)], GPU).is_empty());
    let recovered = "pcieport 0000:40:01.1: AER: device recovery successful";
    let contained = "pcieport 0000:40:01.1: DPC: containment event, status:0x1f05 source:0x4100";
    assert_eq!(seen(&[(1, bridge), (100, contained)], GPU), [Fault::PcieFatal, Fault::Contained].into());
    assert_eq!(seen(&[(1, bridge), (100, contained), (101, recovered)], GPU), [Fault::PcieNonFatal].into());
}

#[test]
fn a_slot_has_its_link_when_it_says_so_and_a_card_alone_is_none() {
    let slot = |text: &str| format!("pcieport 0000:41:00.0: pciehp: Slot(3): {text}");
    let seen = |texts: &[&str]| {
        let lines: Vec<String> = texts.iter().map(|text| slot(text)).collect();
        faults(&log(&lines.iter().map(|text| (100, text.as_str())).collect::<Vec<_>>()), GPU)
    };
    let down: BTreeSet<Fault> = [Fault::SlotLinkDown].into();
    assert_eq!(seen(&["Link Down", "Card not present", "Card present"]), down, "without a link nobody can reach it");
    assert!(seen(&["Link Down", "Card not present", "Card present", "Link Up"]).is_empty());
    assert_eq!(seen(&["Link Down", "Card present", "Link Up", "Cannot train link"]), down, "the kernel tried in vain");
    assert_eq!(seen(&["Link Down", "Link Up", "No device found"]), [Fault::SlotEmpty].into());
    assert!(seen(&["Link Down", "Link Down/Up ignored (recovered by DPC)"]).is_empty());
    assert!(seen(&["Button pressed: will power off in 5 sec", "Powering off due to button press"]).is_empty());
}

#[test]
fn a_gpu_that_is_taken_away_was_in_the_slot_that_just_lost_its_card() {
    let down = "pcieport 0000:40:01.1: pciehp: Slot(3): Link Down";
    let removed = "NVRM: Attempting to remove device 0000:41:00.0 with non-zero usage count!";
    let both: BTreeSet<Fault> = [Fault::RemovedInUse, Fault::SlotLinkDown].into();
    let alone: BTreeSet<Fault> = [Fault::RemovedInUse].into();
    let seen = |lines: &[(u64, &str)]| faults(&log(lines), GPU);
    assert_eq!(seen(&[(100, down), (101, removed)]), both);
    assert_eq!(seen(&[(100, down), (120, removed)]), alone, "somebody took it away by hand");
    assert_eq!(seen(&[(100, &down.replace("0000:40", "0001:40")), (101, removed)]), alone);
    let other = down.replace("40:01.1", "40:03.1");
    assert_eq!(seen(&[(100, down), (100, &other), (101, removed)]), alone, "which of them cannot be said");
    let elsewhere = "pci 0000:40:01.1: PCI bridge to [bus 81]";
    assert_eq!(seen(&[(1, elsewhere), (100, down), (101, removed)]), alone, "the log says what is below");
}

#[test]
fn a_load_of_the_driver_does_not_speak_for_a_gpu_that_vfio_has() {
    let given = "vfio-pci 0000:41:00.0: vgaarb: VGA decodes changed: olddecodes=io+mem,decodes=none:owns=none";
    let lost: BTreeSet<Fault> = [Fault::Xid(79)].into();
    let seen = |lines: &[(u64, &str)]| faults(&log(lines), GPU);
    assert_eq!(seen(&[(100, LOST), (101, given), (200, BEGINS), (201, BANNER)]), lost);
    let elsewhere = given.replace("41:00.0", "41:00.1");
    assert!(seen(&[(100, LOST), (101, &elsewhere), (200, BEGINS), (201, BANNER)]).is_empty(), "its companion alone");
    let back = "nvidia 0000:41:00.0: enabling device (0000 -> 0003)";
    assert!(seen(&[(100, LOST), (101, given), (150, back), (200, BEGINS), (201, BANNER)]).is_empty());
    let speaks = "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x26:0xffff:1482)";
    assert!(seen(&[(100, LOST), (101, given), (150, speaks), (200, BEGINS), (201, BANNER)]).is_empty());
    let forged = "NVRM: GPU at 0000:41:00.0";
    assert_eq!(seen(&[(100, LOST), (101, given), (150, forged), (200, BEGINS), (201, BANNER)]), lost);
}

#[test]
fn a_companion_function_that_does_not_answer_says_nothing_of_the_gpu() {
    for (text, of) in [
        (
            "nvidia-gpu 0000:41:00.3: Unable to change power state from D3hot to D0, device inaccessible",
            Fault::Inaccessible,
        ),
        ("xhci_hcd 0000:41:00.3: not ready 65535ms after resume; giving up", Fault::NotReady),
        ("snd_hda_intel 0000:41:00.3: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x0]", Fault::IommuFault),
    ] {
        let log = log(&[(100, text)]);
        assert!(faults(&log, GPU).is_empty(), "{text}");
        assert_eq!(faults(&log, "0000:41:00.3"), [of].into());
    }
    let fatal = "snd_hda_intel 0000:41:00.1: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer";
    assert_eq!(faults(&log(&[(100, fatal)]), GPU), [Fault::PcieFatal].into(), "they share the link");
}

#[test]
fn i915_says_that_it_has_started_on_a_gpu_that_it_has_given_up() {
    let [given_up, started] = [
        "i915 0000:41:00.0: [drm] *ERROR* Failed to initialize GPU, declaring it wedged!",
        "[drm] Initialized i915 1.6.0 20230929 for 0000:41:00.0 on minor 0",
    ];
    assert_eq!(faults(&log(&[(5, given_up), (6, started)]), GPU), [Fault::StartFailed].into());
    assert!(faults(&log(&[(5, given_up), (6, started), (90, started)]), GPU).is_empty(), "bound anew");
    let nvidia_drm = "[drm] Initialized nvidia-drm 0.0.0 20160202 for 0000:41:00.0 on minor 1";
    let hang = "i915 0000:41:00.0: [drm] GPU HANG: ecode 12:1:85dffffb, in glxgears [4711]";
    assert_eq!(
        faults(&log(&[(5, hang), (90, nvidia_drm)]), GPU),
        [Fault::Hang].into(),
        "it starts without asking the GPU"
    );
}
