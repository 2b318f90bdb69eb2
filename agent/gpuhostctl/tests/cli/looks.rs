//! The commands that look.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, busctl, hosts, until};
use crate::run::{finish, gpuhostctl, json, program, told};
use model::enrol::{CheckinState, CheckinStatus};
use model::readiness::{ReadinessState, ReadinessStatus};
use model::time::UnixMillis;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A daemon that has seen a host with two GPUs, one of them usable.
fn two_gpus() -> (PrivateBus, Served) {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    (bus, served)
}

fn words(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[test]
fn gpus_says_what_each_is_who_has_it_and_what_to_do() {
    let (bus, _served) = two_gpus();
    let text = told(&bus, &["gpus"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(words(lines[0]), ["ADDRESS", "NAME", "DRIVER", "USE", "HELD BY", "HEALTH", "USABLE"]);
    let usable = ["0000:41:00.0", "NVIDIA H100 80GB HBM3", "nvidia", "host", "python3 (4711)", "ok", "yes"];
    assert_eq!(words(lines[1])[..3], usable[..3]);
    assert_eq!(words(lines[1])[4..], usable[4..]);
    assert_eq!(words(lines[2])[..3], ["0000:c1:00.0", "GH100 [H100 SXM5 80GB]", "none"]);
    assert_eq!(words(lines[2]).last(), Some(&"no"));
    assert!(lines[3].trim_start().starts_with("why:   kernel_driver: "), "{text}");
    assert!(lines[4].trim_start().starts_with("to do: "), "{text}");
    assert_eq!(lines.last(), Some(&"1 of 2 GPUs usable"));
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
}

#[test]
fn a_host_without_a_gpu_says_so() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::no_gpu()));
    assert_eq!(told(&bus, &["gpus"]).trim(), "There is no GPU on the PCI bus.");
    assert!(told(&bus, &["iommu"]).contains("The kernel has no IOMMU groups"));
    let status = told(&bus, &["status"]);
    assert!(status.contains("Docker was not found") && status.contains("none on the PCI bus"), "{status}");
    served.core.observation.send_modify(|seen| Arc::make_mut(seen).sequence = 0);
    assert!(told(&bus, &["gpus"]).contains("not been observed yet"));
}

#[test]
fn a_gpu_that_is_gone_is_listed_with_what_it_was() {
    let (bus, served) = two_gpus();
    served.core.observation.send_modify(|seen| Arc::make_mut(seen).gone = vec![hosts::gone()]);
    let text = told(&bus, &["gpus"]);
    let line = text.lines().find(|line| line.contains("  gone  ")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("0000:81:00.0  gone  NVIDIA H100 80GB HBM3, GPU-"), "{line}");
    assert!(line.contains("serial number 1650000000001") && line.contains("last seen"), "{line}");
    assert!(text.contains("gpuhostctl gpu acknowledge 0000:81:00.0"), "{text}");
    let shown = busctl(
        &bus,
        &["get-property", "org.gpuhost.Agent1", "/org/gpuhost/Agent1", "org.gpuhost.Agent1.Host", "GoneGpus"],
    );
    for word in [
        "aa{sv} 1 7",
        "\"Address\" s \"0000:81:00.0\"",
        "\"LastSeen\" t 1700000000000",
        "\"GoneSince\" t 1700000005000",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}

#[test]
fn an_ill_gpu_says_what_it_has_and_what_to_do() {
    let bus = PrivateBus::start();
    let xid = "NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.";
    let _served = Served::start(&bus, core(hosts::after_log(hosts::two_gpus(), xid)));
    let text = told(&bus, &["gpus"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(words(lines[1])[5..], ["failed", "no"], "{text}");
    assert!(lines[2].contains("health_failed"), "{text}");
    assert!(lines[4].starts_with("    failed xid_79: NVIDIA's driver reported Xid 79"), "{text}");
    assert!(lines[5].contains("power the machine off and on"), "{text}");
    assert!(told(&bus, &["status"]).contains("gpu_health_failed"));
    let gpu = &json(&bus, &["gpus", "--json"])[0];
    assert_eq!((&gpu["Health"], &gpu["LastXid"]), (&"failed".into(), &79.into()));
    assert_eq!(gpu["HealthReasons"][0]["Code"], "xid_79");
}

#[test]
fn mig_devices_stand_under_their_gpu_which_is_withdrawn() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::sliced()));
    let text = told(&bus, &["gpus"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(words(lines[1]).last(), Some(&"no"), "{text}");
    assert_eq!(words(lines[2]), ["MIG 1/0", "3g.40gb", "40448 MiB", "MIG-0b6c5d5e-7c0e-5b0a-9e5c-3f8c1d7e2a11"]);
    assert_eq!(words(lines[3]), ["MIG 9/0", "-", "9984 MiB", "-"]);
    assert!(lines[4].contains("MIG mode is on"), "{text}");
    let text = told(&bus, &["gpu", "show", "41:00.0"]);
    assert!(text.contains("\nMIG devices\n  MIG 1/0  3g.40gb  40448 MiB"), "{text}");
    let mig = &json(&bus, &["gpus", "--json"])[0]["MigDevices"][1];
    assert_eq!((&mig["GpuInstance"], &mig["Multiprocessors"]), (&9.into(), &16.into()));
    assert_eq!((&mig["Uuid"], &mig["Absent"]["Uuid"]), (&serde_json::Value::Null, &"not_reported".into()));
}

#[test]
fn json_has_the_names_of_the_bus_and_null_for_unknown() {
    let (bus, _served) = two_gpus();
    let gpus = json(&bus, &["gpus", "--json"]);
    assert_eq!(gpus[0]["Uuid"], "GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88");
    assert_eq!((&gpus[1]["Driver"], &gpus[1]["Absent"]["Driver"]), (&serde_json::Value::Null, &"none".into()));
    assert_eq!(gpus[0]["Metrics"]["TemperatureCelsius"], 36.0);
    assert_eq!(json(&bus, &["--json", "status"])["UsableGpuCount"], 1);
    assert_eq!(json(&bus, &["iommu", "--json"])[1]["Foreign"][0], "0000:c2:00.0");
    assert_eq!(json(&bus, &["gpu", "show", "c1:00.0", "--json"])["Address"], "0000:c1:00.0");
    assert_eq!(json(&bus, &["jobs", "--json"]), serde_json::json!([]));
}

#[test]
fn gpu_show_finds_it_by_address_or_uuid_and_names_the_reason_of_what_is_missing() {
    let (bus, _served) = two_gpus();
    for name in [
        "0000:41:00.0",
        "41:00.0",
        "00000000:41:00.0",
        "GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88",
        "gpu-5D0E1F4A-2C33-0B1E-8A4E-1F0D9C6B7A88",
    ] {
        let text = told(&bus, &["gpu", "show", name]);
        assert!(text.starts_with("0000:41:00.0  NVIDIA H100 80GB HBM3\n"), "{text}");
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert_eq!(words(line("BootVga")), ["BootVga", "unknown (unreadable: Permission denied)"]);
        assert_eq!(words(line("DriverOverride")), ["DriverOverride", "none"]);
        assert_eq!(words(line("FanPercent")), ["FanPercent", "unknown (not_supported)"]);
        assert_eq!(words(line("kernel_driver"))[..2], ["kernel_driver", "ok"]);
    }
}

#[test]
fn a_gpu_that_is_not_there_is_not_found_and_what_is_no_name_is_wrong() {
    let (bus, _served) = two_gpus();
    let ran = gpuhostctl(&bus, &["gpu", "show", "42:00.0"]);
    assert_eq!((ran.status, ran.err.trim()), (5, "gpuhostctl: there is no GPU 42:00.0; see: gpuhostctl gpus"));
    for (name, words) in
        [("../x", "names no GPU"), ("", "names no GPU"), ("0", "is an index"), ("GPÜ-1", "names no GPU")]
    {
        let ran = gpuhostctl(&bus, &["gpu", "show", name]);
        assert!(
            ran.status == 2 && ran.err.contains(words) && ran.err.contains("gpuhostctl gpus lists both"),
            "{ran:?}"
        );
    }
    assert_eq!(gpuhostctl(&bus, &["no-such-verb"]).status, 2);
}

#[test]
fn iommu_draws_the_groups() {
    let (bus, _served) = two_gpus();
    let text = told(&bus, &["iommu"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "group 17 (DMA-FQ): isolated");
    assert_eq!(lines[1], "└─ 0000:41:00.0 gpu     10de:2330 nvidia");
    assert_eq!(lines[2], "group 18 (DMA-FQ): not isolated");
    assert!(lines[3].starts_with("├─ 0000:c0:01.0 bridge"), "{text}");
    assert!(lines[5].ends_with("mlx5_core  belongs to another card"), "{text}");
    assert_eq!(lines[6], "2 of 42 IOMMU groups hold a GPU");
}

#[test]
fn status_fits_a_screen_and_says_what_is_wrong_with_its_remedy() {
    let (bus, served) = two_gpus();
    let text = told(&bus, &["status"]);
    assert!(text.lines().count() < 24, "{text}");
    for part in ["node7", "1 of 2 GPUs usable", "NVIDIA 580.105.08, CUDA 13.0", "28.2.2", "gpuhostctl enroll"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(text.contains("What is wrong") && text.contains("driver_unavailable"), "{text}");
    let checkin = CheckinStatus {
        state: CheckinState::Unreachable,
        manager: Some("manager.example:443".to_owned()),
        last_error: Some("connection refused".to_owned()),
        ..CheckinStatus::default()
    };
    served.core.checkin.send_replace(Arc::new(checkin));
    let text = told(&bus, &["status"]);
    assert!(text.contains("unreachable with manager.example:443; connection refused"), "{text}");
    let until = SystemTime::now() + Duration::from_secs(4 * 3600 + 1800);
    let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let wait_until = Some(UnixMillis(since.as_millis().try_into().unwrap()));
    let asked_to_wait = CheckinStatus { state: CheckinState::Ok, wait_until, ..CheckinStatus::default() };
    served.core.checkin.send_replace(Arc::new(asked_to_wait));
    let text = told(&bus, &["status"]);
    assert!(text.contains("ok; asked to wait 4 h"), "{text}");
}

#[test]
fn jobs_shows_how_they_ended_and_who_asked() {
    let (bus, served) = two_gpus();
    assert!(told(&bus, &["jobs"]).contains("There is no job"));
    let refusal = model::refusal::Refusal::Conflict { why: "the host is locked".into() };
    served.core.ending.send_modify(|ending| *ending = Err(refusal));
    let call = ["call", "org.gpuhost.Agent1", "/org/gpuhost/Agent1", "org.gpuhost.Agent1.Host", "Rescan", "a{sv}", "0"];
    busctl(&bus, &call);
    until("the job has failed", || told(&bus, &["jobs"]).contains("failed"));
    let text = told(&bus, &["jobs"]);
    let row = words(text.lines().nth(1).unwrap());
    assert_eq!(
        (row[1], row[2], row[3], row[5], row[6]),
        ("rescan", "-", "failed", "uid 0", "the host is locked"),
        "of no GPU"
    );
    let shown = told(&bus, &["jobs", row[0]]);
    assert!(shown.contains("rescan") && shown.contains("conflict: the host is locked"), "{shown}");
    assert_eq!(json(&bus, &["job", row[0], "--json"])["Error"][0], "conflict");
    assert_eq!(gpuhostctl(&bus, &["jobs", row[0], "--wait"]).status, 7, "the exit status of its code");
    let unknown = gpuhostctl(&bus, &["jobs", "999"]);
    assert!(unknown.status == 5 && unknown.err.contains("there is no job 999; see: gpuhostctl jobs"), "{unknown:?}");
}

#[test]
fn conditions_are_listed_with_reason_and_age() {
    let (bus, served) = two_gpus();
    served.core.observe(|next| next.conditions.clear());
    until("no condition", || told(&bus, &["conditions"]).contains("No condition holds"));
    served.core.observe(|next| {
        next.conditions = vec![model::condition::Condition {
            kind: "swap_missing".to_owned(),
            status: model::condition::ConditionStatus::True,
            reason: "no_swap".to_owned(),
            message: "memory is promised twice and there is no swap; add some".to_owned(),
            since: UnixMillis(1),
        }];
    });
    until("one condition", || told(&bus, &["conditions"]).contains("swap_missing"));
    let text = told(&bus, &["conditions"]);
    let row = words(text.lines().nth(1).unwrap());
    assert_eq!(row[..3], ["swap_missing", "true", "no_swap"]);
    assert!(text.contains("\n    memory is promised twice"), "{text}");
    assert_eq!(json(&bus, &["conditions", "--json"])[0]["Type"], "swap_missing");
}

#[test]
fn a_name_from_a_device_cannot_steer_the_terminal() {
    let (bus, served) = two_gpus();
    served.core.observe(|next| next.gpus[1].pci.name = Some("Evil\u{1b}[2J\nGPU".to_owned()));
    let text = told(&bus, &["gpus"]);
    assert!(text.contains("Evil[2JGPU") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn an_unprivileged_user_may_look() {
    let (bus, _served) = two_gpus();
    // The build folder may be closed to others: the program is copied to where everybody may start it.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("gpuhostctl");
    // By a process of its own: a child of another test would inherit the file while it is written, and keep it from starting.
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_gpuhostctl")).arg(&copy).status().unwrap();
    assert!(copied.success());
    for (args, status) in [(["gpus", "--json"], 0), (["rescan", "--no-ask"], 4)] {
        let mut command = std::process::Command::new(&copy);
        command.args(args).env("GPUHOSTD_BUS", &bus.address).uid(NOBODY).gid(NOBODY).current_dir("/");
        let ran = finish(command, b"");
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
    }
}

#[test]
fn the_option_wins_over_the_environment() {
    let (bus, _served) = two_gpus();
    let mut command = program("unix:path=/nonexistent");
    command.args(["--bus", &bus.address, "gpus"]);
    assert_eq!(finish(command, b"").status, 0);
}

#[test]
fn colours_can_be_forced_and_forbidden() {
    let (bus, _served) = two_gpus();
    let coloured = |no_color: bool| {
        let mut command = program(&bus.address);
        command.arg("gpus").env("CLICOLOR_FORCE", "1");
        if no_color {
            command.env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1");
        }
        finish(command, b"").out.contains('\u{1b}')
    };
    assert!(coloured(false));
    assert!(!coloured(true));
}

#[test]
fn status_shows_what_the_readiness_call_waits_for_only_where_there_is_one() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    assert!(!told(&bus, &["status"]).contains("Readiness"));
    let detail = Some("docker: Docker does not answer".to_owned());
    served.core.readiness.send_replace(Arc::new(ReadinessStatus { state: ReadinessState::Waiting, detail }));
    let line = "waiting; docker: Docker does not answer";
    until("the status is shown", || told(&bus, &["status"]).contains(line));
    assert_eq!(json(&bus, &["status", "--json"])["Readiness"], "waiting");
}
