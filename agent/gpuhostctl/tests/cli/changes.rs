//! The commands that change something, and a daemon that is not there.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts, until};
use crate::run::{finish, gpuhostctl, json, program, told};
use model::blocker::{Blocked, Blocker};
use model::change::Change;
use model::enrol::EnrolmentEdit;
use model::enrol::{CheckinStatus, Secret};
use model::machine_kind::Machine;
use model::manager_trust::{TrustChange, TrustKind, TrustSource, TrustedBy};
use model::refusal::Refusal;
use model::time::UnixMillis;
use std::process::Stdio;
use std::sync::Arc;

fn daemon() -> (PrivateBus, Served) {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    (bus, served)
}

#[test]
fn a_daemon_that_does_not_run_is_named_with_what_to_do() {
    let bus = PrivateBus::start();
    for args in [&["gpus"][..], &["rescan"], &["status", "--json"]] {
        let ran = gpuhostctl(&bus, args);
        assert_eq!(ran.status, 8, "{ran:?}");
        assert!(ran.err.contains("gpuhostd is not running") && ran.err.contains("systemctl start gpuhostd"), "{ran:?}");
        assert!(ran.out.is_empty());
    }
}

#[test]
fn a_bus_that_is_not_there_is_named() {
    let mut command = program("unix:path=/nonexistent/bus");
    command.arg("gpus");
    let ran = finish(command, b"");
    assert_eq!(ran.status, 8);
    assert!(ran.err.contains("unix:path=/nonexistent/bus") && ran.err.contains("No such file"), "{ran:?}");
}

#[test]
fn rescan_waits_for_the_end_of_the_job() {
    let (bus, served) = daemon();
    served.core.hold.send_replace(true);
    let mut command = program(&bus.address);
    let mut child = command.arg("rescan").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the job is at work", || !served.core.got.borrow().is_empty());
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    served.core.hold.send_replace(false);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "The host was scanned again.\n");
}

#[test]
fn a_job_that_fails_ends_with_its_code() {
    let (bus, served) = daemon();
    let refusal = model::refusal::Refusal::HostFault { attempted: "scan the PCI bus".into(), said: "EIO".into() };
    served.core.ending.send_modify(|ending| *ending = Err(refusal));
    let ran = gpuhostctl(&bus, &["rescan"]);
    assert_eq!((ran.status, ran.err.trim()), (10, "gpuhostctl: scan the PCI bus: EIO"));
    let ran = gpuhostctl(&bus, &["rescan", "--json"]);
    assert_eq!(ran.status, 10);
    let job: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&job["Result"], &job["Error"][0]), (&"failed".into(), &"host_fault".into()));
}

#[test]
fn without_waiting_the_job_is_printed() {
    let (bus, served) = daemon();
    served.core.hold.send_replace(true);
    assert_eq!(told(&bus, &["rescan", "--no-wait"]), "/org/gpuhost/Agent1/job/1\n");
    served.core.hold.send_replace(false);
    assert_eq!(json(&bus, &["rescan", "--json"])["Result"], "done");
}

#[test]
fn a_daemon_that_stops_in_the_middle_ends_the_waiting() {
    let (bus, mut served) = daemon();
    served.core.hold.send_replace(true);
    let mut command = program(&bus.address);
    let child = command.arg("rescan").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the job is at work", || !served.core.got.borrow().is_empty());
    served.stop();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(8));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("gpuhostd"), "{said}");
}

#[test]
fn enroll_hands_the_token_over_by_descriptor() {
    let (bus, served) = daemon();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let pin = "ab".repeat(32);
    let args = ["enroll", "https://a.example", "https://b.example:8443", "--pin-sha256", &pin, "--shared"];
    told(&bus, &[&args[..], &["--token-file", file.to_str().unwrap()]].concat());
    let next = "cd".repeat(32);
    let mut command = program(&bus.address);
    command.args(["enroll", "https://a.example", "--token-file", "-", "--pin", &pin, "--pin", &next]);
    let ran = finish(command, b"from-a-pipe\n");
    assert_eq!(ran.status, 0, "{ran:?}");
    let got = served.core.got.borrow().clone();
    let first = got[0].enrolment.clone().unwrap();
    assert_eq!(first.urls, ["https://a.example", "https://b.example:8443"]);
    assert_eq!((first.token.expose(), first.shared, first.pins.all()), ("from-a-file", true, &[pin.clone()][..]));
    let second = got[1].enrolment.clone().unwrap();
    assert_eq!((second.token.expose(), second.pins.all()), ("from-a-pipe", &[pin.clone(), next][..]));
    let three = ["--pin", &pin, "--pin", &"ef".repeat(32), "--pin", &"01".repeat(32)];
    let mut command = program(&bus.address);
    command.args([&["enroll", "https://a.example", "--token-file", "-"][..], &three].concat());
    let ran = finish(command, b"t");
    assert!(ran.status == 2 && ran.err.contains("pin-sha256"), "{ran:?}");
    assert_eq!(served.core.got.borrow().len(), 2);
}

#[test]
fn an_enrolment_that_makes_no_sense_is_refused_with_the_reason() {
    let (bus, served) = daemon();
    let mut command = program(&bus.address);
    command.args(["enroll", "http://a.example", "--token-file", "-"]);
    let ran = finish(command, b"t");
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("expected https://"), "{ran:?}");
    let missing = gpuhostctl(&bus, &["enroll", "https://a", "--token-file", "/nonexistent/token"]);
    assert!(missing.status == 1 && missing.err.contains("/nonexistent/token"), "{missing:?}");
    assert!(served.core.got.borrow().is_empty());
}

#[test]
fn a_check_prints_the_group_and_the_plan() {
    let (bus, served) = daemon();
    let said = told(&bus, &["passthrough", "check", "41:00.0", "--guest-memory-mib", "4096"]);
    let wanted = [
        "0000:41:00.0",
        "group 17",
        "It can be given to a virtual machine",
        "\n  1  scan the PCI bus\n  2  ask the driver\n",
    ];
    assert!(wanted.iter().all(|part| said.contains(part)), "{said}");
    let change = served.core.got.borrow()[0].change.clone().unwrap();
    let (Change::PassthroughBind(bind), true) = change else { panic!("{change:?}") };
    assert_eq!(bind.guest_memory_mib, Some(4096));
    assert_eq!(json(&bus, &["passthrough", "check", "41:00.0", "--json"])["Plan"][1], "ask the driver");
}

#[test]
fn what_stands_in_the_way_is_listed_with_what_to_do_and_has_a_status_of_its_own() {
    let (bus, served) = daemon();
    let blockers = vec![Blocker::BootVga, Blocker::IommuOff { machine: Machine::X86 }];
    let blocked = Blocked::by("0000:41:00.0".parse().unwrap(), blockers).unwrap();
    served.core.ending.send_modify(|ending| *ending = Err(Refusal::Blocked(blocked)));
    let ran = gpuhostctl(&bus, &["passthrough", "check", "41:00.0"]);
    assert_eq!((ran.status, ran.out.matches("to do: ").count()), (11, 2), "{ran:?}");
    assert!(ran.out.contains("boot_vga  ") && ran.out.contains("iommu_off  "), "{ran:?}");
    let ran = gpuhostctl(&bus, &["passthrough", "bind", "41:00.0"]);
    assert!(ran.status == 11 && ran.err.contains("boot_vga = true"), "{ran:?}");
    let ran = gpuhostctl(&bus, &["passthrough", "check", "41:00.0", "--json"]);
    let job: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, job["Blockers"][1]["Code"].as_str()), (11, Some("iommu_off")));
}

#[test]
fn a_gpu_is_given_away_confirmed_and_taken_back() {
    let (bus, served) = daemon();
    let said = told(&bus, &["passthrough", "bind", "0000:41:00.0", "--confirm-within", "5m"]);
    assert!(said.contains("in 300 s unless you confirm it: gpuhostctl passthrough confirm 0000:41:00.0"), "{said}");
    told(&bus, &["passthrough", "confirm", "41:00.0"]);
    assert_eq!(told(&bus, &["passthrough", "release", "41:00.0"]), "0000:41:00.0 belongs to the host again.\n");
    told(&bus, &["passthrough", "release", "41:00.0", "--dry-run"]);
    for wrong in ["0s", "25h", "soon", "-1", "99999999999999999999h"] {
        let ran = gpuhostctl(&bus, &["passthrough", "bind", "41:00.0", &format!("--confirm-within={wrong}")]);
        assert!(ran.status == 2 && ran.err.contains("from 1s to 24h"), "{ran:?}");
    }
    assert_eq!(gpuhostctl(&bus, &["passthrough", "bind", "42:00.0"]).status, 5);
    let got = served.core.got.borrow().clone();
    let operations: Vec<_> = got.iter().map(|got| got.operation).collect();
    assert_eq!(operations, ["passthrough-bind", "passthrough-confirm", "passthrough-release", "passthrough-release"]);
    let dry: Vec<_> = got.iter().filter_map(|got| got.change.clone()).map(|(_, is_dry_run)| is_dry_run).collect();
    let confirm_within_ms = got[0].change.clone().unwrap().0.confirm_within_ms();
    assert_eq!((confirm_within_ms, dry), (Some(300_000), vec![false, false, true]));
}

#[test]
fn lock_and_unlock_are_jobs() {
    let (bus, served) = daemon();
    assert!(told(&bus, &["lock"]).contains("gpuhostctl unlock"));
    told(&bus, &["unlock"]);
    let got = served.core.got.borrow().clone();
    assert_eq!((got[0].operation, got[1].operation), ("lock", "unlock"));
}

#[test]
fn a_gpu_that_is_gone_is_acknowledged() {
    let (bus, served) = daemon();
    assert_eq!(
        told(&bus, &["gpu", "acknowledge", "c1:00.0"]),
        "The missing GPU c1:00.0 is acknowledged and no longer reported.\n"
    );
    assert_eq!(served.core.got.borrow()[0].operation, "acknowledge-gone-gpu");
    assert_eq!(gpuhostctl(&bus, &["gpu", "acknowledge", "GPU-1234"]).status, 2);
}

#[test]
fn leave_is_a_job_too() {
    let (bus, served) = daemon();
    assert_eq!(told(&bus, &["leave"]), "The credential of this host is wiped.\n", "of a daemon that does not say more");
    assert_eq!(served.core.got.borrow()[0].operation, "leave");
}

#[test]
fn trust_and_token_reach_the_daemon_and_what_is_trusted_is_shown() {
    let (bus, served) = daemon();
    let trust = vec![
        TrustedBy {
            kind: TrustKind::Authority,
            source: TrustSource::Manager,
            sha256: Some("cd".repeat(32)),
            until: Some(UnixMillis(4_102_444_800_000)),
            file: None,
        },
        TrustedBy {
            kind: TrustKind::Authority,
            source: TrustSource::Configuration,
            sha256: None,
            until: None,
            file: Some("/etc/ca.pem".to_owned()),
        },
    ];
    served.core.checkin.send_replace(Arc::new(CheckinStatus { trust, ..CheckinStatus::default() }));
    until("the trust is shown", || told(&bus, &["trust", "show"]).contains("/etc/ca.pem"));
    let shown = told(&bus, &["trust", "show"]);
    assert!(shown.contains("the manager") && shown.contains(&"cd".repeat(32)), "{shown}");
    let seen = json(&bus, &["trust", "show", "--json"]);
    assert_eq!((&seen[0]["Source"], &seen[1]["Sha256"]), (&"manager".into(), &serde_json::Value::Null));
    let pin = "ab".repeat(32);
    assert!(told(&bus, &["trust", "add", "--pin-sha256", &pin]).contains("gpuhostctl trust show"));
    assert!(told(&bus, &["trust", "remove", &pin]).contains("not trusted any more"));
    let mut with_token = program(&bus.address);
    with_token.args(["token", "--token-file", "-"]);
    assert_eq!(finish(with_token, b"canary\n").status, 0);
    let mut with_ca = program(&bus.address);
    with_ca.args(["trust", "add", "--ca-file", "-"]);
    assert_eq!(finish(with_ca, b"-----BEGIN CERTIFICATE-----\n").status, 0);
    let edits: Vec<_> = served.core.got.borrow().iter().map(|got| got.edit.clone().unwrap()).collect();
    let pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    assert_eq!(
        edits,
        [
            EnrolmentEdit::Trust(TrustChange::AddPin(pin.clone())),
            EnrolmentEdit::Trust(TrustChange::Remove(pin)),
            EnrolmentEdit::Token(Secret::new("canary")),
            EnrolmentEdit::Trust(TrustChange::AddAuthorities(pem)),
        ]
    );
    for wrong in
        [&["trust", "add"][..], &["trust", "add", "--pin-sha256", "abcd"], &["trust", "remove", "../x"], &["token"]]
    {
        assert_eq!(gpuhostctl(&bus, wrong).status, 2, "{wrong:?}");
    }
}
