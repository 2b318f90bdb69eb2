//! What a workspace is given of this very host: the groups of its device files, and GPUs that are reserved for a security context.

use crate::workspaces::wish;
use model::desired::{Desired, DesiredState, GpuEntry, GpuMatch, WishText};
use model::settings::SettingsOverlay;
use model::workspace::{DescribedHost, Document, WorkspaceAction, WorkspaceContainer, plan};
use model::workspace_life::{WorkspaceWishes, WorkspacesRecord};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn host(change: &Value) -> DescribedHost {
    let mut host = json!({
        "docker": { "cdi_spec_dirs": [], "runtimes": ["runc", "nvidia"] }, "cores": 16, "memory": 68_719_476_736_u64,
        "gpus": [{ "bdf": "0000:03:00.0", "vendor": "amd", "features": ["vaapi"], "memory_mib": 8192,
                   "drm": { "card_gid": 44, "render_gid": 109 } }],
        "groups": { "kvm": 104, "tun": 0 },
        "policy": { "registries": ["registry.example"] },
    });
    for (name, value) in change.as_object().unwrap() {
        host[name] = value.clone();
    }
    serde_json::from_value(host).unwrap()
}

fn given(host: &DescribedHost, wish: &Value) -> WorkspaceContainer {
    let document: Document = serde_json::from_value(json!({ "workspaces": [wish] })).unwrap();
    match plan(host, &document).remove(0).action {
        WorkspaceAction::Create(request) => request.container,
        other @ (WorkspaceAction::Nothing | WorkspaceAction::Refusal(_)) => panic!("{wish}: {other:?}"),
    }
}

#[test]
fn what_a_workspace_is_given_of_the_host_has_the_groups_of_this_host() {
    let groups = |host: &DescribedHost, change: Value| given(host, &wish("w", &change)).groups;
    let here = host(&json!({}));
    assert_eq!(groups(&here, json!({})), BTreeSet::new());
    assert_eq!(groups(&here, json!({ "hardware_acceleration": true })), BTreeSet::from([44, 109]));
    assert_eq!(groups(&here, json!({ "nested_virtualization": true })), BTreeSet::from([104]), "tun is root's");
    let wsl = host(&json!({ "wsl": true, "gpus": [], "groups": { "card0": 44, "renderD128": 105, "dxg": 0 } }));
    assert_eq!(groups(&wsl, json!({ "hardware_acceleration": true })), BTreeSet::from([44, 105]));
    let body = given(&here, &wish("w", &json!({ "hardware_acceleration": true }))).body();
    assert_eq!(
        body["HostConfig"]["GroupAdd"],
        json!(["44", "109"]),
        "by number: no image knows the names of this host"
    );
}

#[test]
fn a_gpu_that_is_reserved_for_a_security_context_serves_no_other() {
    let of = GpuMatch { bdf: Some("0000:03:00.0".parse().unwrap()), ..GpuMatch::default() };
    let entry = GpuEntry { of, security_context: Some("team-a".to_owned()), ..GpuEntry::default() };
    let mut desired = DesiredState::default();
    desired.local.wishes.gpus = vec![entry];
    let planned = |context: &str| {
        let wish = wish("w", &json!({ "hardware_acceleration": true, "security_context": context }));
        let mut desired = desired.clone();
        desired.local.wishes.workspaces = Desired::Value(vec![WishText::from(&wish)]);
        let wishes = WorkspaceWishes::of(&desired, &WorkspacesRecord::default()).with_host(&SettingsOverlay::default());
        plan(&host(&json!({})), &wishes.document).remove(0).action
    };
    assert!(matches!(planned("team-a"), WorkspaceAction::Create(_)));
    let WorkspaceAction::Refusal(why) = planned("team-b") else { panic!("it is given away") };
    assert!(why.to_string().contains("reserved for another security context"), "{why}");
}
