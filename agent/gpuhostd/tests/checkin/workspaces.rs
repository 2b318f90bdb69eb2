//! Workspaces in heartbeats: what is new of them does not wait for the slot, and what is no news does.

use crate::world::{Host, TOKEN, no_violations, with_token};
use model::policy::Requester;
use model::time::UnixMillis;
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{WorkspaceState, WorkspaceStatus, WorkspacesState};
use serde_json::json;
use std::sync::Arc;

fn state(of: WorkspaceState, pulled: u64) -> Arc<WorkspacesState> {
    let one = WorkspaceStatus {
        id: "alice-1".parse().unwrap(),
        requester: Requester::Manager,
        kind: WorkspaceKind::User,
        desired: Some(DesiredRun::Running),
        state: of,
        reason: None,
        retry_at: None,
        since: UnixMillis(0),
        container: None,
        image: None,
        gpus: Vec::new(),
        vfio: Vec::new(),
        gpu_ok: None,
        gpu_unknown: None,
        stale_driver: None,
        figures: None,
        nano_cpus: 2_000_000_000,
        memory_bytes: 1 << 30,
        generation: 1,
        pid: None,
        started_at: None,
        pull_progress: Some((pulled, 100)),
    };
    Arc::new(WorkspacesState { is_looked: true, workspaces: vec![one], ..WorkspacesState::default() })
}

#[tokio::test]
async fn another_state_of_a_workspace_is_reported_early_and_how_far_a_pull_is_waits() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
    host.clock.advance(3000).await;
    let before = manager.heartbeats().len();
    let turns = [
        (state(WorkspaceState::Pulling, 1), 1),
        (state(WorkspaceState::Pulling, 99), 1),
        (state(WorkspaceState::Running, 99), 2),
    ];
    for (turn, wanted) in turns {
        host.clock.wake_by(|| running.workspaces.send_replace(turn)).await;
        host.clock.advance(3000).await;
        assert_eq!(manager.heartbeats().len() - before, wanted);
    }
    let last = manager.heartbeats().pop().unwrap().body;
    assert_eq!((&last["workspaces"][0]["state"], &last["allocated"]["cores"]), (&json!("running"), &json!(2.0)));
    running.stop().await;
    no_violations(&manager);
}
