//! What a container of a workspace may be: the list of the hand, and the directories of the host that the planner and the hand let it mount.

use model::policy::{HostPolicy, WorkspacesPolicy};
use model::workspace::{
    DescribedHost, Document, WorkspaceAction, WorkspaceContainer, WorkspaceMount, WorkspaceNode, WorkspaceRefused, plan,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const UUID: &str = "GPU-11111111-aaaa-4000-8000-000000000001";

/// Directories that can be mounted: `/srv/shared/team` can be written below one that can only be read, `/srv/scratch/a` below another
/// one that can be written.
fn workspaces_policy() -> WorkspacesPolicy {
    let all = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    WorkspacesPolicy {
        registries: all(&["registry.example"]),
        host_paths: all(&["/srv/data", "/srv/shared", "/srv/scratch/models"]),
        host_paths_writable: all(&["/srv/scratch", "/srv/scratch/a", "/srv/shared/team"]),
        ..WorkspacesPolicy::default()
    }
}

fn policy() -> HostPolicy {
    HostPolicy { workspaces: workspaces_policy(), ..HostPolicy::default() }
}

fn planned(change: &Value) -> WorkspaceAction {
    let WorkspacesPolicy { host_paths, host_paths_writable, .. } = workspaces_policy();
    let host: DescribedHost = serde_json::from_value(json!({
        "docker": { "cdi_spec_dirs": [], "runtimes": ["runc", "nvidia"] }, "cores": 8, "memory": 34_359_738_368_u64,
        "gpus": [{ "uuid": UUID, "bdf": "0000:41:00.0", "vendor": "nvidia", "features": ["cuda"], "memory_mib": 24576 }],
        "policy": { "registries": ["registry.example"], "host_paths": host_paths, "host_paths_writable": host_paths_writable },
    }))
    .unwrap();
    let mut wish = json!({
        "workspace_id": "w1", "desired": "running", "cores": 2, "memory": 2_147_483_648_u64,
        "image": format!("registry.example/lab/desktop@sha256:{}", "5e".repeat(32)),
    });
    for (name, value) in change.as_object().unwrap() {
        wish[name] = value.clone();
    }
    let document: Document = serde_json::from_value(json!({ "workspaces": [wish] })).unwrap();
    plan(&host, &document).remove(0).action
}

fn container(change: &Value) -> WorkspaceContainer {
    let WorkspaceAction::Create(request) = planned(change) else { panic!("{change} is refused") };
    request.container
}

/// The field and the text of the refusal; none where it may be created.
fn refused(container: &WorkspaceContainer) -> Option<(String, String)> {
    match container.check(&policy()) {
        Ok(()) => None,
        Err(WorkspaceRefused::DeniedByLocalPolicy { field, why }) => Some((field, why)),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn nothing_below_a_directory_that_workspaces_may_write_is_mounted_by_the_planner_or_the_hand() {
    for (source, read_only, expected) in [
        ("/srv/data", true, None),
        ("/srv/data/a", true, None),
        ("/srv/data", false, Some("only for mounts with read_only")),
        ("/srv/shared", true, None),
        ("/srv/shared/other", true, None),
        ("/srv/shared/team", false, None),
        ("/srv/shared/team", true, None),
        ("/srv/shared/team/x", true, Some("/srv/shared/team itself")),
        ("/srv/scratch", false, None),
        ("/srv/scratch", true, None),
        ("/srv/scratch/x", false, Some("/srv/scratch itself")),
        ("/srv/scratch/x", true, Some("/srv/scratch itself")),
        ("/srv/scratch/x/y", true, Some("/srv/scratch itself")),
        ("/srv/scratch/a", false, Some("/srv/scratch itself")),
        ("/srv/scratch/a/b", false, Some("/srv/scratch itself")),
        ("/srv/scratch/models", true, Some("/srv/scratch itself")),
        ("/srv/scratches", true, Some("neither")),
        ("/srv", true, Some("neither")),
        ("/etc", true, Some("neither")),
        ("/srv/data/../../etc", true, Some("'..'")),
    ] {
        let case = format!("{source} {read_only}");
        let agrees = |why: Option<String>| match (&why, expected) {
            (None, None) => true,
            (Some(why), Some(part)) => why.contains(part),
            (None | Some(_), _) => false,
        };
        let wish = json!({ "volumes": [{ "source": source, "target": "/x", "read_only": read_only }] });
        let by_planner = match planned(&wish) {
            WorkspaceAction::Create(_) => None,
            other @ (WorkspaceAction::Nothing | WorkspaceAction::Refusal(_)) => {
                Some(serde_json::to_string(&other).unwrap())
            }
        };
        assert!(agrees(by_planner.clone()), "the planner, {case}: {by_planner:?}");
        let mut one = container(&json!({}));
        let mount = WorkspaceMount { is_volume: false, source: source.to_owned(), target: "/x".to_owned(), read_only };
        one.mounts.push(mount);
        let by_hand = refused(&one).map(|(_, why)| why);
        assert!(agrees(by_hand.clone()), "the hand, {case}: {by_hand:?}");
    }
}

type Change = fn(&mut WorkspaceContainer);

fn node(path: &str) -> WorkspaceNode {
    WorkspaceNode { on_host: path.to_owned(), inside: path.to_owned() }
}

#[test]
fn the_hand_creates_no_container_without_limits_or_with_more_than_it_was_given() {
    let cases: [(Change, Option<&str>); 22] = [
        (|_| {}, None),
        (|one| one.nano_cpus = 0, Some("cores")),
        (|one| one.nano_cpus = 9_999_999, Some("cores")),
        (|one| one.nano_cpus = 10_000_000, None),
        (|one| one.memory_bytes = 0, Some("memory")),
        (|one| one.memory_bytes = (6 << 20) - 1, Some("memory")),
        (|one| one.memory_bytes = 6 << 20, None),
        (|one| one.groups = BTreeSet::from([0, 44]), Some("groups")),
        (|one| one.groups = (1..=16).collect(), None),
        (|one| one.groups = (1..=17).collect(), Some("groups")),
        (|one| one.security_context = Some("a".repeat(128)), None),
        (|one| one.security_context = Some("Team_1.a:b-c".to_owned()), None),
        (|one| one.security_context = Some("a".repeat(129)), Some("security_context")),
        (|one| one.security_context = Some("a b".to_owned()), Some("security_context")),
        (|one| one.security_context = Some("é".to_owned()), Some("security_context")),
        (|one| one.hostname = Some("desk-1.lab".to_owned()), None),
        (|one| one.hostname = Some("-desk".to_owned()), Some("hostname")),
        (|one| one.hostname = Some("a\nb".to_owned()), Some("hostname")),
        // A GPU is opened by a workspace that has one.
        (|one| one.nodes = vec![node("/dev/dri/by-path/pci-0000:41:00.0-card")], Some("devices")),
        (|one| one.nodes = vec![node("/dev/dri/by-path/pci-0000:41:00.0-render")], Some("devices")),
        (|one| one.nodes = vec![node("/dev/dri/card0")], Some("devices")),
        (|one| one.nodes = vec![node("/dev/dxg"), node("/dev/dri/card0")], None),
    ];
    for (number, (change, field)) in cases.into_iter().enumerate() {
        let mut one = container(&json!({}));
        change(&mut one);
        assert_eq!(refused(&one).map(|(field, _)| field).as_deref(), field, "case {number}");
    }
}

#[test]
fn a_node_below_by_path_belongs_to_a_gpu_of_the_workspace() {
    for (gpus, path, is_given) in [
        (&[UUID][..], "/dev/dri/by-path/pci-0000:41:00.0-card", true),
        (&["0000:41:00.0"], "/dev/dri/by-path/pci-0000:41:00.0-render", true),
        (&["0000:41:00.0"], "/dev/dri/by-path/pci-0000:61:00.0-render", false),
        (&["0000:41:00.0"], "/dev/dri/by-path/pci-41:00.0-render", false),
        (&["0000:41:00.0"], "/dev/dri/by-path/pci-0000:41:00.0-other", false),
    ] {
        let mut one = container(&json!({}));
        one.gpus = gpus.iter().map(|gpu| (*gpu).to_owned()).collect();
        one.nodes = vec![node(path)];
        assert_eq!(refused(&one).is_none(), is_given, "{gpus:?} {path}");
    }
}

#[test]
fn what_the_planner_makes_is_what_the_hand_takes() {
    let gpu = json!({ "gpu": { "mode": "share" }, "security_context": "team-a", "run_config": { "hostname": "desk" } });
    for change in
        [json!({}), gpu, json!({ "cores": 0.01, "memory": 6 << 20 }), json!({ "nested_virtualization": true })]
    {
        assert_eq!(refused(&container(&change)), None, "{change}");
    }
}
