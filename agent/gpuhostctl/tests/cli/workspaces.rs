//! GPU workspaces on the command line: shown, asked for, waited for, and nothing secret on it.

use crate::rig::core::core;
use crate::rig::hosts::workspace;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts, until};
use crate::run::{finish, gpuhostctl, json, program, told};
use model::absence::{Absence, Reading};
use model::prune_mode::PruneMode;
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{
    NetworkCounters, RemovalsHeld, StaleDriver, WorkspaceAsk, WorkspaceFigures, WorkspaceReason, WorkspaceState,
    WorkspaceStatus, WorkspacesState,
};
use serde_json::json;
use std::process::Stdio;
use std::sync::Arc;

fn daemon(state: WorkspacesState) -> (PrivateBus, Served) {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    served.core.workspaces.send_replace(Arc::new(state));
    (bus, served)
}

fn last_ask(served: &Served) -> WorkspaceAsk {
    served.core.got.borrow().last().unwrap().ask.clone().unwrap()
}

#[test]
fn the_list_has_each_workspace_and_why_one_is_not_as_it_is_wanted() {
    let refused = WorkspaceStatus {
        reason: Some(WorkspaceReason::new("no_cores", "8 cores are wanted, and 2 of 6 are left")),
        ..workspace("c", WorkspaceKind::Vdi, WorkspaceState::Pending)
    };
    let mut state = hosts::workspaces();
    state.workspaces.push(refused);
    state.removals_held = Some(RemovalsHeld { count: 9, most: 4 });
    let (bus, _served) = daemon(state);
    let text = told(&bus, &["workspaces"]);
    for part in [
        "alice-1  user    running  2.5    8 GiB",
        "why:   8 cores are wanted, and 2 of 6 are left (no_cores)",
        "confirm-removals",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(told(&bus, &["status"]).contains("Workspaces  1 of 3 running"), "one line of the screen");
    let list = json(&bus, &["workspaces", "list", "--json"]);
    assert_eq!((list.as_array().unwrap().len(), &list[2]["ReasonCode"]), (3, &json!("no_cores")));
    let text = told(&bus, &["workspace", "show", "b.2"]);
    assert!(text.contains("pulling") && text.contains("1 of 4 MiB"), "{text}");
    assert_eq!(json(&bus, &["workspaces", "show", "alice-1", "--json"])["GpuOk"], json!(true));
    let ran = gpuhostctl(&bus, &["workspaces", "show", "nobody"]);
    assert!(ran.status == 5 && ran.err.contains("there is no workspace nobody"), "{ran:?}");
}

#[test]
fn each_command_asks_for_what_it_is_called() {
    let (bus, served) = daemon(hosts::workspaces());
    let id = || "alice-1".parse().unwrap();
    let want = |desired| WorkspaceAsk::Want { id: id(), desired };
    for (command, ask) in [
        ("start", want(DesiredRun::Running)),
        ("stop", want(DesiredRun::Stopped)),
        ("pause", want(DesiredRun::Paused)),
        ("resume", want(DesiredRun::Running)),
        ("delete", want(DesiredRun::Deleted)),
        ("recreate", WorkspaceAsk::Recreate { id: id() }),
        ("retry", WorkspaceAsk::Again { id: id() }),
    ] {
        let text = told(&bus, &["workspaces", command, "alice-1"]);
        assert!(text.contains("The workspace alice-1"), "{text}");
        assert_eq!(last_ask(&served), ask, "{command}");
        assert_eq!(gpuhostctl(&bus, &["workspaces", command, "nobody"]).status, 5);
    }
    told(&bus, &["workspaces", "confirm-removals"]);
    assert_eq!(last_ask(&served), WorkspaceAsk::ConfirmRemovals);
    told(&bus, &["workspaces", "delete-staged"]);
    assert_eq!(served.core.got.borrow().last().unwrap().staged, Some(vec!["b.2".parse().unwrap()]));
}

#[test]
fn run_composes_the_workspace_and_takes_the_environment_from_standard_input_alone() {
    let (bus, served) = daemon(hosts::workspaces());
    let image = format!("registry.example/desktop@sha256:{}", "ab".repeat(32));
    let mut command = program(&bus.address);
    command.args(["run", "--name", "new-1", "--image", &image, "--cores", "2.5", "--memory", "8GiB"]);
    command.args(["--gpus", "2", "--feature", "nvenc", "--env-file", "-", "--volume", "home:/home/u"]);
    command.args(["--volume", "/data:/d:ro", "--port", "8080:80", "--kind", "staged"]);
    let ran = finish(command, b"# secrets\nTOKEN=s3cret=x\nEMPTY=\n");
    assert!(ran.status == 0 && ran.out.contains("The workspace new-1 is wanted"), "{ran:?}");
    let WorkspaceAsk::Set { id, wish } = last_ask(&served) else { panic!("{:?}", last_ask(&served)) };
    let expected = json!({
        "workspace_id": "new-1", "desired": "running", "kind": "staged", "image": image, "cores": 2.5,
        "memory": 8_u64 << 30, "gpu": {"mode": "share", "count": 2, "features": ["nvenc"]},
        "environment": {"TOKEN": "s3cret=x", "EMPTY": ""},
        "volumes": [
            {"name": "home", "target": "/home/u", "read_only": false},
            {"source": "/data", "target": "/d", "read_only": true},
        ],
        "ports": [{"container": 80, "protocol": "tcp", "host": 8080}],
    });
    assert_eq!((id.as_str(), wish.value().unwrap()), ("new-1", expected));
    for wrong in [&["--env", "A=s3cret"][..], &["--gpus", "0"], &["--gpus", "first"], &["--memory", "8 apples"]] {
        let base = ["run", "--name", "x", "--image", &image, "--cores", "1", "--memory", "1GiB"];
        let args: Vec<&str> = base.iter().filter(|part| !wrong.contains(part) || **part == "1GiB").copied().collect();
        let args = if wrong[0] == "--memory" { args[..args.len() - 1].to_vec() } else { args };
        let ran = gpuhostctl(&bus, &[&args, wrong].concat());
        assert!(ran.status == 2 && served.core.got.borrow().len() == 1, "{ran:?}");
    }
    let ran = gpuhostctl(&bus, &["run", "--name", "../x", "--image", &image, "--cores", "1", "--memory", "1GiB"]);
    assert!(ran.status == 2 && ran.err.contains("an id of a workspace is of letters"), "{ran:?}");
}

#[test]
fn a_stop_is_waited_for_until_it_has_stopped_and_a_refusal_has_its_exit_status() {
    let (bus, served) = daemon(hosts::workspaces());
    let waiting = |args: &[&str]| {
        let mut command = program(&bus.address);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = waiting(&["workspaces", "stop", "alice-1", "--wait"]);
    until("it is asked for", || !served.core.got.borrow().is_empty());
    let now = |state: WorkspaceState, desired, code: Option<&str>| {
        let reason = code.map(|code| WorkspaceReason::new(code, "no"));
        let one = workspace("alice-1", WorkspaceKind::User, state);
        let workspaces = vec![WorkspaceStatus { desired: Some(desired), reason, ..one }];
        served.core.workspaces.send_replace(Arc::new(WorkspacesState { workspaces, ..hosts::workspaces() }));
    };
    now(WorkspaceState::Stopping, DesiredRun::Stopped, None);
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    now(WorkspaceState::Stopped, DesiredRun::Stopped, None);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("stopped"), "{output:?}");
    now(WorkspaceState::Pending, DesiredRun::Running, Some("no_gpu"));
    let output = waiting(&["workspaces", "start", "alice-1", "--wait"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(11), "{output:?}");
    now(WorkspaceState::Pulling, DesiredRun::Running, None);
    let output = waiting(&["workspaces", "start", "alice-1", "--wait", "--timeout", "1s"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
}

#[test]
fn drain_shows_what_still_runs_and_when_nothing_does() {
    let (bus, served) = daemon(hosts::workspaces());
    assert!(told(&bus, &["drain", "--status"]).contains("The host takes new workspaces; 1 run."));
    served.core.settings.send_modify(|settings| Arc::make_mut(settings).desired.draining = Some(true));
    let text = told(&bus, &["drain"]);
    assert_eq!(text, "The host takes no new workspaces; 1 still runs.\n    alice-1 (running)\n");
    assert_eq!(served.core.got.borrow().last().unwrap().operation, "configure");
    served.core.workspaces.send_modify(|state| {
        Arc::make_mut(state).workspaces.remove(0);
    });
    assert!(told(&bus, &["drain", "--wait", "--timeout", "60s"]).starts_with("The host is drained"));
    assert_eq!(json(&bus, &["drain", "--status", "--json"])["Drained"], json!(true));
}

#[test]
fn ps_lists_workspaces_and_processes_by_gpu_and_what_is_not_known() {
    let (bus, served) = daemon(hosts::workspaces());
    let users = || json(&bus, &["ps", "--json"])["Users"].as_array().unwrap().clone();
    let of_kind = |kind: &str| users().iter().filter(|one| one["Kind"] == kind).cloned().collect::<Vec<_>>();
    let running = of_kind("workspace");
    assert_eq!((running.len(), &running[0]["Name"], &running[0]["Pid"]), (1, &json!("alice-1"), &json!(4711)));
    served.core.workspaces.send_modify(|state| Arc::make_mut(state).workspaces[0].pid = Some(4712));
    until("the workspace has another process", || of_kind("process").len() == 1);
    let running = of_kind("workspace");
    assert_eq!((running.len(), &running[0]["Pid"]), (1, &json!(null)), "it has the GPU and uses it with no process");
    let text = told(&bus, &["ps"]);
    assert!(text.contains("alice-1") && text.contains("python3"), "{text}");
    assert!(text.contains("Not known: the processes of 0000:c1:00.0"), "{text}");
}

#[test]
fn a_workspace_with_the_libraries_of_another_driver_is_named_with_both_versions_and_what_to_do() {
    let mut state = hosts::workspaces();
    let (has, loaded) = ("550.54.14".to_owned(), "580.126.16".to_owned());
    state.workspaces[0].stale_driver = Some(StaleDriver { has, loaded });
    let (bus, _served) = daemon(state);
    for shown in [&["ps"][..], &["workspaces"], &["workspaces", "show", "alice-1"]] {
        let text = told(&bus, shown);
        for part in [
            "keeps the libraries of driver 550.54.14",
            "driver 580.126.16 is loaded",
            "gpuhostctl workspaces stop alice-1",
        ] {
            assert!(text.contains(part) && text.contains("stale_driver"), "no {part:?} in\n{text}");
        }
    }
    assert!(!told(&bus, &["workspaces", "show", "b.2"]).contains("stale_driver"));
    let stale = json(&bus, &["ps", "--json"])["Stale"].clone();
    assert_eq!((stale.as_array().unwrap().len(), &stale[0]["Workspace"]), (1, &json!("alice-1")));
    assert_eq!((&stale[0]["StaleDriver"], &stale[0]["LoadedDriver"]), (&json!("550.54.14"), &json!("580.126.16")));
    let view = json(&bus, &["workspaces", "show", "alice-1", "--json"]);
    assert_eq!((&view["StaleDriver"], &view["LoadedDriver"]), (&json!("550.54.14"), &json!("580.126.16")));
    assert_eq!(view["ReasonCode"], json!(null), "it runs as it is wanted");
}

#[test]
fn what_a_workspace_uses_of_gpus_and_network_is_shown_or_absent_with_its_reason() {
    let mut state = hosts::workspaces();
    let network = Some(NetworkCounters { received_bytes: 5 << 20, sent_bytes: 2 << 20 });
    let used = |gpu_memory_bytes| Some(WorkspaceFigures { network, gpu_memory_bytes, ..WorkspaceFigures::default() });
    state.workspaces[0].figures = used(Reading::Known(300 << 20));
    let (bus, served) = daemon(state);
    let text = told(&bus, &["workspaces", "show", "alice-1"]);
    assert!(text.contains("300 MiB on GPUs, 5 MiB received, 2 MiB sent"), "{text}");
    let shown = || json(&bus, &["workspaces", "show", "alice-1", "--json"]);
    assert_eq!((&shown()["NetReceivedBytes"], &shown()["GpuMemoryUsedBytes"]), (&json!(5 << 20), &json!(300 << 20)));
    let unknown = used(Reading::Absent(Absence::NotSupported));
    served.core.workspaces.send_modify(|state| Arc::make_mut(state).workspaces[0].figures = unknown);
    until("the driver reports nothing", || shown()["GpuMemoryUsedBytes"] == json!(null));
    assert_eq!(shown()["Absent"]["GpuMemoryUsedBytes"], json!("not_supported"));
    assert_eq!(shown()["NetSentBytes"], json!(2 << 20));
}

#[test]
fn images_are_shown_with_why_each_stays_and_a_dry_run_removes_none() {
    let (bus, served) = daemon(hosts::workspaces());
    served.core.publisher.images().show(hosts::images());
    let text = told(&bus, &["images"]);
    for part in [
        "registry.example/desktop@sha256:aaaa",
        "3072 MiB  gpuhostd",
        "removed next",
        "postgres:17",
        "not pulled by gpuhostd",
        "1024 MiB free in /var/lib/docker, reserve 2048 MiB",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert_eq!(json(&bus, &["images", "--json"])["Images"][1]["Kept"], json!("not_ours"));
    let text = told(&bus, &["prune", "--dry-run"]);
    assert!(text.contains("1 images would be removed, 3072 MiB at most") && !text.contains("postgres"), "{text}");
    assert_eq!(json(&bus, &["prune", "--dry-run", "--json"]).as_array().unwrap().len(), 1);
    assert!(served.core.got.borrow().is_empty(), "nothing was asked for");
    told(&bus, &["prune", "--all"]);
    assert_eq!(served.core.got.borrow().last().unwrap().prune, Some(PruneMode::Aggressive));
    told(&bus, &["prune"]);
    assert_eq!(served.core.got.borrow().last().unwrap().prune, Some(PruneMode::Normal));
}
