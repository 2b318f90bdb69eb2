//! The GPUs of running workspaces: what follows from a look, when the next one is due, and what is done about a loss.

use crate::workspaces::{id, said, wish, with_containers, world};
use model::device_links::DeviceNumber;
use model::event::EventKind;
use model::nvidia_container::ContainerRun;
use model::policy::WorkspaceRepair;
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::{
    CgroupVerdict, ContainerNode, DeviceVerdict, GpuNode, GpuVerdict, WorkspaceDeed, WorkspaceGpuLook,
    WorkspaceGpuNeeds, WorkspaceState, WorkspacesTurn, WorkspacesWorld, decide_workspaces,
};
use serde_json::json;

const fn number(major: u64, minor: u64) -> DeviceNumber {
    DeviceNumber { major, minor }
}

fn needs() -> WorkspaceGpuNeeds {
    let node = |path: &str, number, is_required| GpuNode { path: path.to_owned(), number, is_required };
    WorkspaceGpuNeeds {
        nodes: vec![
            node("/dev/nvidia0", Some(number(195, 0)), true),
            node("/dev/nvidiactl", Some(number(195, 255)), true),
            node("/dev/nvidia-uvm", None, false),
        ],
        is_idle: true,
        ..WorkspaceGpuNeeds::default()
    }
}

/// All three, in one group that allows them.
fn healthy() -> WorkspaceGpuLook {
    let inside = |path: &str, number| ContainerNode { path: path.to_owned(), number };
    let allowed = |number| DeviceVerdict { number, verdict: CgroupVerdict::Allowed };
    WorkspaceGpuLook {
        nodes: vec![
            inside("/dev/nvidia0", number(195, 0)),
            inside("/dev/nvidiactl", number(195, 255)),
            inside("/dev/nvidia-uvm", number(510, 0)),
            // What it has made for itself.
            inside("/dev/nvidia7", number(195, 7)),
        ],
        access: [number(195, 0), number(195, 255), number(510, 0)].map(allowed).to_vec(),
    }
}

fn lost() -> WorkspaceGpuLook {
    let mut look = healthy();
    look.access.iter_mut().for_each(|one| one.verdict = CgroupVerdict::Denied);
    look
}

#[test]
fn what_is_missing_refused_or_without_a_driver_is_lost_and_what_is_not_known_is_unknown() {
    let judged = |change: fn(&mut WorkspaceGpuLook)| {
        let mut look = healthy();
        change(&mut look);
        match needs().judge(&look) {
            GpuVerdict::Ok => "ok".to_owned(),
            GpuVerdict::Lost { why } => format!("lost: {why}"),
            GpuVerdict::Unknown { why } => format!("unknown: {why}"),
        }
    };
    let is = |change, what: &str| {
        let judged = judged(change);
        assert!(judged.starts_with(what), "{judged}, not {what}");
    };
    is(|_| {}, "ok");
    is(|look| look.nodes[0].path = "/dev/nvidia3".to_owned(), "ok");
    is(|look| drop(look.nodes.remove(2)), "ok");
    is(|look| drop(look.nodes.remove(0)), "lost: /dev/nvidia0 is not in its /dev");
    is(
        |look| look.access[0].verdict = CgroupVerdict::Denied,
        "lost: its control group does not let it open /dev/nvidia0 (195:0)",
    );
    is(|look| look.access[2].verdict = CgroupVerdict::NoDriver, "lost: its /dev/nvidia-uvm has the number 510:0");
    is(|look| look.access[1].verdict = CgroupVerdict::Unknown { why: "x".to_owned() }, "unknown: /dev/nvidiactl: x");
    is(|look| look.access.clear(), "unknown: /dev/nvidia0");
    assert_eq!(needs().numbers(&healthy().nodes), [number(195, 0), number(195, 255), number(510, 0)]);
    let gone = WorkspaceGpuNeeds { gone: vec!["the host has no MIG-1 any more".to_owned()], ..needs() };
    assert!(matches!(gone.judge(&healthy()), GpuVerdict::Lost { .. }));
    let unknown = WorkspaceGpuNeeds { unknown: vec!["the driver is silent".to_owned()], ..needs() };
    assert!(matches!(unknown.judge(&healthy()), GpuVerdict::Unknown { .. }));
    assert!(
        matches!(unknown.judge(&lost()), GpuVerdict::Lost { .. }),
        "what is lost is lost, whatever else is not known"
    );
}

/// One that runs and shares a GPU.
fn running(repair: WorkspaceRepair) -> WorkspacesWorld {
    let gpu = json!({ "gpu": { "mode": "share", "count": 1 } });
    let mut at = with_containers(world(&[wish("w1", &gpu)]), &ContainerRun::Running);
    at.look.containers[0].pid = Some(4711);
    at.gpu_needs.insert(id("w1"), needs());
    at.repair = repair;
    at
}

/// A turn, and the next world after it, so many milliseconds later, with what its looks showed.
fn next(at: &mut WorkspacesWorld, look: &WorkspaceGpuLook, millis: u64) -> (WorkspacesTurn, Vec<EventKind>) {
    let turn = decide_workspaces(at);
    at.memory = turn.memory.clone();
    let mut events = Vec::new();
    for probe in &turn.probes {
        events.extend(at.memory.gpus_found(probe, &Ok(look.clone())).map(|event| event.kind));
    }
    at.now.boot = at.now.boot.plus(millis);
    (turn, events)
}

#[test]
fn a_running_workspace_is_looked_at_after_its_start_and_every_30_s_and_at_once_when_the_driver_is_another_one() {
    let mut at = running(WorkspaceRepair::Never);
    let (turn, events) = next(&mut at, &healthy(), 1_000);
    assert_eq!((turn.probes.len(), events.len(), turn.state.workspaces[0].gpu_ok), (1, 0, None));
    let (turn, _) = next(&mut at, &healthy(), 28_999);
    assert_eq!((turn.probes.len(), turn.state.workspaces[0].gpu_ok, turn.wake_at), (0, Some(true), None));
    assert_eq!(turn.probe_at, Some(BootMillis(1_030_000)), "nothing but the look itself wakes");
    let (turn, _) = next(&mut at, &healthy(), 1);
    assert_eq!(turn.probes.len(), 0);
    let (turn, _) = next(&mut at, &healthy(), 10);
    assert_eq!(turn.probes.len(), 1);
    at.gpu_needs.get_mut(&id("w1")).unwrap().load = Some(model::stack::DriverLoad(9));
    assert_eq!(next(&mut at, &healthy(), 10).0.probes.len(), 1);
    at.look.containers[0].started_at = Some(UnixMillis(77));
    let (turn, _) = next(&mut at, &healthy(), 10);
    assert_eq!((turn.probes.len(), turn.state.workspaces[0].gpu_ok), (1, None), "another start is another one");
    for (run, pid, foreign) in [(ContainerRun::Paused, Some(1), false), (ContainerRun::Running, None, false)] {
        let mut other = running(WorkspaceRepair::Never);
        (other.look.containers[0].run, other.look.containers[0].pid) = (run, pid);
        assert_eq!((decide_workspaces(&other).probes.len(), foreign), (0, false));
    }
}

#[test]
fn a_loss_is_reported_once_and_by_itself_nothing_is_stopped_for_it() {
    let mut at = running(WorkspaceRepair::Never);
    let (_, events) = next(&mut at, &lost(), 5_000);
    assert_eq!(events, [EventKind::WorkspaceGpuLost]);
    for _ in 0..5 {
        let (turn, events) = next(&mut at, &lost(), 30_000);
        assert_eq!(
            (turn.deeds.len(), events.len(), said(&turn, "w1")),
            (0, 0, (WorkspaceState::Running, Some("gpu_lost".to_owned())))
        );
        assert_eq!(turn.state.workspaces[0].gpu_ok, Some(false));
    }
    next(&mut at, &healthy(), 30_000);
    let (turn, _) = next(&mut at, &lost(), 30_000);
    assert_eq!(said(&turn, "w1"), (WorkspaceState::Running, None), "they came back");
    assert_eq!(next(&mut at, &healthy(), 1).0.state.workspaces[0].gpu_ok, Some(false));
}

#[test]
fn a_look_of_an_earlier_start_does_not_count_for_this_one() {
    let mut at = running(WorkspaceRepair::Restart);
    let turn = decide_workspaces(&at);
    at.memory = turn.memory.clone();
    at.look.containers[0].started_at = Some(UnixMillis(77));
    at.memory = decide_workspaces(&at).memory;
    assert_eq!(at.memory.gpus_found(&turn.probes[0], &Ok(lost())), None);
    assert_eq!(decide_workspaces(&at).state.workspaces[0].gpu_ok, None);
}

#[test]
fn where_the_policy_wants_it_a_loss_that_two_looks_show_is_repaired_at_a_bounded_pace() {
    let mut at = running(WorkspaceRepair::Restart);
    next(&mut at, &lost(), 5_000);
    let (turn, _) = next(&mut at, &lost(), 1);
    assert_eq!((turn.deeds.len(), turn.probes.len()), (0, 1), "one look is not enough");
    let mut stops = 0;
    for _ in 0..40 {
        let (turn, _) = next(&mut at, &lost(), 30_000);
        if let [WorkspaceDeed::Stop { .. }] = &turn.deeds[..] {
            stops += 1;
            assert_eq!(said(&turn, "w1"), (WorkspaceState::Stopping, Some("gpu_lost".to_owned())));
            // It was stopped, and is started again with the GPU that it had.
            at.look.containers[0].run = ContainerRun::Ended { exit: 143, oom: false };
            assert_eq!(at.memory.repairing().count(), 1, "what it had is kept for it");
            at.document.agent.draining = false;
            let started = decide_workspaces(&at);
            assert!(matches!(&started.deeds[..], [WorkspaceDeed::Start { .. }]), "{started:?}");
            at.memory = started.memory;
            at.look.containers[0].run = ContainerRun::Running;
            at.look.containers[0].started_at = Some(UnixMillis(at.now.boot.0.try_into().unwrap()));
            next(&mut at, &lost(), 5_000);
            assert_eq!(at.memory.repairing().count(), 0);
        }
    }
    assert_eq!(stops, 5, "it is given up");
    at.memory.try_again(&id("w1"));
    assert_eq!(next(&mut at, &lost(), 1).0.deeds.len(), 1, "a person can have it tried again");
}

#[test]
fn nothing_is_stopped_that_computes_or_that_would_not_be_started_again() {
    let deeds = |repair, change: fn(&mut WorkspacesWorld)| {
        let mut at = running(repair);
        change(&mut at);
        next(&mut at, &lost(), 5_000);
        next(&mut at, &lost(), 5_000);
        decide_workspaces(&at).deeds.len()
    };
    assert_eq!(deeds(WorkspaceRepair::WhenIdle, |_| {}), 1);
    assert_eq!(deeds(WorkspaceRepair::WhenIdle, |at| at.gpu_needs.get_mut(&id("w1")).unwrap().is_idle = false), 0);
    assert_eq!(deeds(WorkspaceRepair::Restart, |at| at.gpu_needs.get_mut(&id("w1")).unwrap().is_idle = false), 1);
    assert_eq!(deeds(WorkspaceRepair::Restart, |at| at.document.agent.draining = true), 0);
    assert_eq!(deeds(WorkspaceRepair::Restart, |at| at.document.agent.enabled = false), 0);
    assert_eq!(deeds(WorkspaceRepair::Restart, |at| at.driver_changing = Some("it is upgraded".to_owned())), 0);
}

#[test]
fn what_is_due_without_room_wakes_at_no_time_of_its_own_and_is_looked_at_when_a_look_has_ended() {
    let wishes: Vec<_> = (1..=6).map(|number| wish(&format!("w{number}"), &json!({}))).collect();
    let mut at = with_containers(world(&wishes), &ContainerRun::Running);
    assert_eq!(at.look.containers.len(), 6);
    for seen in &mut at.look.containers {
        seen.pid = Some(4711);
        at.gpu_needs.insert(seen.workspace_id.clone().unwrap(), needs());
    }
    let turn = decide_workspaces(&at);
    assert_eq!((turn.probes.len(), turn.probe_at), (4, None));
    at.memory = turn.memory.clone();
    at.doing.probes = turn.probes.iter().map(|probe| probe.workspace_id.clone()).collect();
    at.now.boot = at.now.boot.plus(1_000);
    let waiting = decide_workspaces(&at);
    assert_eq!((waiting.probes.len(), waiting.probe_at), (0, None), "nothing wakes but the end of a look");
    at.doing.probes.remove(&turn.probes[0].workspace_id);
    let next = decide_workspaces(&at);
    assert_eq!((next.probes.len(), next.probe_at), (1, Some(BootMillis(1_030_000))));
    assert!(turn.probes.iter().all(|one| one.workspace_id != next.probes[0].workspace_id));
}

#[test]
fn a_loss_that_rests_on_one_observation_is_not_confirmed_by_it_again() {
    let mut at = running(WorkspaceRepair::Restart);
    let wrong = WorkspaceGpuNeeds { gone: vec!["the host has no GPU-a any more".to_owned()], ..needs() };
    at.gpu_needs.insert(id("w1"), wrong);
    for _ in 0..5 {
        assert_eq!(next(&mut at, &healthy(), 30_000).0.deeds.len(), 0);
    }
    at.gpu_needs.get_mut(&id("w1")).unwrap().sequence = 1;
    next(&mut at, &healthy(), 30_000);
    assert!(matches!(&decide_workspaces(&at).deeds[..], [WorkspaceDeed::Stop { .. }]));
}

/// It was stopped for its GPUs, and was started again.
fn started_again(at: &mut WorkspacesWorld) {
    at.look.containers[0].started_at = Some(UnixMillis(at.now.boot.0.try_into().unwrap()));
}

/// It loses them twenty times, so many milliseconds apart, and has them for so long after each start. How often it was stopped.
fn stops(apart_ms: u64, well_ms: u64) -> usize {
    let (mut at, mut stops) = (running(WorkspaceRepair::Restart), 0);
    for _ in 0..20 {
        next(&mut at, &healthy(), 30_000);
        next(&mut at, &healthy(), well_ms);
        next(&mut at, &healthy(), apart_ms);
        next(&mut at, &lost(), 5_000);
        next(&mut at, &lost(), 5_000);
        let (turn, _) = next(&mut at, &lost(), 1_000);
        stops += turn.deeds.len();
        started_again(&mut at);
    }
    stops
}

#[test]
fn repairs_count_however_far_apart_they_are_until_it_has_had_its_gpus_for_half_an_hour() {
    assert_eq!(stops(3_600_000, 60_000), 5, "each only once in an hour");
    assert_eq!(stops(30_000, 1_800_000), 20);
}
