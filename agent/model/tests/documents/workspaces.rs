//! What is decided about workspaces, turn by turn: from what is wished and what Docker shows to the next deed and what is shown.

use model::desired::DocumentId;
use model::image_ref::ImageRef;
use model::nvidia_container::{ContainerRun, ImageSeen};
use model::policy::{Requester, WorkspaceRepair};
use model::time::{BootMillis, Now, UnixMillis};
use model::workspace::{DescribedHost, Document, GpuInjection, WorkspaceContainer, WorkspaceId};
use model::workspace_life::{
    WhyNotOurs, WorkspaceDeed, WorkspaceFacts, WorkspaceLimits, WorkspaceLists, WorkspaceLook, WorkspacePace,
    WorkspaceReason, WorkspaceSeen, WorkspaceState, WorkspacesDoing, WorkspacesMemory, WorkspacesTurn, WorkspacesWorld,
    decide_workspaces,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn image() -> ImageRef {
    format!("registry.example/lab/desktop@sha256:{}", "5e".repeat(32)).parse().unwrap()
}

pub(crate) fn wish(id: &str, change: &Value) -> Value {
    let mut wish = json!({ "workspace_id": id, "desired": "running", "image": image().to_string(), "cores": 1,
                           "memory": 1_073_741_824_u64 });
    for (name, value) in change.as_object().unwrap() {
        wish[name] = value.clone();
    }
    wish
}

fn document(revision: u64) -> DocumentId {
    DocumentId { epoch: "e".to_owned().try_into().unwrap(), revision: revision.try_into().unwrap() }
}

/// A host with one GPU of NVIDIA, of a manager that wishes this.
pub(crate) fn world(workspaces: &[Value]) -> WorkspacesWorld {
    let host: DescribedHost = serde_json::from_value(json!({
        "docker": { "cdi_spec_dirs": [], "runtimes": ["runc", "nvidia"] }, "cores": 16, "memory": 68_719_476_736_u64,
        "gpus": [{ "uuid": "GPU-a", "bdf": "0000:41:00.0", "vendor": "nvidia", "features": ["cuda"], "memory_mib": 24576 }],
        "policy": { "registries": ["registry.example"] },
    }))
    .unwrap();
    WorkspacesWorld {
        mig_leaves: std::collections::BTreeMap::new(),
        document: serde_json::from_value::<Document>(json!({ "workspaces": workspaces })).unwrap(),
        document_id: Some(document(1)),
        images: Vec::new(),
        room: None,
        is_store_doubled: false,
        lists: WorkspaceLists { local: false, manager: true },
        manager_held: None,
        driver_changing: None,
        host,
        look: WorkspaceLook {
            containers: Vec::new(),
            images: vec![(image(), ImageSeen::Present { digests: Vec::new() })],
        },
        memory: WorkspacesMemory::default(),
        doing: WorkspacesDoing::default(),
        gpu_needs: BTreeMap::new(),
        repair: WorkspaceRepair::Never,
        limits: WorkspaceLimits::default(),
        max_removals: 4,
        now: Now { boot: BootMillis(1_000_000), wall: UnixMillis(1_700_000_000_000) },
    }
}

pub(crate) fn id(text: &str) -> WorkspaceId {
    text.parse().unwrap()
}

/// The container that such a request becomes.
fn container(number: u8, of: &WorkspaceContainer, run: ContainerRun) -> WorkspaceSeen {
    let body = of.body();
    let variables: Vec<&str> = body["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let visible = variables.iter().find_map(|one| one.strip_prefix("NVIDIA_VISIBLE_DEVICES="));
    let volumes = of.mounts.iter().filter(|mount| mount.is_volume).map(|mount| mount.source.clone());
    let facts = WorkspaceFacts {
        name: of.name(),
        image: of.image.to_string(),
        labels: of.labels(),
        restart_policy: "no".to_owned(),
        visible_devices: visible.map(str::to_owned),
        device_requests: match &of.way {
            GpuInjection::Cdi { devices } => devices.clone(),
            GpuInjection::Runtime { .. } | GpuInjection::None => Vec::new(),
        },
        volumes: volumes.collect(),
        nano_cpus: of.nano_cpus,
        memory_bytes: of.memory_bytes,
        ..WorkspaceFacts::default()
    };
    let id = format!("{number:02x}").repeat(32).parse().unwrap();
    facts.seen(id, (run, None), (Some(UnixMillis(1)), None)).unwrap()
}

fn created(turn: &WorkspacesTurn) -> Vec<WorkspaceContainer> {
    let of = |deed: &WorkspaceDeed| {
        if let WorkspaceDeed::Create(container) = deed { Some((**container).clone()) } else { None }
    };
    turn.deeds.iter().filter_map(of).collect()
}

/// That world, with containers of all that it creates at once.
pub(crate) fn with_containers(mut world: WorkspacesWorld, run: &ContainerRun) -> WorkspacesWorld {
    world.limits = WorkspaceLimits { starts: 64, deeds: 64, ..world.limits };
    let made = created(&decide_workspaces(&world));
    let numbered = (1..).zip(&made);
    world.look.containers = numbered.map(|(number, one)| container(number, one, run.clone())).collect();
    world
}

pub(crate) fn said(turn: &WorkspacesTurn, name: &str) -> (WorkspaceState, Option<String>) {
    let one = turn.state.find(&id(name)).unwrap();
    (one.state, one.reason.as_ref().map(|reason| reason.code.clone()))
}

fn words(turn: &WorkspacesTurn) -> Vec<String> {
    turn.deeds.iter().map(|deed| deed.to_string().split(' ').take(4).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_workspace_is_pulled_created_started_and_then_left_alone() {
    let gpu = json!({ "gpu": { "mode": "share", "count": 1 } });
    let mut at = world(&[wish("w1", &gpu)]);
    at.look.images.clear();
    let turn = decide_workspaces(&at);
    assert_eq!((words(&turn).len(), said(&turn, "w1").0), (1, WorkspaceState::Pulling), "{turn:?}");
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Pull { image: one, .. }] if *one == image()));
    let at = world(&[wish("w1", &gpu)]);
    let turn = decide_workspaces(&at);
    assert_eq!(
        (created(&turn)[0].gpus.clone(), said(&turn, "w1").0),
        (vec!["GPU-a".to_owned()], WorkspaceState::Creating)
    );
    let at = with_containers(world(&[wish("w1", &gpu)]), &ContainerRun::Created);
    let turn = decide_workspaces(&at);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Start { .. }]), "{turn:?}");
    let at = with_containers(world(&[wish("w1", &gpu)]), &ContainerRun::Running);
    let turn = decide_workspaces(&at);
    assert_eq!((turn.deeds.len(), said(&turn, "w1")), (0, (WorkspaceState::Running, None)));
}

#[test]
fn another_specification_gives_way_only_once_its_image_is_here() {
    let before = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    let other: ImageRef = image().at(format!("sha256:{}", "77".repeat(32)).parse().unwrap());
    let mut at = world(&[wish("w1", &json!({ "image": other.to_string() }))]);
    at.look.containers.clone_from(&before.look.containers);
    let turn = decide_workspaces(&at);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Pull { .. }]), "{turn:?}");
    assert_eq!(said(&turn, "w1").0, WorkspaceState::Running, "it runs on while the image is pulled");
    at.look.images.push((other, ImageSeen::Present { digests: Vec::new() }));
    let turn = decide_workspaces(&at);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Stop { grace_s: 10, .. }]), "{turn:?}");
    at.look.containers[0].run = ContainerRun::Ended { exit: 0, oom: false };
    let turn = decide_workspaces(&at);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Remove { .. }]), "{turn:?}");
    assert_eq!(said(&turn, "w1").1.as_deref(), Some("recreating"));
    assert!(turn.memory.record.doomed_volumes.is_empty(), "volumes are kept");
}

#[test]
fn a_new_specification_that_is_refused_takes_nothing_down() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.document = world(&[wish("w1", &json!({ "cores": 64 }))]).document;
    let turn = decide_workspaces(&at);
    assert_eq!(
        (turn.deeds.len(), said(&turn, "w1")),
        (0, (WorkspaceState::Running, Some("cores_exceed_physical".into())))
    );
}

#[test]
fn what_is_not_to_run_is_frozen_stopped_or_deleted_with_its_volumes() {
    let volume = json!({ "volumes": [{ "name": "home", "target": "/home" }] });
    let running = with_containers(world(&[wish("w1", &volume)]), &ContainerRun::Running);
    let wanted = |desired: &str, run: &ContainerRun| {
        let mut at = running.clone();
        at.document = world(&[json!({ "workspace_id": "w1", "desired": desired })]).document;
        at.look.containers[0].run = run.clone();
        decide_workspaces(&at)
    };
    let ended = ContainerRun::Ended { exit: 143, oom: false };
    for (desired, run, first) in [
        ("paused", &ContainerRun::Running, "pause"),
        ("stopped", &ContainerRun::Running, "stop"),
        ("stopped", &ContainerRun::Paused, "resume"),
        ("deleted", &ContainerRun::Running, "stop"),
        ("deleted", &ContainerRun::Paused, "resume"),
        ("deleted", &ended, "remove"),
    ] {
        let turn = wanted(desired, run);
        assert!(words(&turn)[0].starts_with(first), "{desired} {run:?}: {turn:?}");
    }
    for (desired, run, state) in
        [("paused", &ContainerRun::Paused, WorkspaceState::Paused), ("stopped", &ended, WorkspaceState::Stopped)]
    {
        assert_eq!(said(&wanted(desired, run), "w1"), (state, None));
    }
    let mut turn = wanted("deleted", &ended);
    assert!(turn.memory.record.doomed_volumes.contains("gpuhost-home"));
    let mut at = running.clone();
    at.document = world(&[json!({ "workspace_id": "w1", "desired": "deleted" })]).document;
    (at.look.containers, at.memory) = (Vec::new(), turn.memory.clone());
    turn = decide_workspaces(&at);
    assert_eq!(
        (words(&turn), said(&turn, "w1")),
        (vec!["remove the volume gpuhost-home".into()], (WorkspaceState::Deleted, None))
    );
    // Another workspace has come that wants it.
    at.document = world(&[wish("w2", &volume)]).document;
    let turn = decide_workspaces(&at);
    assert!(
        turn.memory.record.doomed_volumes.is_empty() && matches!(turn.deeds[..], [WorkspaceDeed::Create(_)]),
        "{turn:?}"
    );
}

#[test]
fn what_no_source_lists_is_stopped_and_never_removed_and_only_where_there_is_a_list() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.document = Document::default();
    let turn = decide_workspaces(&at);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Stop { .. }]), "{turn:?}");
    assert_eq!(said(&turn, "w1").1.as_deref(), Some("orphaned"));
    at.look.containers[0].run = ContainerRun::Ended { exit: 0, oom: false };
    assert_eq!(decide_workspaces(&at).deeds, []);
    at.look.containers[0].run = ContainerRun::Running;
    for (document_id, lists) in [(None, WorkspaceLists::default()), (Some(document(2)), WorkspaceLists::default())] {
        (at.document_id, at.lists) = (document_id, lists);
        let turn = decide_workspaces(&at);
        assert_eq!((turn.deeds.len(), said(&turn, "w1")), (0, (WorkspaceState::Running, Some("unlisted".into()))));
    }
    at.lists = WorkspaceLists { local: true, manager: false };
    assert_eq!(decide_workspaces(&at).deeds, [], "it is not the list of its source");
}

#[test]
fn more_removals_than_the_policy_allows_wait() {
    let all: Vec<Value> = (0..6).map(|number| wish(&format!("w{number}"), &json!({}))).collect();
    let mut at = with_containers(world(&all), &ContainerRun::Running);
    assert_eq!(at.look.containers.len(), 6);
    at.document = Document::default();
    let turn = decide_workspaces(&at);
    assert_eq!(
        (turn.deeds.len(), turn.state.removals_held.as_ref().map(|held| (held.count, held.most))),
        (0, Some((6, 4)))
    );
    at.memory = turn.memory;
    at.document_id = Some(document(2));
    assert_eq!(decide_workspaces(&at).deeds.len(), 6, "a second revision wants it too");
    at.document_id = Some(document(1));
    at.memory.removals.is_confirmed = true;
    assert_eq!(decide_workspaces(&at).deeds.len(), 6, "a person has confirmed it");
    // One that deletes and one that leaves out count alike.
    at.memory = WorkspacesMemory::default();
    let deleted: Vec<Value> =
        (0..5).map(|number| json!({ "workspace_id": format!("w{number}"), "desired": "deleted" })).collect();
    at.document = world(&deleted).document;
    let turn = decide_workspaces(&at);
    assert_eq!((turn.deeds.len(), turn.state.removals_held.map(|held| held.count)), (0, Some(6)));
}

#[test]
fn what_a_person_has_asked_for_here_is_not_a_managers_to_remove() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.look.containers[0].requester = Some(Requester::Local);
    at.document = Document::default();
    let turn = decide_workspaces(&at);
    assert_eq!((turn.deeds.len(), said(&turn, "w1").1), (0, Some("unlisted".into())));
}

#[test]
fn what_holds_a_manager_holds_its_workspaces_and_leaves_them_running() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.manager_held = Some(WorkspaceReason::new("remote_locked", "it is locked"));
    assert_eq!(said(&decide_workspaces(&at), "w1"), (WorkspaceState::Running, None), "what is so needs no permission");
    at.document = world(&[json!({ "workspace_id": "w1", "desired": "stopped" }), wish("w2", &json!({}))]).document;
    let turn = decide_workspaces(&at);
    assert_eq!(turn.deeds, []);
    assert_eq!(
        (said(&turn, "w1").1, said(&turn, "w2").1),
        (Some("remote_locked".into()), Some("remote_locked".into()))
    );
    at.document.from_local = 2;
    assert_eq!(decide_workspaces(&at).deeds.len(), 2, "a wish of this host is not held");
}

#[test]
fn what_ends_by_itself_again_and_again_is_given_up_with_its_reason() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Created);
    let mut starts = 0;
    for _ in 0..200 {
        let turn = decide_workspaces(&at);
        at.memory = turn.memory.clone();
        if !turn.deeds.is_empty() {
            starts += 1;
            at.look.containers[0].run = ContainerRun::Ended { exit: 1, oom: false };
        }
        at.now.boot = at.now.boot.plus(500);
    }
    let turn = decide_workspaces(&at);
    assert_eq!((starts, said(&turn, "w1")), (5, (WorkspaceState::Failed, Some("ended".into()))));
    at.memory.try_again(&id("w1"));
    assert!(matches!(decide_workspaces(&at).deeds[..], [WorkspaceDeed::Start { .. }]), "a person asks for it");
    at.document = world(&[wish("w1", &json!({ "cores": 2 }))]).document;
    assert!(matches!(decide_workspaces(&at).deeds[..], [WorkspaceDeed::Remove { .. }]), "another one is wished");
}

#[test]
fn a_container_keeps_the_gpus_that_it_was_created_with() {
    let gpu = json!({ "gpu": { "mode": "share", "count": 1 }, "security_context": "x" });
    let mut at = with_containers(world(&[wish("w1", &gpu)]), &ContainerRun::Ended { exit: 0, oom: false });
    at.host.gpus[0].uuid = Some("GPU-b".to_owned());
    let turn = decide_workspaces(&at);
    assert_eq!(
        (turn.deeds.len(), said(&turn, "w1").1),
        (0, Some("gpu_unavailable".into())),
        "it is not created again by itself"
    );
    at.memory = turn.memory;
    at.memory.workspaces.get_mut(&id("w1")).unwrap().recreate = true;
    assert!(
        matches!(decide_workspaces(&at).deeds[..], [WorkspaceDeed::Remove { .. }]),
        "but where a person asks for it"
    );
}

#[test]
fn so_much_is_done_at_once_in_the_order_of_the_document() {
    let all: Vec<Value> = (0..9).rev().map(|number| wish(&format!("w{number}"), &json!({}))).collect();
    let mut at = world(&all);
    at.limits.starts = 4;
    let turn = decide_workspaces(&at);
    let names: Vec<String> = created(&turn).iter().map(|one| one.workspace_id.to_string()).collect();
    assert_eq!(names, ["w8", "w7", "w6", "w5"]);
    assert_eq!(said(&turn, "w0"), (WorkspaceState::Pending, Some("start_waits".into())));
    at.doing.workspaces.extend([id("w8"), id("w7")]);
    at.doing.starting.extend([id("w8"), id("w7")]);
    let names: Vec<String> = created(&decide_workspaces(&at)).iter().map(|one| one.workspace_id.to_string()).collect();
    assert_eq!(names, ["w6", "w5"], "two are under way");
    at.look.images.clear();
    assert_eq!(decide_workspaces(&at).deeds.len(), 1, "one image is pulled once");
}

type Change<'a> = (WhyNotOurs, &'a dyn Fn(&mut WorkspaceFacts));

#[test]
fn a_container_that_only_looks_like_ours_is_left_alone_and_named() {
    let at = with_containers(world(&[wish("w1", &json!({ "gpu": { "mode": "share" } }))]), &ContainerRun::Running);
    let made = created(&decide_workspaces(&WorkspacesWorld {
        look: WorkspaceLook { containers: Vec::new(), ..at.look.clone() },
        ..at.clone()
    }));
    let facts = |change: &dyn Fn(&mut WorkspaceFacts)| {
        let mut facts = WorkspaceFacts {
            name: made[0].name(),
            labels: made[0].labels(),
            visible_devices: Some("GPU-a".to_owned()),
            ..WorkspaceFacts::default()
        };
        change(&mut facts);
        let id = "ab".repeat(32).parse().unwrap();
        facts.seen(id, (ContainerRun::Running, None), (None, None)).unwrap()
    };
    assert_eq!(facts(&|_| {}).foreign, None);
    let cases: [Change<'_>; 12] = [
        (WhyNotOurs::Name, &|one| one.name = "renamed".into()),
        (WhyNotOurs::Id, &|one| drop(one.labels.insert(WorkspaceContainer::ID_LABEL.into(), "a b".into()))),
        (WhyNotOurs::Labels, &|one| drop(one.labels.remove(WorkspaceContainer::SPEC_LABEL))),
        (WhyNotOurs::Labels, &|one| drop(one.labels.remove(WorkspaceContainer::SOURCE_LABEL))),
        (WhyNotOurs::Privileged, &|one| one.is_privileged = true),
        (WhyNotOurs::RestartPolicy, &|one| one.restart_policy = "always".into()),
        (WhyNotOurs::Devices, &|one| one.visible_devices = Some("GPU-a,GPU-b".into())),
        (WhyNotOurs::Devices, &|one| one.visible_devices = Some("all".into())),
        (WhyNotOurs::Devices, &|one| one.visible_devices = None),
        (WhyNotOurs::Devices, &|one| one.visible_devices = Some("void".into())),
        (WhyNotOurs::Devices, &|one| one.device_requests = vec!["nvidia.com/gpu=all".into()]),
        (WhyNotOurs::Devices, &|one| one.device_nodes = vec!["/dev/vfio/7".into()]),
    ];
    for (why, change) in cases {
        let foreign = facts(change);
        assert_eq!(foreign.foreign, Some(why));
        let mut at = at.clone();
        at.look.containers = vec![foreign];
        let turn = decide_workspaces(&at);
        let touches = turn.deeds.iter().any(|deed| !matches!(deed, WorkspaceDeed::Create(_)));
        assert!(!touches && turn.state.foreign.len() == 1, "{why:?}: {turn:?}");
        if why != WhyNotOurs::Name && why != WhyNotOurs::Id {
            assert_eq!(said(&turn, "w1"), (WorkspaceState::Failed, Some("foreign_container".into())), "{why:?}");
        }
    }
}

#[test]
fn nothing_is_started_with_a_gpu_while_the_driver_is_replaced() {
    let mut at = with_containers(
        world(&[wish("w1", &json!({ "gpu": { "mode": "share" } })), wish("w2", &json!({}))]),
        &ContainerRun::Created,
    );
    at.driver_changing = Some("the driver container is being changed: stop it".to_owned());
    let turn = decide_workspaces(&at);
    assert_eq!(said(&turn, "w1").1.as_deref(), Some("driver_changing"));
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Start { workspace_id, .. }] if *workspace_id == id("w2")));
}

#[test]
fn what_takes_its_gpu_by_cdi_is_not_started_while_no_specification_fits() {
    let mut at = world(&[wish("w1", &json!({ "gpu": { "mode": "share" } }))]);
    at.host.docker.cdi_spec_dirs = vec!["/var/run/cdi".to_owned()];
    at.host.cdi_devices = vec!["nvidia.com/gpu=GPU-a".to_owned()];
    let mut at = with_containers(at, &ContainerRun::Ended { exit: 0, oom: false });
    assert!(at.look.containers[0].is_by_cdi);
    let turn = decide_workspaces(&at);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Start { .. }]), "{turn:?}");
    // The driver is another one: the file names the former one, and the runtime would be the way of a new container.
    at.host.cdi_devices.clear();
    let turn = decide_workspaces(&at);
    assert_eq!((turn.deeds.len(), said(&turn, "w1")), (0, (WorkspaceState::Pending, Some("cdi_stale".into()))));
    at.look.containers[0].run = ContainerRun::Running;
    assert_eq!(said(&decide_workspaces(&at), "w1"), (WorkspaceState::Running, None), "what runs has its devices");
    // One that was created for the runtime does not depend on a file.
    let world = world(&[wish("w1", &json!({ "gpu": { "mode": "share" } }))]);
    let at = with_containers(world, &ContainerRun::Created);
    assert!(matches!(&decide_workspaces(&at).deeds[..], [WorkspaceDeed::Start { .. }]));
}

#[test]
fn a_pull_that_fails_is_tried_again_after_a_pause_and_for_ever() {
    let mut at = world(&[wish("w1", &json!({}))]);
    let (mut pulls, mut pauses) = (0, Vec::new());
    at.look.images = vec![(image(), ImageSeen::PullFailed { why: "no route to host".to_owned() })];
    for _ in 0..4000 {
        let turn = decide_workspaces(&at);
        at.memory = turn.memory.clone();
        pulls += turn.deeds.len();
        if !turn.deeds.is_empty() {
            pauses.push(at.now.boot);
        }
        at.now.boot = at.now.boot.plus(500);
    }
    assert!((10..25).contains(&pulls), "{pulls}");
    let last: Vec<u64> = pauses.windows(2).map(|two| two[1].since(two[0])).collect();
    assert!(last.iter().all(|pause| *pause <= 301_000) && last.last() > Some(&250_000), "{last:?}");
    let turn = decide_workspaces(&at);
    assert_eq!(said(&turn, "w1"), (WorkspaceState::Pending, Some("pull_failed".into())));
    let reason: BTreeMap<_, _> =
        turn.state.workspaces.iter().map(|one| (one.id.to_string(), one.reason.clone())).collect();
    assert!(reason["w1"].as_ref().unwrap().message.contains("no route to host"));
}

#[test]
fn what_cannot_be_stopped_or_removed_is_tried_again_after_pauses_and_counts_against_no_start() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.document = world(&[wish("w1", &json!({ "cores": 2 }))]).document;
    let mut stops = 0;
    for _ in 0..240 {
        let turn = decide_workspaces(&at);
        at.memory = turn.memory;
        for deed in &turn.deeds {
            stops += 1;
            at.memory.ended(deed, at.now.boot, Err("did not receive an exit event"));
        }
        at.now.boot = at.now.boot.plus(500);
    }
    assert!((5..12).contains(&stops), "{stops} in two minutes");
    let turn = decide_workspaces(&at);
    assert!(turn.wake_at.is_some() && turn.state.workspaces[0].reason.as_ref().unwrap().code == "docker_refused");
    (at.look.containers, at.memory) = (Vec::new(), turn.memory);
    assert!(matches!(decide_workspaces(&at).deeds[..], [WorkspaceDeed::Create(_)]), "the next one is created at once");
}

#[test]
fn an_entry_that_is_not_understood_stops_nothing_and_deletes_no_volume() {
    let volume = json!({ "volumes": [{ "name": "home", "target": "/home" }] });
    let running = with_containers(world(&[wish("w1", &volume), wish("w2", &json!({}))]), &ContainerRun::Running);
    for wrong in [
        json!({ "workspace_id": "w1", "desired": "hibernated" }),
        json!({ "workspace_id": "w1", "desired": "running", "kind": "robot" }),
        json!({ "workspace_id": "w1", "desired": "running", "generation": "x" }),
    ] {
        let mut at = running.clone();
        at.document = world(&[wrong.clone(), wish("w2", &json!({}))]).document;
        let turn = decide_workspaces(&at);
        assert_eq!((turn.deeds.len(), turn.state.unread.len()), (0, 1), "{wrong}: {turn:?}");
    }
    let mut at = running.clone();
    at.document = world(&[json!({ "workspace_id": "a b", "desired": "running" }), wish("w2", &json!({}))]).document;
    let turn = decide_workspaces(&at);
    assert_eq!((turn.deeds.len(), said(&turn, "w1").1), (0, Some("unlisted".into())), "it can be any of them");
}

#[test]
fn a_volume_that_another_workspace_is_to_keep_is_kept_whatever_that_one_does() {
    let volume = json!({ "volumes": [{ "name": "home", "target": "/home" }] });
    for other in [json!({ "desired": "stopped" }), json!({ "desired": "paused" }), json!({ "cores": 64 })] {
        let mut at = world(&[
            json!({ "workspace_id": "w1", "desired": "deleted" }),
            wish(
                "w2",
                &json!({ "volumes": volume["volumes"], "desired": other["desired"].as_str().unwrap_or("running"),
                               "cores": other["cores"].as_u64().unwrap_or(1) }),
            ),
        ]);
        at.memory.record.doomed_volumes.insert("gpuhost-home".to_owned());
        let turn = decide_workspaces(&at);
        assert!(turn.memory.record.doomed_volumes.is_empty(), "{other}");
        assert!(!turn.deeds.iter().any(|deed| matches!(deed, WorkspaceDeed::RemoveVolume { .. })), "{other}: {turn:?}");
    }
}

#[test]
fn a_manager_neither_stops_nor_deletes_what_was_created_at_the_wish_of_this_host() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.look.containers[0].requester = Some(Requester::Local);
    for desired in ["deleted", "stopped", "paused"] {
        at.document = world(&[json!({ "workspace_id": "w1", "desired": desired })]).document;
        let turn = decide_workspaces(&at);
        assert_eq!((turn.deeds.len(), said(&turn, "w1")), (0, (WorkspaceState::Running, Some("conflict".into()))));
    }
    // The wish of this host is refused just now: it is its own all the same.
    at.document =
        world(&[wish("w1", &json!({ "cores": 64 })), json!({ "workspace_id": "w1", "desired": "deleted" })]).document;
    at.document.from_local = 1;
    let turn = decide_workspaces(&at);
    assert_eq!(turn.deeds, []);
    assert!(turn.state.unread.iter().any(|one| one.requester == Requester::Manager && one.reason.code == "conflict"));
}

#[test]
fn after_a_lost_record_nothing_that_was_created_here_is_stopped() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Running);
    at.look.containers[0].requester = Some(Requester::Local);
    at.document = world(&[wish("w2", &json!({}))]).document;
    at.document.from_local = 1;
    at.lists = WorkspaceLists { local: true, manager: false };
    at.memory.record.is_lost = true;
    let turn = decide_workspaces(&at);
    assert_eq!(said(&turn, "w1").1.as_deref(), Some("unlisted"));
    assert!(!turn.deeds.iter().any(|deed| matches!(deed, WorkspaceDeed::Stop { .. })), "{turn:?}");
    assert!(turn.memory.record.is_lost, "as long as something of before is there");
    let gone = WorkspacesWorld { look: WorkspaceLook { containers: Vec::new(), ..at.look.clone() }, ..at.clone() };
    assert!(!decide_workspaces(&gone).memory.record.is_lost);
    at.memory.record.is_lost = false;
    assert!(decide_workspaces(&at).deeds.iter().any(|deed| matches!(deed, WorkspaceDeed::Stop { .. })));
}

#[test]
fn while_it_is_started_the_end_before_counts_for_nothing() {
    let mut at = with_containers(world(&[wish("w1", &json!({}))]), &ContainerRun::Ended { exit: 1, oom: false });
    let turn = decide_workspaces(&at);
    assert!(matches!(turn.deeds[..], [WorkspaceDeed::Start { .. }]));
    at.memory = turn.memory;
    at.doing.workspaces.insert(id("w1"));
    for _ in 0..10 {
        at.memory = decide_workspaces(&at).memory;
    }
    at.doing.workspaces.clear();
    assert_eq!(at.memory.workspaces[&id("w1")].pace, WorkspacePace::default());
    at.look.containers[0].run = ContainerRun::Running;
    assert_eq!(said(&decide_workspaces(&at), "w1"), (WorkspaceState::Running, None));
}

#[test]
fn a_newcomer_leaves_the_gpu_of_a_stopped_workspace_where_there_is_another() {
    let gpu = json!({ "gpu": { "mode": "share", "count": 1 } });
    let mut at = world(&[wish("w2", &gpu)]);
    let mut other = at.host.gpus[0].clone();
    (other.uuid, other.bdf) = (Some("GPU-b".to_owned()), "0000:61:00.0".to_owned());
    at.host.gpus.push(other);
    at.host.stopped = serde_json::from_value(json!([{ "workspace_id": "w1", "gpus": ["GPU-a"] }])).unwrap();
    assert_eq!(created(&decide_workspaces(&at))[0].gpus, ["GPU-b"]);
    at.host.gpus.truncate(1);
    assert_eq!(created(&decide_workspaces(&at))[0].gpus, ["GPU-a"], "it is no reservation");
}

#[test]
fn where_nobody_computes_is_better_than_where_somebody_does() {
    let mut at = world(&[wish("w1", &json!({ "gpu": { "mode": "share", "count": 1 } }))]);
    let mut other = at.host.gpus[0].clone();
    (other.uuid, other.bdf) = (Some("GPU-b".to_owned()), "0000:61:00.0".to_owned());
    at.host.gpus.push(other);
    at.host.gpus[0].processes = 1;
    assert_eq!(created(&decide_workspaces(&at))[0].gpus, ["GPU-b"]);
    at.host.gpus[1].processes = 2;
    assert_eq!(created(&decide_workspaces(&at))[0].gpus, ["GPU-a"]);
}
