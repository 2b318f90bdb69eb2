//! GPU workspaces over the bus: read by anybody, changed by who may, and nothing of their environment in what anybody can read.

use crate::rig::core::core;
use crate::rig::hosts::{self, workspace};
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_as, busctl_refused, client, error_of, until};
use futures_util::StreamExt;
use model::ids::ContainerId;
use model::prune_mode::PruneMode;
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{
    ForeignWorkspace, RemovalsHeld, WhyNotOurs, WorkspaceAsk, WorkspaceReason, WorkspaceState, WorkspaceStatus,
    WorkspacesState,
};
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use wire::dbus::proxy::{HostProxy, Options, WorkspacesProxy};
use zbus::fdo::{ObjectManagerProxy, PropertiesProxy};
use zbus::names::InterfaceName;

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";
const ALL: &str = "org.gpuhost.Agent1.Workspaces";
const ONE: &str = "org.gpuhost.Agent1.Workspace";
const ALICE: &str = "/org/gpuhost/Agent1/workspace/alice_2d1";

fn serve(bus: &PrivateBus, state: WorkspacesState) -> Served {
    let served = Served::start(bus, core(hosts::two_gpus()));
    served.core.workspaces.send_replace(Arc::new(state));
    until("the workspaces are there", || busctl(bus, &["tree", "--list", NAME]).contains("/workspace/"));
    served
}

#[test]
fn a_workspace_is_an_object_that_shows_what_it_is_and_goes_with_it() {
    let bus = PrivateBus::start();
    let served = serve(&bus, hosts::workspaces());
    let get =
        |path, interface, property| busctl(&bus, &["get-property", NAME, path, interface, property]).trim().to_owned();
    assert_eq!(get(ALICE, ONE, "State"), r#"s "running""#);
    assert_eq!((get(ALICE, ONE, "Cores"), get(ALICE, ONE, "MemoryBytes")), ("d 2.5".into(), "t 8589934592".into()));
    assert_eq!((get(ALICE, ONE, "GpuOk"), get(ALICE, ONE, "Source")), ("b true".into(), r#"s "manager""#.into()));
    let b2 = "/org/gpuhost/Agent1/workspace/b_2e2";
    assert_eq!((get(b2, ONE, "Kind"), get(b2, ONE, "PullTotalBytes")), (r#"s "staged""#.into(), "t 4194304".into()));
    let refused = busctl_refused(&bus, 0, &["get-property", NAME, b2, ONE, "Container"]);
    assert!(refused.contains("Container has no value now: none"), "{refused}");
    assert_eq!((get(ROOT, ALL, "Count"), get(ROOT, ALL, "RunningCount")), ("u 2".into(), "u 1".into()));
    assert_eq!(get(ROOT, ALL, "AllocatedCores"), "d 2.5", "what is not there yet has nothing");
    served.core.workspaces.send_modify(|state| {
        Arc::make_mut(state).workspaces.remove(0);
    });
    until("the deleted one is gone", || !busctl(&bus, &["tree", "--list", NAME]).contains("alice"));
    assert_eq!(get(ROOT, ALL, "Count"), "u 1");
}

#[test]
fn a_listener_hears_of_those_that_come_go_and_change_and_of_nothing_else() {
    let bus = PrivateBus::start();
    let served = serve(&bus, hosts::workspaces());
    block_on(async {
        let client = client(&bus).await;
        let manager = ObjectManagerProxy::builder(&client).destination(NAME).path(ROOT).build().await.unwrap();
        let (mut added, mut removed) =
            (manager.receive_interfaces_added().await.unwrap(), manager.receive_interfaces_removed().await.unwrap());
        let alice = PropertiesProxy::builder(&client).destination(NAME).path(ALICE).build().await.unwrap();
        let mut changes = alice.receive_properties_changed().await.unwrap();
        served.core.workspaces.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.workspaces[0].state = WorkspaceState::Failed;
            state.workspaces[0].reason = Some(WorkspaceReason::new("gpu_lost", "its GPU is gone"));
            state.workspaces.push(workspace("c", WorkspaceKind::Vdi, WorkspaceState::Pending));
        });
        let change = changes.next().await.unwrap();
        let args = change.args().unwrap();
        let mut names: Vec<_> = args.changed_properties().keys().copied().collect();
        names.sort_unstable();
        assert_eq!((*args.interface_name()).as_str(), ONE);
        assert_eq!(names, ["Absent", "Reason", "ReasonCode", "State"], "one signal, with all of it");
        let came = added.next().await.unwrap();
        assert_eq!(came.args().unwrap().object_path().as_str(), "/org/gpuhost/Agent1/workspace/c");
        served.core.workspaces.send_modify(|state| {
            Arc::make_mut(state).workspaces.pop();
        });
        let went = removed.next().await.unwrap();
        assert_eq!(went.args().unwrap().object_path().as_str(), "/org/gpuhost/Agent1/workspace/c");
    });
}

#[test]
fn each_method_asks_for_what_it_says() {
    let bus = PrivateBus::start();
    let served = serve(&bus, hosts::workspaces());
    let id = || "alice-1".parse().unwrap();
    let want = |desired| WorkspaceAsk::Want { id: id(), desired };
    let methods = [
        ("Start", "workspace-start", want(DesiredRun::Running)),
        ("Stop", "workspace-stop", want(DesiredRun::Stopped)),
        ("Pause", "workspace-pause", want(DesiredRun::Paused)),
        ("Resume", "workspace-start", want(DesiredRun::Running)),
        ("Delete", "workspace-delete", want(DesiredRun::Deleted)),
        ("Recreate", "workspace-recreate", WorkspaceAsk::Recreate { id: id() }),
        ("Retry", "workspace-retry", WorkspaceAsk::Again { id: id() }),
    ];
    for (method, operation, ask) in methods {
        let refused = busctl_refused(&bus, NOBODY, &["call", NAME, ALICE, ONE, method, "a{sv}", "0"]);
        assert!(refused.contains("not authorized"), "{method}: {refused}");
        busctl_refused(&bus, 0, &["call", NAME, ALICE, ONE, method, "a{sv}", "1", "force", "b", "true"]);
        let before = served.core.got.borrow().len();
        busctl(&bus, &["call", NAME, ALICE, ONE, method, "a{sv}", "0"]);
        let got = served.core.got.borrow()[before..].to_vec();
        assert_eq!((got.len(), got[0].operation, got[0].ask.clone()), (1, operation, Some(ask)));
    }
    for (method, operation) in
        [("ConfirmRemovals", "workspaces-confirm-removals"), ("DeleteStaged", "workspaces-delete-staged")]
    {
        let refused = busctl_refused(&bus, NOBODY, &["call", NAME, ROOT, ALL, method, "a{sv}", "0"]);
        assert!(refused.contains("not authorized"), "{method}: {refused}");
        busctl(&bus, &["call", NAME, ROOT, ALL, method, "a{sv}", "0"]);
        assert_eq!(served.core.got.borrow().last().unwrap().operation, operation);
    }
    let deleted = served.core.got.borrow().last().unwrap().staged.clone();
    assert_eq!(deleted, Some(vec!["b.2".parse().unwrap()]), "the staged ones, and no other");
    busctl(&bus, &["call", NAME, ROOT, ALL, "SetDraining", "ba{sv}", "true", "0"]);
    assert_eq!(served.core.got.borrow().last().unwrap().operation, "configure");
}

#[test]
fn a_workspace_is_created_from_a_pipe_and_no_one_can_read_its_environment() {
    let bus = PrivateBus::start();
    let served = serve(&bus, hosts::workspaces());
    let document = r#"{"workspace_id": "c-1", "desired": "running", "image": "x", "environment": {"TOKEN": "s3cret"}}"#;
    block_on(async {
        let client = client(&bus).await;
        let all = WorkspacesProxy::new(&client).await.unwrap();
        let create = async |content: &[u8]| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let content = content.to_vec();
            // A pipe holds less than a workspace may have; a reader that refuses it early ends the writing.
            let writing = std::thread::spawn(move || writer.write_all(&content));
            let answer = all.create_workspace(reader.as_fd().into(), Options::new()).await;
            drop(reader);
            let _refused_early = writing.join().unwrap();
            answer
        };
        create(document.as_bytes()).await.unwrap();
        let long = format!(r#"{{"workspace_id": "d", "desired": "running", "x": "{}"}}"#, "y".repeat(200_000));
        create(long.as_bytes()).await.unwrap();
        let huge = "x".repeat(300_000);
        for (wrong, part) in [
            (&b"\xff"[..], "UTF-8"),
            (b"not JSON", "workspace: it is not JSON"),
            (br#"{"desired": "running"}"#, "workspace_id"),
            (br#"{"workspace_id": "../x", "desired": "running"}"#, "an id of a workspace is of letters"),
            (br#"{"workspace_id": "c"}"#, "desired: it is missing"),
            (br#"{"workspace_id": "c", "desired": "s3cret"}"#, "desired"),
            (huge.as_bytes(), "longer than 262144 bytes"),
        ] {
            let (name, message) = error_of(create(wrong).await);
            assert_eq!(name, "org.gpuhost.Agent1.Error.InvalidArgument", "{message}");
            assert!(message.contains(part), "{message}");
        }
        let host = HostProxy::new(&client).await.unwrap();
        let document = host.get_observation(Options::new()).await.unwrap();
        assert!(!document.contains("s3cret"), "{document}");
    });
    let got = served.core.got.borrow().clone();
    assert_eq!(got.iter().map(|got| got.operation).collect::<Vec<_>>(), ["workspace-create"; 2]);
    let Some(WorkspaceAsk::Set { id, wish }) = got[0].ask.clone() else { panic!("{got:?}") };
    assert_eq!((id.as_str(), wish.value().unwrap()["environment"]["TOKEN"].as_str()), ("c-1", Some("s3cret")));
    assert!(!format!("{got:?}").contains("s3cret"), "nor is it in what is printed for the log");
}

#[test]
fn removals_that_wait_strangers_and_a_docker_that_is_away_are_shown() {
    let bus = PrivateBus::start();
    let stranger: ContainerId = "ab".repeat(32).parse().unwrap();
    let state = WorkspacesState {
        unknown: Some("cannot reach /run/docker.sock".to_owned()),
        foreign: vec![ForeignWorkspace { container: stranger, name: "evil".to_owned(), why: WhyNotOurs::Devices }],
        removals_held: Some(RemovalsHeld { count: 9, most: 4 }),
        ..hosts::workspaces()
    };
    let served = serve(&bus, state);
    let get = |property| busctl(&bus, &["get-property", NAME, ROOT, ALL, property]).trim().to_owned();
    assert_eq!((get("RemovalsHeld"), get("RemovalsMost")), ("t 9".into(), "t 4".into()));
    assert!(get("DockerFault").contains("/run/docker.sock"));
    assert!(get("Foreign").contains(r#""Why" s "devices""#), "{}", get("Foreign"));
    served.core.workspaces.send_replace(Arc::new(hosts::workspaces()));
    until("Docker answers", || busctl(&bus, &["get-property", NAME, ROOT, ALL, "Foreign"]).trim() == "aa{sv} 0");
}

#[test]
fn a_host_is_drained_when_it_takes_nothing_new_and_nothing_runs_any_more() {
    let bus = PrivateBus::start();
    let served = serve(&bus, hosts::workspaces());
    let get = |property| busctl(&bus, &["get-property", NAME, ROOT, ALL, property]).trim().to_owned();
    assert_eq!((get("Draining"), get("Drained")), ("b false".into(), "b false".into()));
    served.core.settings.send_modify(|settings| Arc::make_mut(settings).desired.draining = Some(true));
    until("it is draining", || get("Draining") == "b true");
    assert_eq!(get("Drained"), "b false", "one still runs");
    let stopped: Vec<WorkspaceStatus> = vec![workspace("alice-1", WorkspaceKind::User, WorkspaceState::Stopped)];
    let away = WorkspacesState { unknown: Some("away".into()), workspaces: stopped.clone(), ..hosts::workspaces() };
    served.core.workspaces.send_replace(Arc::new(away));
    until("Docker is away", || busctl(&bus, &["get-property", NAME, ROOT, ALL, "RunningCount"]).trim() == "u 0");
    assert_eq!(get("Drained"), "b false", "what Docker does not show may run");
    served.core.workspaces.send_replace(Arc::new(WorkspacesState { workspaces: stopped, ..hosts::workspaces() }));
    until("it is drained", || get("Drained") == "b true");
    let interface = InterfaceName::try_from(ALL).unwrap();
    block_on(async {
        let client = client(&bus).await;
        let root = PropertiesProxy::builder(&client).destination(NAME).path(ROOT).build().await.unwrap();
        assert!(root.get_all(interface).await.unwrap().contains_key("Drained"));
    });
}

#[test]
fn images_are_read_by_anybody_and_removed_by_who_may() {
    let bus = PrivateBus::start();
    let served = serve(&bus, hosts::workspaces());
    served.core.publisher.images().show(hosts::images());
    let output = busctl_as(&bus, NOBODY, &["call", NAME, ROOT, ALL, "ListImages", "a{sv}", "0"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        [r#"\"Ours\":true"#, r#"\"Kept\":null"#, r#"\"Kept\":\"not_ours\""#, r#"\"DiskReserveBytes\":2147483648"#]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let refused = busctl_refused(&bus, NOBODY, &["call", NAME, ROOT, ALL, "PruneImages", "a{sv}", "0"]);
    assert!(refused.contains("not authorized"), "{refused}");
    for (options, mode) in [(&["0"][..], PruneMode::Normal), (&["1", "mode", "s", "aggressive"], PruneMode::Aggressive)]
    {
        busctl(&bus, &[&["call", NAME, ROOT, ALL, "PruneImages", "a{sv}"], options].concat());
        let got = served.core.got.borrow().last().unwrap().clone();
        assert_eq!((got.operation, got.prune), ("images-prune", Some(mode)));
    }
    let wrong = ["call", NAME, ROOT, ALL, "PruneImages", "a{sv}", "1", "mode", "s", "everything"];
    let refused = busctl_refused(&bus, 0, &wrong);
    assert!(refused.contains("expected one of off, emergency, normal, aggressive"), "{refused}");
}
