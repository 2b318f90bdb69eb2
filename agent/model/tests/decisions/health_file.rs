//! A kernel log in a file: which line says what, in every form in which the log is printed, and that no file costs memory.

use model::health::HealthState;
use model::health::log_file::{Explained, FUNCTIONS_MAX, LogFile};
use proptest::prelude::*;

fn explained(text: &str) -> (Vec<Explained>, LogFile) {
    let mut log = LogFile::default();
    let mut records: Vec<Explained> = text.lines().flat_map(|line| log.take(line)).collect();
    records.extend(log.finish());
    (records, log)
}

fn findings(text: &str) -> Vec<(u64, Option<String>, Option<String>)> {
    let of = |it: Explained| (it.line, it.address.map(|address| address.to_string()), it.finding);
    explained(text).0.into_iter().map(of).collect()
}

fn said(line: u64, address: &str, finding: &str) -> (u64, Option<String>, Option<String>) {
    (line, Some(address.to_owned()), Some(finding.to_owned()))
}

fn health(text: &str) -> Vec<(String, HealthState, String)> {
    let (_, log) = explained(text);
    log.functions().map(|(address, health)| (address.to_string(), health.state, health.reasons.join(" "))).collect()
}

#[test]
fn each_record_has_the_number_of_its_line() {
    let text = "# a comment\n\
                3,900,100000000,-;NVRM: Xid (PCI:0000:41:00): 79, pid=1, name=x, GPU has fallen off the bus.\n \
                SUBSYSTEM=pci\n DEVICE=+pci:0000:41:00.0\n\
                \n\
                6,901,100000001,-;eth0: link up\n\
                12,902,100000002,-;NVRM: Xid (PCI:0000:42:00): 79, said by a program\n\
                6,903,200000000,-;pci 0000:41:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint\n\
                6,904,200000001,-;pci 0000:41:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint\n";
    let at = |line: u64| (line, Some("0000:41:00.0".to_owned()), None);
    assert_eq!(
        findings(text),
        [
            said(2, "0000:41:00.0", "xid_79"),
            (6, None, None),
            (7, None, None),
            said(8, "0000:41:00.0", "cleared_by_enumeration"),
            at(9),
        ],
        "what ends nothing says nothing"
    );
    assert_eq!(health(text), [("0000:41:00.0".to_owned(), HealthState::Ok, String::new())]);
}

#[test]
fn every_printer_of_the_log_gives_the_same() {
    let said_so = [said(1, "0000:41:00.0", "xid_79")];
    for before in [
        "3,900,100000000,-;",
        "3,900,100000000,-,caller=T71;",
        "[  100.000000] ",
        "<3>[  100.000000] ",
        "[  100.000000] [     T71] ",
        "kern  :err   : [  100.000000] ",
        "[Sun Feb 23 16:24:18 2025] ",
        "2026-09-11T16:24:18,028841+02:00 ",
        "2026-09-11T16:24:18+02:00 node7 kernel: ",
        "Jun 12 16:30:32 node7 kernel: ",
        "Jun 12 16:30:32 node7 kernel: [  100.000000] ",
        "[  100.000000] node7 kernel: ",
    ] {
        let line = format!("{before}NVRM: Xid (PCI:0000:41:00): 79, pid=1, GPU has fallen off the bus.\r");
        assert_eq!(findings(&line), said_so, "{before:?}");
    }
    for before in [
        "12,900,100000000,-;",
        "<12>[  100.000000] ",
        "user  :err   : [  100.000000] ",
        "Jun 12 16:30:32 node7 joe[7]: ",
    ] {
        let line = format!("{before}NVRM: Xid (PCI:0000:41:00): 79, pid=1, GPU has fallen off the bus.");
        assert_eq!(findings(&line), [(1, None, None)], "{before:?}");
    }
}

#[test]
fn dmesg_prints_the_rest_of_a_message_below_it() {
    let text = "[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0\n               NVRM: (PCI ID: 10de:26b5) installed in this system has\n  \
                             NVRM: fallen off the bus and is not responding to commands.\n\
                [ 1843.439669] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  570.158.01  Release Build\n";
    assert_eq!(findings(text)[2], said(3, "0000:b3:00.0", "fallen_off_bus"));
    assert_eq!(health(text), [("0000:b3:00.0".to_owned(), HealthState::Failed, "fallen_off_bus".to_owned())]);
}

#[test]
fn health_is_that_at_the_last_record() {
    let contained = "4,1,100000000,-;NVRM: Xid (PCI:0000:41:00): 94, Contained: SM (0x1)\n";
    let then = |second: u64| format!("{contained}6,2,{second}000000,-;eth0: link up\n");
    assert_eq!(health(contained)[0].1, HealthState::Degraded);
    assert_eq!(health(&then(3699))[0].1, HealthState::Degraded);
    assert_eq!(health(&then(3700))[0].1, HealthState::Ok, "an hour on it has ended by itself");
}

#[test]
fn a_card_is_its_function_0_and_a_companion_speaks_for_itself() {
    let text = "4,1,100000000,-;pcieport 0000:00:01.1: AER: Uncorrected (Fatal) error message received from 0000:03:00.1\n\
                4,2,100000001,-;amdgpu 0000:03:00.0: amdgpu: GPU reset begin!\n";
    let of = |address: &str, state, reasons: &str| (address.to_owned(), state, reasons.to_owned());
    assert_eq!(
        health(text),
        [
            of("0000:00:01.1", HealthState::Ok, ""),
            of("0000:03:00.0", HealthState::Failed, "pcie_fatal gpu_hang"),
            of("0000:03:00.1", HealthState::Failed, "pcie_fatal"),
        ]
    );
}

#[test]
fn no_file_costs_memory() {
    let mut log = LogFile::default();
    let garbage = "\u{0}".repeat(8192);
    for number in 0..100_000_u32 {
        let (domain, bus, device) = (number >> 13, (number >> 5) & 0xff, number & 31);
        log.take(&format!("3,1,1,-;pci {domain:04x}:{bus:02x}:{device:02x}.0: PCI bridge to [bus {bus:02x}-ff]"));
        assert!(log.take(&garbage[..usize::try_from(number % 100).unwrap()]).len() <= 1);
        assert!(log.take(" a note").is_empty());
    }
    assert_eq!(log.functions().count(), FUNCTIONS_MAX);
    assert!(log.has_left_out());
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(lines in prop::collection::vec("(3,1,2,-;)?.{0,80}", 0..8)) {
        let mut log = LogFile::default();
        for line in &lines {
            log.take(line);
        }
        log.finish();
        for (_, health) in log.functions() {
            prop_assert_eq!(health.state == HealthState::Ok, health.reasons.is_empty());
        }
    }
}
