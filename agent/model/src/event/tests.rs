//! Which events follow from which difference, kind by kind, and which do not.

use super::{AgentSighting, EventFacts, EventSeverity, EventWorld, Occurrence, RejectedBind, event_news};
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, DriverMig, DriverReport, DriverSource, MemoryMib, MigMode, ProbeError};
use crate::health::{HealthReason, HealthState};
use crate::host_facts::HostFacts;
use crate::ids::JobId;
use crate::judge::{ObservationMeta, judge};
use crate::nvidia_container::{NvidiaFault, NvidiaHold, NvidiaPhase, NvidiaState};
use crate::observation::{HostObservation, RawObservation, StandingChange};
use crate::pci::{GpuFunction, PciScan};
use crate::policy::Requester;
use crate::roster::{Card, Sight};
use crate::settings::Settings;
use crate::time::{BootMillis, UnixMillis};
use crate::workspace::{DesiredRun, WorkspaceKind, WorkspaceRefused};
use crate::workspace_life::{UnreadWorkspace, WorkspaceReason, WorkspaceState, WorkspaceStatus, WorkspacesState};
use crate::{PciAddress, PciClass};
use std::collections::BTreeMap;

const GPU: &str = "0000:41:00.0";

/// Everything that is published, to be changed by a test.
struct Host {
    host: HostObservation,
    sight: Option<Sight>,
    workspaces: WorkspacesState,
    nvidia: NvidiaState,
    rejected: BTreeMap<JobId, RejectedBind>,
    agent: AgentSighting,
    is_settled: bool,
    facts: EventFacts,
}

fn card(at: &str, id: &str) -> Card {
    let address: PciAddress = at.parse().unwrap();
    Card { address, id: id.parse().unwrap(), name: Some("H100".to_owned()), uuid: None, serial: None, removable: false }
}

fn observed(driver: &str) -> HostObservation {
    let function = GpuFunction {
        driver: match driver {
            "" => Reading::Absent(Absence::None),
            name => Reading::Known(name.parse().unwrap()),
        },
        ..GpuFunction::unknown(GPU.parse().unwrap(), "10de:2330".parse().unwrap(), PciClass(0x0003_0200))
    };
    let said = DriverGpu { mig_current: Reading::Known(MigMode::Disabled), ..DriverGpu::unknown(GPU.parse().unwrap()) };
    let report = DriverReport {
        driver_version: Reading::Known("580.105.08".to_owned()),
        gpus: if driver == "nvidia" { vec![said] } else { Vec::new() },
        ..DriverReport::unknown(DriverSource::Nvml)
    };
    let raw = RawObservation {
        scan: Ok(PciScan { gpus: vec![function], ..PciScan::default() }),
        reports: vec![(DriverSource::Nvml, Ok(report), 1)],
        docker: Err(ProbeError::NotAsked { what: "Docker".to_owned() }),
        host: HostFacts { boot_id: Reading::Known("boot-1".to_owned()), ..HostFacts::default() },
    };
    let seen = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
    let mut host = judge(raw, seen, None);
    host.gpus[0].health.state = HealthState::Ok;
    host
}

impl Host {
    /// A host that was looked at.
    fn new() -> Self {
        let mut host = Self {
            host: observed("nvidia"),
            sight: Some(sight(&[card(GPU, "10de:2330")])),
            workspaces: WorkspacesState { is_looked: true, ..WorkspacesState::default() },
            nvidia: NvidiaState::not_looked(),
            rejected: BTreeMap::new(),
            agent: AgentSighting {
                run: "run-1".to_owned(),
                version: "0.1.0".to_owned(),
                settings: AgentSighting::digests(&Settings::default()),
                ..AgentSighting::default()
            },
            is_settled: true,
            facts: EventFacts::default(),
        };
        host.news();
        host
    }

    fn look(&self) -> EventFacts {
        self.facts.look(&EventWorld {
            host: &self.host,
            sight: self.sight.as_ref(),
            workspaces: &self.workspaces,
            nvidia: &self.nvidia,
            rejected: &self.rejected,
            agent: &self.agent,
            is_settled: self.is_settled,
        })
    }

    /// The events of another look.
    fn news(&mut self) -> Vec<Occurrence> {
        let now = self.look();
        let news = event_news(&self.facts, &now);
        // What is kept on disk is what counts after a restart.
        let mut kept = self.facts.clone();
        let change = serde_json::to_string(&self.facts.change_to(&now)).unwrap();
        kept.apply(serde_json::from_str(&change).unwrap());
        let plain = |facts: &EventFacts| serde_json::to_value(facts).unwrap();
        assert_eq!(plain(&kept), plain(&now), "{change}");
        self.facts = now;
        news
    }

    /// Their names and subjects.
    fn kinds(&mut self) -> Vec<String> {
        let news = self.news();
        news.iter().map(|event| format!("{} {}", event.kind.name(), event.subject).trim().to_owned()).collect()
    }

    /// The daemon starts again.
    fn restart(&mut self) {
        self.facts = serde_json::from_value(serde_json::to_value(&self.facts).unwrap()).unwrap();
        self.agent.run += "'";
        self.rejected.clear();
    }

    fn workspace(&mut self, state: WorkspaceState, reason: Option<(&str, &str)>) {
        let is_there = !matches!(state, WorkspaceState::Pending | WorkspaceState::Pulling | WorkspaceState::Deleted);
        self.workspaces.workspaces = vec![WorkspaceStatus {
            id: "alice-1".parse().unwrap(),
            requester: Requester::Manager,
            kind: WorkspaceKind::User,
            desired: Some(DesiredRun::Running),
            state,
            reason: reason.map(|(code, message)| WorkspaceReason::new(code, message)),
            retry_at: None,
            since: UnixMillis(0),
            container: is_there.then(|| "ab".repeat(32).parse().unwrap()),
            image: None,
            gpus: Vec::new(),
            vfio: Vec::new(),
            gpu_ok: None,
            gpu_unknown: None,
            stale_driver: None,
            figures: None,
            nano_cpus: 0,
            memory_bytes: 0,
            generation: 3,
            pid: None,
            started_at: None,
            pull_progress: None,
        }];
    }
}

fn sight(cards: &[Card]) -> Sight {
    Sight { at: UnixMillis(1), cards: cards.to_vec(), unreadable: Vec::new() }
}

fn unwell(host: &mut Host, code: &str, state: HealthState) {
    let gpu = &mut host.host.gpus[0];
    gpu.health.state = state;
    gpu.health.reasons = vec![HealthReason {
        code: code.to_owned(),
        state,
        message: "it has fallen off the bus".to_owned(),
        remedy: "reset it".to_owned(),
        since: UnixMillis(1),
        told_by: crate::health::Teller::KernelLog,
    }];
}

#[test]
fn the_first_look_ever_reports_what_is_there_and_a_restart_reports_only_itself() {
    let mut host = Host::new();
    host.facts = EventFacts::default();
    assert_eq!(host.kinds(), ["agent.started", "gpu.added 0000:41:00.0"]);
    assert_eq!(host.kinds(), Vec::<String>::new());
    host.restart();
    let news = host.news();
    assert_eq!((news.len(), news[0].severity), (1, EventSeverity::Warning), "{news:?}");
    assert!(news[0].message.contains("ended without a stop"), "{}", news[0].message);
    host.agent.is_stopping = true;
    assert_eq!(host.kinds(), ["agent.stopping"]);
    host.agent.is_stopping = false;
    host.agent.version = "0.2.0".to_owned();
    host.restart();
    let news = host.news();
    assert_eq!(
        (news.len(), news[0].severity, &news[0].data["version_before"]),
        (1, EventSeverity::Info, &"0.1.0".to_owned())
    );
}

#[test]
fn a_gpu_that_left_while_the_daemon_was_down_is_reported_and_a_scan_that_failed_reports_nothing() {
    let mut host = Host::new();
    host.restart();
    host.sight = None;
    host.host.gpus.clear();
    assert_eq!(host.kinds(), ["agent.started"], "no scan has worked");
    host.sight = Some(Sight { unreadable: vec![GPU.parse().unwrap()], ..sight(&[]) });
    assert_eq!(host.kinds(), Vec::<String>::new(), "it is there and cannot be read");
    host.sight = Some(sight(&[]));
    assert_eq!(host.kinds(), ["gpu.removed 0000:41:00.0"]);
    host.sight = Some(sight(&[card(GPU, "10de:2330")]));
    assert_eq!(host.kinds(), ["gpu.added 0000:41:00.0"]);
    host.sight = Some(sight(&[card(GPU, "10de:20b0")]));
    assert_eq!(host.kinds(), ["gpu.removed 0000:41:00.0", "gpu.added 0000:41:00.0"], "another card is in its slot");
}

#[test]
fn health_is_reported_with_its_reason_and_a_start_is_no_recovery() {
    let mut host = Host::new();
    unwell(&mut host, "xid_79", HealthState::Failed);
    let news = host.news();
    assert_eq!((news[0].kind.name(), news[0].severity), ("gpu.health", EventSeverity::Error));
    assert_eq!(news[0].code.as_deref(), Some("xid_79"));
    assert!(news[0].message.contains("is failed, was ok: it has fallen off the bus; reset it"), "{}", news[0].message);
    host.host.gpus[0].health.state = HealthState::Unknown;
    assert_eq!(host.kinds(), Vec::<String>::new(), "unknown is no health");
    host.restart();
    host.is_settled = false;
    host.host.gpus[0].health = crate::health::GpuHealth { state: HealthState::Ok, ..Default::default() };
    assert_eq!(host.kinds(), ["agent.started"], "the kernel log has not been heard");
    host.is_settled = true;
    let news = host.news();
    assert!(news[0].message.contains("is ok, was failed") && news[0].severity == EventSeverity::Info, "{news:?}");
}

#[test]
fn an_xid_is_reported_once_and_again_in_another_boot() {
    let mut host = Host::new();
    host.host.gpus[0].health.xid_last = Some(79);
    assert_eq!(host.kinds(), ["gpu.xid 0000:41:00.0"]);
    host.restart();
    host.host.gpus[0].health.xid_last = None;
    assert_eq!(host.kinds(), ["agent.started"]);
    host.host.gpus[0].health.xid_last = Some(79);
    assert_eq!(host.kinds(), Vec::<String>::new(), "the same boot, read again");
    host.host.host.boot_id = Reading::Known("boot-2".to_owned());
    host.host.gpus[0].health.xid_last = None;
    host.news();
    host.host.gpus[0].health.xid_last = Some(79);
    let news = host.news();
    assert_eq!((news.len(), news[0].code.as_deref()), (1, Some("xid_79")));
}

#[test]
fn another_driver_is_reported_and_one_that_does_not_answer_is_none() {
    let mut host = Host::new();
    host.host.gpus[0].driver_version = None;
    assert_eq!(host.kinds(), Vec::<String>::new());
    host.host.gpus[0].driver_version = Some("590.1".to_owned());
    let news = host.news();
    assert_eq!(news[0].kind.name(), "gpu.driver_changed");
    assert!(news[0].message.ends_with("is nvidia 590.1, was nvidia 580.105.08"), "{}", news[0].message);
    host.host.gpus[0].pci.driver = Reading::Absent(Absence::None);
    assert_eq!(host.kinds(), ["gpu.driver_changed 0000:41:00.0"]);
    host.host.gpus[0].pci.driver = Reading::Absent(Absence::Unreadable("EIO".to_owned()));
    assert_eq!(host.kinds(), Vec::<String>::new());
}

#[test]
fn a_gpu_that_is_bound_to_vfio_and_taken_back_is_reported_when_the_change_is_over() {
    let mut host = Host::new();
    host.host.gpus[0].pci.driver = Reading::Known("vfio-pci".parse().unwrap());
    host.host.gpus[0].change = StandingChange::UnderWay;
    assert_eq!(host.kinds(), Vec::<String>::new());
    host.host.gpus[0].change = StandingChange::Given;
    assert_eq!(host.kinds(), ["vfio.bound 0000:41:00.0"], "and no other driver");
    host.host.gpus[0].pci.driver = Reading::Known("nvidia".parse().unwrap());
    host.host.gpus[0].change = StandingChange::None;
    assert_eq!(host.kinds(), ["vfio.released 0000:41:00.0"]);
}

#[test]
fn a_binding_that_is_refused_is_reported_once() {
    let mut host = Host::new();
    let bind =
        RejectedBind { gpu: GPU.parse().unwrap(), code: "blocked".to_owned(), message: "in use by X".to_owned() };
    host.rejected.insert(JobId(7), bind.clone());
    let news = host.news();
    assert_eq!((news[0].kind.name(), news[0].code.as_deref()), ("vfio.rejected", Some("blocked")));
    assert_eq!(host.kinds(), Vec::<String>::new());
    host.rejected.insert(JobId(8), bind);
    assert_eq!(host.kinds(), ["vfio.rejected 0000:41:00.0"]);
}

fn device(gpu_instance: u32, profile: Option<&str>) -> DriverMig {
    let none = || Reading::Absent(Absence::NotReported);
    DriverMig {
        index: none(),
        gpu_instance,
        compute_instance: 0,
        uuid: Reading::Absent(Absence::NotReported),
        profile: profile.map_or(Reading::Absent(Absence::NotReported), |name| Reading::Known(name.to_owned())),
        memory: MemoryMib::absent(&Absence::NotReported),
        sm: none(),
        ce: none(),
        enc: none(),
        dec: none(),
        jpeg: none(),
        ofa: none(),
    }
}

#[test]
fn mig_is_reported_when_it_differs_and_not_when_a_source_knows_less() {
    let mut host = Host::new();
    let set = |host: &mut Host, mode, devices| {
        let driver = host.host.gpus[0].driver.as_mut().unwrap();
        driver.mig_current = Reading::Known(mode);
        driver.mig_devices = devices;
    };
    set(&mut host, MigMode::Enabled, vec![device(1, Some("1g.10gb"))]);
    let news = host.news();
    assert_eq!(news[0].kind.name(), "gpu.mig_changed");
    assert!(news[0].message.ends_with("MIG mode is on, with 1g.10gb (1.0)"), "{}", news[0].message);
    set(&mut host, MigMode::Enabled, vec![device(1, None)]);
    assert_eq!(host.kinds(), Vec::<String>::new(), "nvidia-smi does not show profiles");
    let driver = host.host.gpus[0].driver.take();
    assert_eq!(host.kinds(), Vec::<String>::new(), "the driver does not answer");
    host.host.gpus[0].driver = driver;
    set(&mut host, MigMode::Enabled, vec![device(1, Some("2g.20gb"))]);
    assert_eq!(host.kinds(), ["gpu.mig_changed 0000:41:00.0"]);
    set(&mut host, MigMode::Disabled, Vec::new());
    assert_eq!(host.kinds(), ["gpu.mig_changed 0000:41:00.0"]);
}

#[test]
fn the_life_of_a_workspace_is_told_state_by_state() {
    let mut host = Host::new();
    let one = |what: &str| format!("workspace.{what} alice-1");
    let turns = [
        (WorkspaceState::Pending, Some(("no_gpu", "1 of 1 GPUs is taken")), vec![one("refused"), one("pending")]),
        (WorkspaceState::Pulling, None, vec![one("pulling")]),
        (WorkspaceState::Pulling, Some(("pulling", "50 %")), vec![]),
        (WorkspaceState::Starting, None, vec![one("created"), one("starting")]),
        (WorkspaceState::Running, None, vec![one("running")]),
        (WorkspaceState::Paused, None, vec![one("paused")]),
        (WorkspaceState::Failed, Some(("ended", "exit status 1")), vec![one("failed")]),
        (WorkspaceState::Failed, Some(("ended", "exit status 1")), vec![]),
        (WorkspaceState::Failed, Some(("start_failed", "no such runtime")), vec![one("failed")]),
        (WorkspaceState::Stopping, Some(("orphaned", "not listed")), vec![one("stopping"), one("orphaned")]),
        (WorkspaceState::Stopped, Some(("orphaned", "not listed")), vec![one("stopped")]),
        (WorkspaceState::Deleted, None, vec![one("deleted")]),
    ];
    for (state, reason, wanted) in turns {
        host.workspace(state, reason);
        assert_eq!(host.kinds(), wanted, "{state:?}");
    }
    host.workspaces.workspaces.clear();
    assert_eq!(host.kinds(), Vec::<String>::new(), "it was deleted before");
    host.workspace(WorkspaceState::Running, None);
    host.news();
    host.workspaces.workspaces.clear();
    assert_eq!(host.kinds(), [one("deleted")]);
}

#[test]
fn while_docker_is_away_no_workspace_is_deleted_and_that_is_one_event() {
    let mut host = Host::new();
    host.workspace(WorkspaceState::Running, None);
    host.news();
    host.workspaces = WorkspacesState { unknown: Some("Docker does not answer".to_owned()), ..host.workspaces };
    assert_eq!(host.kinds(), ["workspace.unknown"]);
    assert_eq!(host.kinds(), Vec::<String>::new());
    host.restart();
    host.workspaces = WorkspacesState::default();
    assert_eq!(host.kinds(), ["agent.started"], "Docker was not asked yet");
    host.workspaces.is_looked = true;
    assert_eq!(host.kinds(), ["workspace.deleted alice-1"]);
}

#[test]
fn an_entry_that_cannot_be_read_is_refused_once() {
    let mut host = Host::new();
    let reason = WorkspaceReason::new("invalid_argument", "cores: expected a number");
    host.workspaces.unread =
        vec![UnreadWorkspace { name: "workspaces[2]".to_owned(), requester: Requester::Manager, reason }];
    let news = host.news();
    assert_eq!((news[0].kind.name(), news[0].subject.as_str()), ("workspace.refused", "workspaces[2]"));
    assert_eq!(host.kinds(), Vec::<String>::new());
}

#[test]
fn every_code_of_a_refusal_is_known_as_one() {
    let some = [
        WorkspaceRefused::Disabled,
        WorkspaceRefused::Draining,
        WorkspaceRefused::ToolkitVulnerable { version: String::new(), floor: String::new() },
    ];
    assert!(some.iter().all(|refused| WorkspaceRefused::CODES.contains(&refused.code())));
}

#[test]
fn containers_of_nvidia_are_reported_when_they_are_ready_fail_and_are_rolled_back() {
    let mut host = Host::new();
    let set = |host: &mut Host, phase: NvidiaPhase, container: &str| {
        host.nvidia.driver.phase = phase;
        host.nvidia.driver.container = Some(container.repeat(32).parse().unwrap());
    };
    set(&mut host, NvidiaPhase::Starting { lacks: "nvidia-smi".to_owned() }, "ab");
    assert_eq!(host.kinds(), Vec::<String>::new());
    set(&mut host, NvidiaPhase::Ready, "ab");
    assert_eq!(host.kinds(), ["nvidia.driver_deployed driver"]);
    set(&mut host, NvidiaPhase::Unknown { why: "Docker is away".to_owned() }, "ab");
    assert_eq!(host.kinds(), Vec::<String>::new());
    set(&mut host, NvidiaPhase::Ready, "ab");
    assert_eq!(host.kinds(), Vec::<String>::new(), "the same container");
    let failed = NvidiaPhase::Failed { fault: NvidiaFault::Exited, reason: "exit status 1".to_owned(), retry_at: None };
    set(&mut host, failed.clone(), "cd");
    let news = host.news();
    assert_eq!((news[0].kind.name(), news[0].code.as_deref()), ("nvidia.failed", Some("exited")));
    assert_eq!(news[0].severity, EventSeverity::Error);
    set(&mut host, NvidiaPhase::Starting { lacks: "nvidia-smi".to_owned() }, "cd");
    host.news();
    set(&mut host, failed, "cd");
    assert_eq!(host.kinds(), Vec::<String>::new(), "it fails again as before");
    host.nvidia.driver.hold =
        Some(NvidiaHold::RolledBack { image: "driver:2".to_owned(), reason: "exited".to_owned() });
    set(&mut host, NvidiaPhase::Ready, "ab");
    assert_eq!(host.kinds(), ["nvidia.rolled_back driver"]);
    host.nvidia.toolkit.phase = NvidiaPhase::Ready;
    host.nvidia.toolkit.container = Some("ef".repeat(32).parse().unwrap());
    assert_eq!(host.kinds(), ["nvidia.toolkit_deployed toolkit"]);
}

#[test]
fn other_settings_and_a_drained_host_are_reported() {
    let mut host = Host::new();
    let mut settings = Settings::default();
    settings.agent.sample_interval_s = 7;
    settings.desired.draining = Some(true);
    host.agent.settings = AgentSighting::digests(&settings);
    host.agent.is_drained = true;
    let news = host.news();
    let kinds: Vec<_> = news.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["agent.config_changed", "agent.drained"]);
    assert_eq!(news[0].data["sections"], "agent desired");
    assert_eq!(host.kinds(), Vec::<String>::new());
    host.agent.is_drained = false;
    assert_eq!(host.kinds(), Vec::<String>::new());
}
