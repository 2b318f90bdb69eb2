//! What a heartbeat reports of workspaces, and of what is left for more.

use crate::contract::violations;
use crate::manager_report::{facts, full};
use model::absence::Reading;
use model::checkin::Omit;
use model::desired::{DesiredReport, DocumentId, Effective, Epoch};
use model::observation::HostObservation;
use model::policy::Requester;
use model::settings::ManagerSettings;
use model::time::UnixMillis;
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{
    NetworkCounters, StaleDriver, WorkspaceFigures, WorkspaceReason, WorkspaceState, WorkspaceStatus, WorkspacesState,
};
use serde_json::{Value, json};
use std::sync::Arc;
use wire::manager::report::{CheckinFacts, build};

pub(crate) fn workspace(id: &str, state: WorkspaceState, cores: u64) -> WorkspaceStatus {
    WorkspaceStatus {
        id: id.parse().unwrap(),
        requester: Requester::Manager,
        kind: WorkspaceKind::User,
        desired: Some(DesiredRun::Running),
        state,
        reason: None,
        retry_at: None,
        since: UnixMillis(0),
        container: None,
        image: None,
        gpus: vec!["GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88".to_owned()],
        vfio: Vec::new(),
        gpu_ok: Some(true),
        gpu_unknown: None,
        stale_driver: None,
        figures: None,
        nano_cpus: cores * 1_000_000_000,
        memory_bytes: cores << 30,
        generation: 1,
        pid: None,
        started_at: None,
        pull_progress: None,
    }
}

fn six_cores() -> HostObservation {
    let mut seen = full();
    seen.host.cores = Reading::Known(6);
    seen.host.mem_total_bytes = Reading::Known(16 << 30);
    seen
}

fn sent_with(seen: &HostObservation, report: &DesiredReport, omit: Omit) -> Value {
    let settings = ManagerSettings::default();
    let body = build(seen, &CheckinFacts { wishes: report, omit, ..facts(&settings, &[]) });
    let body = serde_json::to_value(body).unwrap();
    assert_eq!(violations("Heartbeat", &body), Vec::<String>::new());
    body
}

fn report(workspaces: Vec<WorkspaceStatus>, effective: Effective) -> DesiredReport {
    let document =
        Some(DocumentId { epoch: Epoch::try_from("e".to_owned()).unwrap(), revision: 7.try_into().unwrap() });
    let state = WorkspacesState { is_looked: true, document, workspaces, ..WorkspacesState::default() };
    DesiredReport { effective: Some(effective), workspaces: Arc::new(state), ..DesiredReport::default() }
}

#[test]
fn k11_two_workspaces_of_2_and_3_cores_on_6_cores_overridden_to_12_show_5_of_12() {
    let two = || {
        let stopped = workspace("c", WorkspaceState::Stopped, 9);
        vec![workspace("a", WorkspaceState::Running, 2), workspace("b", WorkspaceState::Paused, 3), stopped]
    };
    let overridden =
        Effective { millicores: Some(12_000), memory_bytes: Some(8 << 30), cuda_gpus: Some(4), ..Effective::default() };
    let body = sent_with(&six_cores(), &report(two(), overridden), Omit::Nothing);
    assert_eq!((&body["cores"], &body["effective"]["cores"]), (&json!(6), &json!(12.0)));
    assert_eq!(body["allocated"], json!({"cores": 5.0, "memory": 5_u64 << 30, "cuda_gpus": 2}));
    assert_eq!(body["available"], json!({"cores": 7.0, "memory": 3_u64 << 30, "cuda_gpus": 2}));
    let body = sent_with(&six_cores(), &report(two(), Effective::default()), Omit::Nothing);
    assert_eq!(body["available"], json!({"cores": 1.0, "memory": 11_u64 << 30, "cuda_gpus": 0}));
    let none = Effective { millicores: Some(0), memory_bytes: Some(0), cuda_gpus: Some(0), ..Effective::default() };
    let body = sent_with(&six_cores(), &report(two(), none), Omit::Nothing);
    assert_eq!(body["available"]["cores"], json!(1.0), "an override of 0 is none");
    let mut unknown = six_cores();
    unknown.host.cores = Reading::default();
    let (settings, wishes) = (ManagerSettings::default(), report(two(), Effective::default()));
    let body = build(&unknown, &CheckinFacts { wishes: &wishes, ..facts(&settings, &[]) });
    assert_eq!(body.available.map(|left| left.cores), Some(None), "what is not known is not 0");
}

#[test]
fn a_workspace_is_reported_with_its_state_reason_and_revision() {
    let failed = WorkspaceStatus {
        reason: Some(WorkspaceReason::new("gpu_lost", "its GPU is gone")),
        container: Some("ab".repeat(32).parse().unwrap()),
        gpu_ok: Some(false),
        started_at: Some(UnixMillis(1_774_962_793_123)),
        ..workspace("a", WorkspaceState::Failed, 2)
    };
    let local = WorkspaceStatus { requester: Requester::Local, ..workspace("b", WorkspaceState::Pending, 1) };
    let body = sent_with(&six_cores(), &report(vec![failed, local], Effective::default()), Omit::Nothing);
    let expected = json!({
        "workspace_id": "a", "container_id": "ab".repeat(32), "kind": "user", "state": "failed",
        "reason": {"code": "gpu_lost", "message": "its GPU is gone"}, "cores": 2.0, "memory": 2_u64 << 30,
        "gpus": ["GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88"], "vfio": [], "gpu_ok": false,
        "started_at": "2026-03-31T13:13:13.123Z", "observed_revision": 7,
    });
    assert_eq!(body["workspaces"][0], expected);
    assert_eq!(body["workspaces"][1].get("observed_revision"), None, "no revision of a manager wants it");
    let slim = sent_with(
        &six_cores(),
        &report(vec![workspace("a", WorkspaceState::Running, 1)], Effective::default()),
        Omit::Optional,
    );
    assert!(["workspaces", "allocated", "available"].iter().all(|name| slim.get(name).is_none()), "{slim}");
}

#[test]
fn a_workspace_that_keeps_the_libraries_of_another_driver_has_that_as_its_reason_and_its_network_has_the_keys_of_the_contract()
 {
    let network = Some(NetworkCounters { received_bytes: 70, sent_bytes: 9 });
    let stale = Some(StaleDriver { has: "550.54.14".to_owned(), loaded: "580.126.16".to_owned() });
    let runs = WorkspaceStatus {
        figures: Some(WorkspaceFigures { network, ..WorkspaceFigures::default() }),
        stale_driver: stale.clone(),
        ..workspace("a", WorkspaceState::Running, 2)
    };
    let reason = Some(WorkspaceReason::new("gpu_lost", "its GPU is gone"));
    let lost = WorkspaceStatus { reason, stale_driver: stale, ..workspace("b", WorkspaceState::Running, 2) };
    let body = sent_with(&six_cores(), &report(vec![runs, lost], Effective::default()), Omit::Nothing);
    let one = &body["workspaces"][0];
    assert_eq!((&one["net_rx"], &one["net_tx"], &one["state"]), (&json!(70), &json!(9), &json!("running")));
    assert_eq!(one["reason"]["code"], json!("stale_driver"));
    let message = one["reason"]["message"].as_str().unwrap();
    assert!(message.contains("550.54.14") && message.contains("580.126.16") && message.contains("stop a"), "{message}");
    assert_eq!(body["workspaces"][1]["reason"]["code"], json!("gpu_lost"), "why it is not as wanted comes first");
    assert_eq!(body["workspaces"][1].get("net_rx"), None, "unknown is not 0");
}

/// A manager takes a workspace that is not listed for gone.
#[test]
fn before_docker_was_asked_nothing_is_reported_of_workspaces_and_a_list_is_whole_or_not_there() {
    let body = sent_with(&six_cores(), &DesiredReport::default(), Omit::Nothing);
    assert!(["workspaces", "allocated", "available"].iter().all(|name| body.get(name).is_none()), "{body}");
    for (count, is_there) in [(0, true), (200, true), (4096, false)] {
        let reason = Some(WorkspaceReason::new("no_gpu", "x".repeat(5000)));
        let one = |n: u64| WorkspaceStatus {
            reason: reason.clone(),
            ..workspace(&format!("w{n}"), WorkspaceState::Pending, 1)
        };
        let body = sent_with(&six_cores(), &report((0..count).map(one).collect(), Effective::default()), Omit::Nothing);
        let listed = body.get("workspaces").map(|all| all.as_array().unwrap().len());
        assert_eq!(listed, is_there.then(|| usize::try_from(count).unwrap()));
        assert!(body["allocated"]["cores"] == json!(0.0) && body.to_string().len() < 200_000);
    }
}

#[test]
fn a_drained_host_reports_the_condition() {
    let kinds = |state, draining| {
        let effective = Effective { draining, ..Effective::default() };
        let body = sent_with(&six_cores(), &report(vec![workspace("a", state, 1)], effective), Omit::Nothing);
        let conditions = body["conditions"].as_array().unwrap().clone();
        conditions.iter().any(|one| one["type"] == "drained")
    };
    assert!(kinds(WorkspaceState::Stopped, true));
    assert!(!kinds(WorkspaceState::Stopped, false) && !kinds(WorkspaceState::Stopping, true));
}
