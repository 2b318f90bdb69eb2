//! The readiness call: each gate alone keeps it back and says why, a broken GPU does not, and when it is made.

use crate::world::{at, failed, judged, nvidia, raw, timeout};
use model::checkin::slot::stable_hash;
use model::desired::{
    Desired, DesiredDocument, DesiredMig, DesiredMigMode, DesiredSections, DesiredState, DocumentId, GpuEntry,
    InForceDocument, WishText,
};
use model::driver::{DriverSource, ProbeError, SilentGpu};
use model::enrol::{CheckinState, CheckinStatus};
use model::health::HealthState;
use model::nvidia_container::{NvidiaPhase, NvidiaRole, NvidiaState, NvidiaWish};
use model::observation::{GpuUse, HostObservation};
use model::readiness::{
    CallOutcome, GateName, READINESS_WINDOW_MS, ReadinessCaller, ReadinessFacts, ReadinessNext, ReadinessRecord,
    UnmetGate, unmet_gates,
};
use model::reconcile::{ItemPath, Shown, Why, WishSource};
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::WorkspacesState;

const A: &str = "0000:41:00.0";
const B: &str = "0000:61:00.0";

/// Everything that a gate looks at.
struct Bench {
    host: HostObservation,
    nvidia: NvidiaState,
    deployment: NvidiaWish,
    desired: DesiredState,
    in_force: Option<DocumentId>,
    items: Vec<Shown>,
    workspaces: WorkspacesState,
    checkin: CheckinStatus,
}

impl Bench {
    /// A host that is ready.
    fn new() -> Self {
        Self::of(judged(raw(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2)], &[A, B])))
    }

    fn of(host: HostObservation) -> Self {
        Self {
            host,
            nvidia: NvidiaState::not_looked(),
            deployment: NvidiaWish::default(),
            desired: DesiredState::default(),
            in_force: None,
            items: Vec::new(),
            workspaces: WorkspacesState { is_looked: true, ..WorkspacesState::default() },
            checkin: CheckinStatus { state: CheckinState::Ok, accepted: 3, ..CheckinStatus::default() },
        }
    }

    fn unmet(&self) -> Vec<UnmetGate> {
        let facts = ReadinessFacts {
            host: &self.host,
            nvidia: &self.nvidia,
            deployment: &self.deployment,
            desired: &self.desired,
            in_force: self.in_force.as_ref(),
            items: &self.items,
            workspaces: &self.workspaces,
            checkin: &self.checkin,
        };
        unmet_gates(GateName::ALL, &facts)
    }

    fn names(&self) -> Vec<&'static str> {
        self.unmet().iter().map(|unmet| unmet.gate.code()).collect()
    }

    /// The only gate that is not met, and why.
    fn only(&self) -> (&'static str, String) {
        let unmet = self.unmet();
        assert_eq!(unmet.len(), 1, "{unmet:?}");
        (unmet[0].gate.code(), unmet[0].why.clone())
    }

    fn document(&mut self, edit: impl FnOnce(&mut DesiredSections)) {
        let mut wishes = DesiredSections::default();
        edit(&mut wishes);
        let id = DocumentId { epoch: "e".to_owned().try_into().unwrap(), revision: 1.try_into().unwrap() };
        let document =
            DesiredDocument { id, issued_at: None, server_id: None, not_after: None, requires: vec![], wishes };
        self.in_force = Some(document.id.clone());
        self.desired.manager = InForceDocument::InForce(Box::new(document));
    }
}

fn with_mig(wishes: &mut DesiredSections) {
    let mig = DesiredMig { mode: Desired::Value(DesiredMigMode::Enabled), ..DesiredMig::default() };
    wishes.gpus.push(GpuEntry { mig, ..GpuEntry::default() });
}

fn item(path: &str, why: Option<&str>) -> Shown {
    Shown {
        path: ItemPath::new(path),
        source: WishSource::Manager,
        state: if why.is_some() { "waiting" } else { "met" },
        why: why.map(|message| Why::new("under_way", message)),
        since: UnixMillis(0),
        retry_at: None,
    }
}

#[test]
fn a_host_that_is_ready_meets_every_gate_and_so_does_one_without_a_gpu() {
    assert_eq!(Bench::new().unmet(), []);
    let bare = judged(model::observation::RawObservation {
        reports: vec![(DriverSource::Nvml, Err(failed("no driver")), 1)],
        ..raw(vec![], &[])
    });
    assert_eq!(Bench::of(bare).unmet(), []);
}

#[test]
fn docker_alone() {
    let mut bench = Bench::new();
    bench.host.docker = Err(timeout());
    let (gate, why) = bench.only();
    assert!(gate == "docker" && why.contains("Docker does not answer"), "{why}");
}

#[test]
fn a_driver_container_that_is_wished_has_to_be_ready() {
    let mut bench = Bench::new();
    bench.deployment.deploy_driver = true;
    let (gate, why) = bench.only();
    assert!(gate == "driver" && why.contains("driver container is"), "{why}");
    bench.nvidia.driver.wished = true;
    bench.nvidia.driver.phase = NvidiaPhase::Starting { lacks: "nvidia-smi".to_owned() };
    assert!(bench.only().1.contains("starting"));
    bench.nvidia.driver.phase = NvidiaPhase::Ready;
    assert_eq!(bench.unmet(), []);
}

#[test]
fn without_a_driver_the_driver_and_nvml_are_named() {
    let mut round = raw(vec![nvidia(A, "", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Err(failed("driver not loaded")), 1)];
    let bench = Bench::of(judged(round));
    assert_eq!(bench.names(), ["driver", "nvml"]);
    let why = bench.unmet().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(why.contains(A) && why.contains("driver not loaded"), "{why}");
}

#[test]
fn nvml_that_does_not_answer_yet_is_named_with_its_fault() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Err(ProbeError::Timeout { what: "NVML".into(), after_ms: 1 }), 1)];
    let bench = Bench::of(judged(round));
    assert_eq!(bench.names(), ["nvml"]);
    assert!(bench.unmet()[0].why.contains("none of the 1 NVIDIA GPUs"), "{:?}", bench.unmet());
}

#[test]
fn a_runtime_that_does_not_inject_alone() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    round.docker.as_mut().unwrap().runtimes = vec!["runc".to_owned()];
    let mut bench = Bench::of(judged(round));
    let (gate, why) = bench.only();
    assert!(gate == "runtime" && why.contains(A), "{why}");
    bench = Bench::new();
    bench.deployment.deploy_toolkit = true;
    assert!(bench.only().1.contains("toolkit container is"));
    bench.nvidia.toolkit.wished = true;
    bench.nvidia.toolkit.phase = NvidiaPhase::Ready;
    assert_eq!((bench.unmet(), NvidiaRole::ALL.len()), (vec![], 2));
}

#[test]
fn mig_that_is_wished_has_to_be_applied_and_what_was_not_compared_yet_is_not() {
    let mut bench = Bench::new();
    bench.document(with_mig);
    let (gate, why) = bench.only();
    assert!(gate == "mig" && why.contains("not been compared"), "{why}");
    bench.items = vec![item(&format!("gpus[{A}].mig"), Some("a change is under way"))];
    assert!(bench.only().1.contains("a change is under way"));
    bench.items = vec![item(&format!("gpus[{A}].mig"), None), item("agent.labels", Some("no matter of a gate"))];
    assert_eq!(bench.unmet(), []);
    bench.in_force = None;
    assert_eq!(bench.names(), ["mig", "images"], "the items are about another document");
    let mut local = Bench::new();
    with_mig(&mut local.desired.local.wishes);
    assert_eq!(local.names(), ["mig"], "a file of this host counts as much");
}

#[test]
fn images_that_are_wished_have_to_be_present() {
    let mut bench = Bench::new();
    bench.items = vec![item("images[registry.example/desk:1]", Some("is being pulled"))];
    let (gate, why) = bench.only();
    assert!(gate == "images" && why.contains("desk:1"), "{why}");
    bench = Bench::new();
    bench.document(|wishes| wishes.workspaces = Desired::Value(vec![WishText::new(r#"{"id":"w"}"#)]));
    bench.workspaces.is_looked = false;
    assert!(bench.only().1.contains("not been looked at"));
    bench.workspaces.is_looked = true;
    assert_eq!(bench.unmet(), []);
}

#[test]
fn what_a_manager_wishes_is_not_known_before_it_has_answered() {
    let mut bench = Bench::new();
    bench.checkin = CheckinStatus { state: CheckinState::Connecting, ..CheckinStatus::default() };
    assert_eq!(bench.names(), ["mig", "images"]);
    bench.checkin.state = CheckinState::NotEnrolled;
    assert_eq!(bench.unmet(), [], "a host without a manager waits for none");
    bench.checkin.state = CheckinState::Unreachable;
    bench.document(|_| {});
    assert_eq!(bench.unmet(), [], "what is on disk is known");
}

#[test]
fn one_gpu_that_is_broken_or_given_away_keeps_nothing_back_and_all_of_them_do() {
    let breaks: [fn(&mut model::observation::Gpu); 5] = [
        |gpu| gpu.health.state = HealthState::Failed,
        |gpu| {
            let why = model::absence::Absence::GpuLost;
            gpu.silence = Some(SilentGpu { address: at(A), why, said: "lost".to_owned() });
        },
        |gpu| gpu.usage = GpuUse::Passthrough,
        |gpu| gpu.usage = GpuUse::Quarantined,
        |gpu| gpu.is_off = true,
    ];
    for (number, broken) in breaks.into_iter().enumerate() {
        // The first GPU has nothing that works.
        let mut bench = Bench::of(judged(raw(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2)], &[B])));
        assert_eq!(bench.names(), ["nvml"], "{number}");
        broken(&mut bench.host.gpus[0]);
        assert_eq!(bench.unmet(), [], "{number}");
    }
    let mut bench = Bench::new();
    bench.host.gpus.iter_mut().for_each(|gpu| gpu.health.state = HealthState::Failed);
    assert_eq!(bench.names(), ["driver", "nvml", "runtime"]);
    assert!(bench.unmet()[0].why.contains("none of the 2"), "{:?}", bench.unmet());
}

#[test]
fn only_the_gates_that_are_listed_count_and_reasons_are_bounded() {
    let mut bench = Bench::new();
    bench.host.docker = Err(timeout());
    let facts = ReadinessFacts {
        host: &bench.host,
        nvidia: &bench.nvidia,
        deployment: &bench.deployment,
        desired: &bench.desired,
        in_force: None,
        items: &[],
        workspaces: &bench.workspaces,
        checkin: &bench.checkin,
    };
    assert_eq!(unmet_gates(&[GateName::Nvml], &facts), []);
    assert_eq!(unmet_gates(&[], &facts), []);
    bench.host = Bench::new().host;
    bench.items = (0..300).map(|number| item(&format!("images[{number}]"), Some("is being pulled"))).collect();
    let why = bench.only().1;
    assert!(why.contains("and 296 more") && why.len() < 300, "{why}");
}

fn met() -> Vec<UnmetGate> {
    Vec::new()
}

fn failed_call(why: &str) -> CallOutcome {
    CallOutcome::Failed { why: why.to_owned(), not_before_ms: None }
}

#[test]
fn a_call_is_retried_with_growing_pauses_for_ten_minutes_and_then_given_up() {
    for host in ["a", "b", "c"] {
        let mut caller = ReadinessCaller::new(stable_hash(host));
        let (mut now, mut calls) = (BootMillis(1_000), Vec::new());
        loop {
            match caller.next(now, &met()) {
                ReadinessNext::Call => {
                    calls.push(now.0 - 1_000);
                    caller.on_outcome(now, failed_call("no route"));
                }
                ReadinessNext::Wait(Some(due)) => now = due,
                ReadinessNext::Wait(None) => break,
            }
        }
        assert!((12..=24).contains(&calls.len()), "{calls:?}");
        assert_eq!((calls[0], *calls.last().unwrap()), (0, READINESS_WINDOW_MS), "the last one is at the end");
        let pauses: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] >= 1_600 && pauses[0] <= 2_400 && pauses.iter().all(|pause| *pause <= 72_000), "{pauses:?}");
        let (code, why) = caller.ended().unwrap();
        assert!(code == "given_up" && why.contains("no route") && why.contains("10 minutes"), "{why}");
        caller.begin_again();
        assert_eq!(caller.next(now, &met()), ReadinessNext::Call, "another token is tried at once");
    }
}

#[test]
fn a_refusal_ends_it_an_acceptance_too_and_a_gate_that_is_lost_holds_it_back() {
    let now = BootMillis(5);
    let mut refused = ReadinessCaller::new(1);
    assert_eq!(refused.next(now, &met()), ReadinessNext::Call);
    refused.on_outcome(now, CallOutcome::Refused("HTTP 401".to_owned()));
    assert_eq!(refused.next(BootMillis(99_000), &met()), ReadinessNext::Wait(None));
    assert_eq!(refused.ended(), Some(("refused", "HTTP 401")));
    let mut accepted = ReadinessCaller::new(1);
    assert_eq!(accepted.next(now, &met()), ReadinessNext::Call);
    accepted.on_outcome(now, CallOutcome::Accepted);
    accepted.begin_again();
    assert_eq!(accepted.next(BootMillis(99_000), &met()), ReadinessNext::Wait(None), "never twice in a boot");
    let mut before = ReadinessCaller::new(1);
    before.accepted_before();
    assert_eq!(before.next(now, &met()), ReadinessNext::Wait(None));
    let mut lost = ReadinessCaller::new(1);
    let unmet = vec![UnmetGate { gate: GateName::Docker, why: "away".to_owned() }];
    assert_eq!(lost.next(now, &met()), ReadinessNext::Call);
    lost.on_outcome(now, failed_call("x"));
    assert_eq!(lost.next(BootMillis(60_000), &unmet), ReadinessNext::Wait(None), "Docker went away between two calls");
    assert_eq!(lost.next(BootMillis(700_000), &met()), ReadinessNext::Call, "and its time begins again");
}

#[test]
fn the_time_that_the_other_side_asks_for_is_kept() {
    let mut caller = ReadinessCaller::new(1);
    assert_eq!(caller.next(BootMillis(0), &met()), ReadinessNext::Call);
    let busy = |ms| CallOutcome::Failed { why: "HTTP 503".to_owned(), not_before_ms: Some(ms) };
    caller.on_outcome(BootMillis(0), busy(120_000));
    assert_eq!(caller.next(BootMillis(1), &met()), ReadinessNext::Wait(Some(BootMillis(120_000))));
    assert_eq!(caller.next(BootMillis(120_000), &met()), ReadinessNext::Call);
    caller.on_outcome(BootMillis(500_000), busy(300_000));
    assert_eq!(caller.ended().unwrap().0, "given_up", "it would be after the time");
}

#[test]
fn a_record_of_another_form_counts_as_none() {
    let record = ReadinessRecord::of("f23a1e49", UnixMillis(7));
    let bytes = serde_json::to_vec(&record).unwrap();
    assert_eq!(ReadinessRecord::read(&bytes), Some(record));
    let cut = &bytes[..bytes.len() / 2];
    for bad in [b"".as_slice(), b"{}", cut, br#"{"schema":2,"boot_id":"x","accepted_at":1}"#, b"\xff"] {
        assert_eq!(ReadinessRecord::read(bad), None);
    }
}
