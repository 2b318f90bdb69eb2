//! Workspaces that give way to a change of MIG: waited for or stopped, never for nothing, and created again afterwards.

use crate::workspaces::{id, said, wish, with_containers, world};
use model::nvidia_container::ContainerRun;
use model::policy::Requester;
use model::workspace_life::{
    MigLeave, WorkspaceDeed, WorkspaceState, WorkspacesTurn, WorkspacesWorld, decide_workspaces, without_leaving,
};
use serde_json::json;

const ENDED: ContainerRun = ContainerRun::Ended { exit: 0, oom: false };

/// Two that have containers on the one GPU, and a change of it that both hold.
fn waiting(runs: [ContainerRun; 2], stops: bool) -> WorkspacesWorld {
    let gpu = json!({ "gpu": { "mode": "share", "count": 1 } });
    let mut at = world(&[wish("w1", &gpu), wish("w2", &gpu)]);
    at.document.agent.overrides.cuda_gpus = 2;
    let mut at = with_containers(at, &ContainerRun::Running);
    assert_eq!(at.look.containers.len(), 2);
    for (seen, run) in at.look.containers.iter_mut().zip(runs) {
        seen.run = run;
    }
    let holders = at.look.containers.iter().map(|seen| Some(seen.id.short().to_owned())).collect();
    let why = "the desired state wants to change the MIG layout".to_owned();
    at.mig_leaves.insert("0000:41:00.0".parse().unwrap(), MigLeave { why, holders, by: Requester::Manager, stops });
    at.host = without_leaving(at.host, &at.mig_leaves);
    at
}

/// The deeds, by what they do.
fn deeds(turn: &WorkspacesTurn) -> Vec<(&'static str, String)> {
    let word = |deed: &WorkspaceDeed| match deed {
        WorkspaceDeed::Stop { .. } => "stop",
        WorkspaceDeed::Unpause { .. } => "unpause",
        WorkspaceDeed::Remove { .. } => "remove",
        WorkspaceDeed::Create(_) => "create",
        WorkspaceDeed::Start { .. } => "start",
        WorkspaceDeed::Pull { .. } | WorkspaceDeed::Pause { .. } | WorkspaceDeed::RemoveVolume { .. } => "else",
    };
    turn.deeds.iter().map(|deed| (word(deed), deed.workspace_id().unwrap().to_string())).collect()
}

fn of(runs: [ContainerRun; 2], stops: bool) -> Vec<(&'static str, String)> {
    deeds(&decide_workspaces(&waiting(runs, stops)))
}

fn both(word: &'static str) -> Vec<(&'static str, String)> {
    vec![(word, "w1".to_owned()), (word, "w2".to_owned())]
}

#[test]
fn what_runs_is_waited_for_and_what_has_ended_is_removed_once_it_is_the_last() {
    assert_eq!(of([ContainerRun::Running, ContainerRun::Running], false), []);
    assert_eq!(of([ContainerRun::Running, ENDED], false), [], "nothing is lost before it is worth it");
    assert_eq!(of([ContainerRun::Paused, ENDED], false), []);
    assert_eq!(of([ENDED, ENDED], false), both("remove"));
}

#[test]
fn by_force_what_runs_is_stopped_and_then_removed() {
    assert_eq!(of([ContainerRun::Running, ContainerRun::Running], true), both("stop"));
    assert_eq!(of([ContainerRun::Running, ENDED], true), [("stop", "w1".to_owned())]);
    assert_eq!(of([ContainerRun::Paused, ENDED], true), [("unpause", "w1".to_owned())]);
    assert_eq!(of([ENDED, ENDED], true), both("remove"));
    let turn = decide_workspaces(&waiting([ContainerRun::Running, ENDED], true));
    assert_eq!(said(&turn, "w1"), (WorkspaceState::Stopping, Some("mig_changes".to_owned())));
}

#[test]
fn nothing_is_stopped_where_something_else_holds_what_has_to_go() {
    for other in [None, Some("0123456789ab".to_owned())] {
        let mut at = waiting([ContainerRun::Running, ENDED], true);
        at.mig_leaves.values_mut().next().unwrap().holders.push(other.clone());
        assert_eq!(deeds(&decide_workspaces(&at)), [], "{other:?}");
    }
    let mut foreign = waiting([ContainerRun::Running, ENDED], true);
    foreign.look.containers[0].foreign = Some(model::workspace_life::WhyNotOurs::Labels);
    assert!(deeds(&decide_workspaces(&foreign)).iter().all(|(word, _)| *word != "stop" && *word != "remove"));
}

#[test]
fn a_manager_stops_and_removes_nothing_that_people_on_this_host_have_created() {
    for (by, stops, run, wanted) in [
        (Requester::Manager, true, ContainerRun::Running, 0),
        (Requester::Manager, false, ENDED, 0),
        (Requester::Local, true, ContainerRun::Running, 2),
        (Requester::Local, false, ENDED, 2),
    ] {
        let mut at = waiting([run.clone(), run.clone()], stops);
        at.mig_leaves.values_mut().for_each(|leave| leave.by = by);
        at.document.from_local = 2;
        at.lists.local = true;
        at.look.containers.iter_mut().for_each(|seen| seen.requester = Some(Requester::Local));
        let gone = |(word, _): &(&str, String)| ["stop", "remove"].contains(word);
        let gone = deeds(&decide_workspaces(&at)).into_iter().filter(gone).count();
        assert_eq!(gone, wanted, "{by:?} {stops} {run:?}");
    }
}

#[test]
fn no_workspace_comes_to_the_gpu_meanwhile_and_afterwards_it_is_created_again() {
    let mut at = waiting([ENDED, ENDED], false);
    at.look.containers.clear();
    let turn = decide_workspaces(&at);
    assert_eq!(deeds(&turn), []);
    let reason = turn.state.find(&id("w1")).unwrap().reason.clone().unwrap();
    assert!(reason.code == "no_gpu" && reason.message.contains("wants to change the MIG layout"), "{reason:?}");
    at.mig_leaves.clear();
    at.host.gpus[0].not_shared = None;
    assert_eq!(deeds(&decide_workspaces(&at)), both("create"));
}
