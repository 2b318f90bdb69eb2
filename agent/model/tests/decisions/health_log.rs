//! The kernel log: which lines say what of which device, what counts for how long, and that no flood costs memory.

use model::PciAddress;
use model::health::HealthState;
use model::health::device_fault::{Fault, Recovery};
use model::health::kernel_log::{COUNTS_FOR_MS, FINDINGS_MAX, KernelLog};
use model::health::line::record;
use model::health::log_event::LogEvent;
use model::health::over::Evidence;
use model::health::record::event_in;
use model::time::BootMillis;
use proptest::prelude::*;

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn fault(address: &str, fault: Fault) -> Option<LogEvent> {
    Some(LogEvent::Fault(at(address), fault))
}

/// A record of the kernel's own at this second.
fn line(second: u64, text: &str) -> String {
    format!("3,{second},{}000000,-;{text}\n", second)
}

fn log(lines: &[&str]) -> KernelLog {
    let mut log = KernelLog::default();
    for (second, text) in (1..).zip(lines) {
        log.take(&line(second, text));
    }
    log
}

fn codes(log: &KernelLog, card: &str, now_ms: u64) -> Vec<Fault> {
    log.against(at(card), BootMillis(now_ms)).map(|finding| finding.fault).collect()
}

#[test]
fn every_form_of_an_xid_line_is_understood() {
    for (text, address, number) in [
        ("NVRM: Xid (PCI:0000:41:00): 79, pid=1122, GPU has fallen off the bus.", "0000:41:00.0", 79),
        (
            "NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            "0000:41:00.0",
            79,
        ),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", "0000:03:00.0", 14),
        ("NVRM: Xid (PCI:0000:c1:00 GPU-I:05): 94, pid=7, Contained: SM (0x1).", "0000:c1:00.0", 94),
        ("NVRM: Xid (PCI:0000:c1:00 GPU-I:02 GPU-CI:00): 43, pid=7, name=python3, Ch 00000008", "0000:c1:00.0", 43),
        (
            "NVRM: Xid (PCI:0001:c8:00): 31, pid=79749, name=exe, Ch 0000000a, intr 00000000. MMU Fault",
            "0001:c8:00.0",
            31,
        ),
        ("NVRM: Xid (PCI:10000:01:00): 48, pid=3, An uncorrectable double bit error (DBE)", "10000:01:00.0", 48),
    ] {
        assert_eq!(event_in(text), fault(address, Fault::Xid(number)), "{text}");
    }
}

#[test]
fn the_recovery_action_is_read_from_its_text() {
    let change = |text: &str| {
        event_in(&format!("NVRM: Xid (PCI:0000:41:00): 154, pid=1, name=a, GPU recovery action changed {text}"))
    };
    let is = |recovery| Some(LogEvent::Wants(at("0000:41:00.0"), recovery));
    assert_eq!(change("from 0x0 (None) to 0x1 (GPU Reset Required)"), is(Recovery::Reset));
    assert_eq!(change("from 0x0 (None) to 0x2 (Node Reboot Required)"), is(Recovery::Reboot));
    assert_eq!(change("from 0x0 (None) to 0x3 (Drain P2P)"), is(Recovery::Drain));
    assert_eq!(
        change("from 0x1 (GPU Reset Required) to 0x0 (None)"),
        Some(LogEvent::Over(at("0000:41:00.0"), Evidence::NothingToRecover))
    );
}

#[test]
fn other_drivers_and_the_bus_are_understood() {
    let cases = [
        ("NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.", "0000:01:00.0", Fault::FallenOffTheBus),
        (
            "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 44 sourcerouting error",
            "0000:c1:00.0",
            Fault::SxidFatal(24007),
        ),
        (
            "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress",
            "0000:c1:00.0",
            Fault::SxidNonFatal(12028),
        ),
        (
            "nvidia 0000:41:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, (Requester ID)",
            "0000:41:00.0",
            Fault::PcieFatal,
        ),
        (
            "nvidia 0000:41:00.0: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), type=Transaction Layer",
            "0000:41:00.0",
            Fault::PcieNonFatal,
        ),
        (
            "pcieport 0000:40:01.1: AER: Uncorrected (Fatal) error received: 0000:41:00.0",
            "0000:41:00.0",
            Fault::PcieFatal,
        ),
        (
            "pcieport 0000:40:01.1: AER: Multiple Uncorrectable (Non-Fatal) error message received from 0000:41:00.0",
            "0000:41:00.0",
            Fault::PcieNonFatal,
        ),
        (
            "amdgpu 0000:28:00.0: ring gfx_0.0.0 timeout, signaled seq=57638, emitted seq=57641",
            "0000:28:00.0",
            Fault::Hang,
        ),
        ("amdgpu 0000:0c:00.0: amdgpu: GPU reset begin!", "0000:0c:00.0", Fault::Hang),
        ("amdgpu 0000:0c:00.0: amdgpu: GPU reset(4) failed", "0000:0c:00.0", Fault::ResetFailed),
        (
            "amdgpu 0000:0c:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block",
            "0000:0c:00.0",
            Fault::RasUncorrectable,
        ),
        ("i915 0000:00:02.0: [drm] GPU HANG: ecode 12:1:85dffffb, in glxgears [4711]", "0000:00:02.0", Fault::Hang),
        ("xe 0000:03:00.0: [drm] device wedged, needs recovery", "0000:03:00.0", Fault::ResetFailed),
        ("xe 0000:03:00.0: [drm] device wedged, but recovered through reset", "0000:03:00.0", Fault::Hang),
    ];
    for (text, address, expected) in cases {
        assert_eq!(event_in(text), fault(address, expected), "{text}");
    }
}

#[test]
fn what_says_nothing_against_a_gpu_is_left_alone() {
    for text in [
        "",
        "eth0: link up",
        "NVRM: Xid",
        "NVRM: Xid (PCI:0000:41:00): ",
        "NVRM: Xid (PCI:00zz:41:00): 79, x",
        "NVRM: Xid (PCI:0000:41:00",
        "Xid (PCI:0000:41:00): 79, said by a program",
        "nvidia 0000:41:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
        "pcieport 0000:40:01.1: AER: Corrected error received: 0000:41:00.0",
        "amdgpu 0000:0c:00.0: amdgpu: 0 uncorrectable hardware errors detected in umc block",
        "amdgpu 0000:0c:00.0: amdgpu: GPU reset succeeded, trying to resume",
        "amdgpu 41:00.0: amdgpu: GPU reset begin!",
        "i915 0000:00:02.0: [drm] GuC firmware i915/tgl_guc_70.bin version 70.5.1",
    ] {
        assert_eq!(event_in(text), None, "{text}");
    }
}

#[test]
fn a_record_is_the_kernels_own_and_unescaped() {
    let read = record("6,339,5140900,-,caller=T1;NVRM: fallen\\x0aoff \\x5c \\xzz").unwrap();
    assert_eq!((read.sequence, read.since_boot_us, &*read.text), (339, 5_140_900, "NVRM: fallen\noff \\ \\xzz"));
    for text in ["", ";", "x,1,2,-;t", "6,1,2;t", "12,1,2,-;written by a program", " SUBSYSTEM=pci"] {
        assert_eq!(record(text), None, "{text}");
    }
}

#[test]
fn a_message_in_several_records_is_put_together() {
    let parts = [
        "NVRM: The NVIDIA GPU 0000:b3:00.0",
        "NVRM: (PCI ID: 10de:26b5) installed in this system has",
        "NVRM: fallen off the bus and is not responding to commands.",
    ];
    assert_eq!(codes(&log(&parts), "0000:b3:00.0", 5000), [Fault::FallenOffAtProbe]);
    assert_eq!(codes(&log(&[&parts.join("\\x0a")]), "0000:b3:00.0", 5000), [Fault::FallenOffAtProbe]);
    let torn = [parts[0], "eth0: link up", parts[2]];
    assert!(codes(&log(&torn), "0000:b3:00.0", 5000).is_empty(), "another's line between them ends it");
}

#[test]
fn what_failed_counts_until_the_device_begins_anew() {
    let lost = "NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.";
    let year = 365 * 86_400_000;
    assert_eq!(codes(&log(&[lost]), "0000:41:00.0", year), [Fault::Xid(79)]);
    for over in [
        "pci 0000:41:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint",
        "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.105.08",
        "vfio-pci 0000:41:00.0: reset done",
        "NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x2 (Node Reboot Required) to 0x0 (None)",
    ] {
        let log = log(&[lost, over]);
        assert!(codes(&log, "0000:41:00.0", 5000).is_empty(), "{over}");
        assert_eq!(log.last_xid(at("0000:41:00.0")), Some(79), "what was is not forgotten");
    }
    let other = "pci 0000:42:00.0: [10de:2330] type 00 class 0x030200";
    assert_eq!(codes(&log(&[lost, other]), "0000:41:00.0", 5000), [Fault::Xid(79)]);
}

#[test]
fn what_leaves_the_gpu_at_work_counts_for_an_hour() {
    let mut log = log(&["NVRM: Xid (PCI:0000:41:00): 94, Contained"]);
    let end = 1000 + COUNTS_FOR_MS;
    assert_eq!(codes(&log, "0000:41:00.0", end - 1).len(), 1);
    assert!(codes(&log, "0000:41:00.0", end).is_empty());
    assert!(log.take(&line(10_000, "NVRM: Xid (PCI:0000:41:00): 94, Contained")), "after its end it is news again");
}

#[test]
fn an_applications_xid_is_shown_as_the_last_one_only() {
    let mut log = log(&["NVRM: Xid (PCI:0000:41:00): 31, pid=1, MMU Fault"]);
    assert!(codes(&log, "0000:41:00.0", 2000).is_empty());
    assert_eq!(log.last_xid(at("0000:41:00.0")), Some(31));
    assert!(!log.take(&line(3, "NVRM: Xid (PCI:0000:41:00): 31, pid=2, MMU Fault")), "the same again is no news");
    assert!(log.take(&line(4, "NVRM: Xid (PCI:0000:41:00): 13, pid=2")));
}

#[test]
fn a_million_lines_are_a_handful_of_findings_and_no_news() {
    let mut log = KernelLog::default();
    let mut news = 0;
    for index in 0_u64..1_000_000 {
        let card = index % 2000;
        let text = format!("NVRM: Xid (PCI:0000:{:02x}:{:02x}): {}, flood", card / 32, card % 32, 48 + index % 3);
        news += u64::from(log.take(&line(1, &text)));
    }
    let kept = (0..2000).map(|card| codes(&log, &format!("0000:{:02x}:{:02x}.0", card / 32, card % 32), 2000).len());
    assert!(kept.sum::<usize>() <= FINDINGS_MAX);
    let mut one = KernelLog::default();
    let flood = line(1, "NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.");
    let repeated = (0..100_000).filter(|_| one.take(&flood)).count();
    assert_eq!(repeated, 1, "one line a hundred thousand times is one piece of news");
    assert!(news > 0);
    assert_eq!(one.against(at("0000:41:00.0"), BootMillis(9)).next().unwrap().count, 100_000);
}

#[test]
fn the_log_says_whether_it_is_heard() {
    let mut log = KernelLog::default();
    assert!(!log.is_heard() && log.unheard().is_none());
    log.lose(model::health::kernel_log::KernelLogUnavailable { said: "standard input is /dev/null".to_owned() });
    assert!(log.unheard().unwrap().to_string().contains("/dev/null"));
    log.hear();
    assert!(log.is_heard() && log.unheard().is_none());
}

proptest! {
    #[test]
    fn no_line_makes_it_panic_or_weighs_nothing(text in ".{0,300}", head in "[0-9,;-]{0,30}") {
        let mut log = KernelLog::default();
        log.take(&format!("{head}{text}"));
        log.take(&line(1, &text));
        for finding in log.against(at("0000:00:00.0"), BootMillis(0)) {
            prop_assert!(finding.fault.weight() > HealthState::Ok);
        }
    }

    #[test]
    fn an_xid_keeps_address_and_number(bus: u8, device in 0u8..32, number in 0u32..1000) {
        prop_assume!(number != 154);
        let text = format!("NVRM: Xid (PCI:0000:{bus:02x}:{device:02x}): {number}, pid=1");
        let address = PciAddress { domain: 0, bus, device, function: 0 };
        prop_assert_eq!(event_in(&text), Some(LogEvent::Fault(address, Fault::Xid(number))));
    }
}

/// What a program without rights can have the kernel say: a crash, with its own name and the name of its file.
#[test]
fn a_program_cannot_speak_for_a_driver() {
    let crash = |comm: &str, file: &str| {
        assert!(comm.len() <= 15, "{comm}: the kernel cuts it");
        format!("4,1,2000000,-;{comm}[4711]: segfault at 0 ip 0000 sp 0000 error 6 in {file}[400000+1000]")
    };
    let forged = [
        crash("x", "NVRM: Xid (PCI:0000:41:00): 79, pid=1, GPU has fallen off the bus."),
        crash("NVRM: Xid (PCI:", "0000:41:00): 79, x"),
        crash("NVRM:", "0000:41:00.0 has fallen off the bus"),
        crash("NVRM: GPU at 41", "GPU 0000:41:00.0: GPU has fallen off the bus."),
        crash("nvidia-nvswitch", ": SXid (PCI:0000:41:00.0): 24007, Fatal, Link 44"),
        crash("xe", "xe 0000:41:00.0: GPU HANG"),
        "4,1,2000000,-;traps: x[4711] trap invalid opcode ip:0 sp:0 error:0 in NVRM: Xid (PCI:0000:41:00): 79, x"
            .to_owned(),
        "4,1,2000000,-;process 'NVRM: Xid (PCI:0000:41:00): 79,' launched '/x' with NULL argv".to_owned(),
        "4,1,2000000,-;x[1]: segfault at 0 in NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.95.05".to_owned(),
    ];
    let mut log = KernelLog::default();
    assert!(log.take("3,1,1000000,-;NVRM: Xid (PCI:0000:42:00): 79, pid=1, GPU has fallen off the bus."));
    for line in forged {
        assert!(!log.take(&line), "{line}");
    }
    let now = BootMillis(3_000);
    assert_eq!(log.against("0000:41:00.0".parse().unwrap(), now).count(), 0);
    assert_eq!(log.against("0000:42:00.0".parse().unwrap(), now).count(), 1, "nor can it take back what a driver said");
}
