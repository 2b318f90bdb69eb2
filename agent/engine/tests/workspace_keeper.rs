//! The task that keeps workspaces, on a simulated host and in virtual time: what people ask is on disk before the answer, and refused
//! where it cannot be done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use engine::handle::Handle;
use engine::observer::Ask;
use engine::publish::Publisher;
use engine::start::EngineParts;
use engine::workspace_meter::WorkspaceMeter;
use engine::workspaces::{WorkspaceKeeper, WorkspaceKeeperParts};
use model::absence::{Absence, Reading};
use model::desired::{Desired, DesiredState, WishText};
use model::driver::GpuProcess;
use model::event::EventKind;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::judge::{ObservationMeta, judge};
use model::nvidia_container::{NvidiaPhase, NvidiaState};
use model::policy::{Policy, read};
use model::ports::{Clock, WorkspacePort};
use model::refusal::Refusal;
use model::time::{BootMillis, UnixMillis};
use model::workspace::DesiredRun;
use model::workspace_life::{
    CgroupFigures, ContainerUse, ContainerUseAsked, MigLeave, NetworkCounters, WorkspaceAsk, WorkspaceDeed,
    WorkspaceGpuLook, WorkspaceGpuProbe, WorkspaceHostSide, WorkspaceLook, WorkspaceState, WorkspacesRecord,
    WorkspacesState,
};
use sim::{SimHost, SimLedger};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Time of the runtime, which goes on by itself where everybody waits.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(self.0.elapsed().as_millis().try_into().unwrap())
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }

    async fn sleep_until(&self, when: BootMillis) {
        sleep(Duration::from_millis(when.since(self.boot_now()))).await;
    }
}

struct Bench {
    host: Arc<SimHost>,
    ledger: SimLedger,
    publisher: Arc<Publisher>,
    handle: Handle,
    desired: watch::Sender<Arc<DesiredState>>,
    cancel: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let host = SimHost::new(sim::load("hgx-h100").unwrap()).unwrap();
        let parts = EngineParts::default();
        let (publisher, handle) = (parts.publisher(), parts.handle());
        let first = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
        publisher.publish(judge(host.asked(), first, None));
        let desired = watch::channel(Arc::default()).0;
        let (ledger, cancel) = (SimLedger::default(), CancellationToken::new());
        Self { host: Arc::new(host), ledger, publisher, handle, desired, cancel }
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        self.start_with("[host.workspaces]\nregistries = ['registry.example']")
    }

    fn start_with(&self, policy: &str) -> tokio::task::JoinHandle<()> {
        self.start_on(&self.host, policy)
    }

    fn start_on<P: WorkspacePort>(&self, port: &Arc<P>, policy: &str) -> tokio::task::JoinHandle<()> {
        let policy = read("p", policy).unwrap();
        let policy: watch::Sender<Arc<Policy>> = watch::channel(Arc::new(policy)).0;
        let keeper = WorkspaceKeeper::new(WorkspaceKeeperParts {
            port: Arc::clone(port),
            ledger: Arc::new(self.ledger.clone()),
            clock: Arc::new(VirtualClock(Instant::now())),
            handle: self.handle.clone(),
            publisher: Arc::clone(&self.publisher),
            desired: self.desired.subscribe(),
            settings: watch::channel(Arc::default()).1,
            policy: policy.subscribe(),
            locked: watch::channel(false).1,
            checkin: watch::channel(Arc::default()).1,
        });
        tokio::spawn(keeper.run(self.cancel.clone()))
    }

    async fn until(&self, what: impl Fn(&WorkspacesState) -> bool) -> Arc<WorkspacesState> {
        let mut state = self.publisher.workspaces();
        let seen = timeout(Duration::from_secs(7_200), state.wait_for(|state| what(state))).await;
        let reached = seen.map(|state| Arc::clone(&state.unwrap()));
        reached.unwrap_or_else(|_| panic!("it never comes: {:#?}", self.publisher.workspaces().borrow()))
    }

    async fn want(&self, id: &str, desired: DesiredRun) -> Result<(), Refusal> {
        self.publisher.ask_workspaces(WorkspaceAsk::Want { id: id.parse().unwrap(), desired }).await
    }

    async fn set(&self, id: &str) -> Result<(), Refusal> {
        self.publisher.ask_workspaces(WorkspaceAsk::Set { id: id.parse().unwrap(), wish: wish(id) }).await
    }

    fn kept(&self) -> WorkspacesRecord {
        let bytes = self.ledger.disk(|disk| disk.content.clone()).unwrap().unwrap();
        WorkspacesRecord::decode(&bytes).unwrap()
    }
}

fn wish(id: &str) -> WishText {
    let image = format!("registry.example/lab/desktop@sha256:{}", "5e".repeat(32));
    WishText::from(&serde_json::json!({
        "workspace_id": id, "desired": "running", "image": image, "cores": 1, "memory": 1_073_741_824_u64,
        "gpu": { "mode": "share", "count": 1 },
    }))
}

fn is(state: &WorkspacesState, id: &str, wanted: WorkspaceState) -> bool {
    state.find(&id.parse().unwrap()).is_some_and(|one| one.state == wanted)
}

#[tokio::test(start_paused = true)]
async fn what_a_person_asks_is_on_disk_with_the_answer_and_comes_about() {
    let bench = Bench::new();
    let running = bench.start();
    bench.set("w1").await.unwrap();
    assert_eq!(bench.kept().local.len(), 1, "a power failure now loses nothing");
    let state = bench.until(|state| is(state, "w1", WorkspaceState::Running)).await;
    assert_eq!(state.workspaces[0].gpus.len(), 1);
    let container = state.workspaces[0].container.clone();

    // A restart of the daemon touches nothing.
    bench.cancel.cancel();
    running.await.unwrap();
    bench.publisher.show_workspaces(WorkspacesState::default());
    let again = Bench { publisher: EngineParts::default().publisher(), cancel: CancellationToken::new(), ..bench };
    let first = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
    again.publisher.publish(judge(again.host.asked(), first, None));
    again.start();
    let state = again.until(|state| is(state, "w1", WorkspaceState::Running)).await;
    assert_eq!(state.workspaces[0].container, container);

    again.want("w1", DesiredRun::Stopped).await.unwrap();
    again.until(|state| is(state, "w1", WorkspaceState::Stopped)).await;
    again.want("w1", DesiredRun::Deleted).await.unwrap();
    again.until(|state| state.workspaces.is_empty()).await;
    assert!(again.kept().local.is_empty() && again.host.workspaces(|engine| engine.containers.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_refused_and_not_remembered() {
    let bench = Bench::new();
    let mut desired = DesiredState::default();
    desired.local.wishes.workspaces = Desired::Value(vec![wish("of-a-file")]);
    bench.desired.send_replace(Arc::new(desired));
    bench.start();
    bench.until(|state| is(state, "of-a-file", WorkspaceState::Running)).await;
    let refused = bench.want("of-a-file", DesiredRun::Stopped).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Conflict { why } if why.contains("/etc/gpuhostd/desired.d")), "{refused}");
    assert!(matches!(bench.want("nobody", DesiredRun::Running).await, Err(Refusal::NotFound { .. })));
    let ask = WorkspaceAsk::Recreate { id: "nobody".parse().unwrap() };
    assert!(matches!(bench.publisher.ask_workspaces(ask).await, Err(Refusal::NotFound { .. })));

    bench.ledger.disk(|disk| disk.refuses = Some("no space left on device".to_owned()));
    let refused = bench.set("w1").await.unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    bench.ledger.disk(|disk| disk.refuses = None);
    bench.set("w2").await.unwrap();
    let state = bench.until(|state| is(state, "w2", WorkspaceState::Running)).await;
    assert!(state.find(&"w1".parse().unwrap()).is_none(), "what was refused does not come later");
}

#[tokio::test(start_paused = true)]
async fn a_record_of_another_version_stops_everything_until_it_can_be_read_and_stays_as_it_is() {
    let bench = Bench::new();
    let later = br#"{"schema":9,"workspaces":{}}"#.to_vec();
    bench.ledger.disk(|disk| disk.content = Some(Ok(later.clone())));
    let mut desired = DesiredState::default();
    desired.local.wishes.workspaces = Desired::Value(vec![wish("of-a-file")]);
    bench.desired.send_replace(Arc::new(desired));
    bench.start();
    bench.until(|state| state.unknown.as_ref().is_some_and(|why| why.contains("schema 9"))).await;
    assert!(matches!(bench.set("w1").await, Err(Refusal::Unavailable { .. })));
    sleep(Duration::from_secs(600)).await;
    assert!(bench.host.workspaces(|engine| engine.containers.is_empty()));
    assert_eq!(bench.ledger.disk(|disk| disk.content.clone()), Some(Ok(later)), "nothing of it is lost");
    bench.ledger.disk(|disk| disk.content = Some(Ok(WorkspacesRecord::default().encode())));
    bench.until(|state| is(state, "of-a-file", WorkspaceState::Running)).await;
}

#[tokio::test(start_paused = true)]
async fn gpus_that_a_running_workspace_loses_are_shown_reported_once_and_by_policy_brought_back() {
    for (repair, is_back) in [("never", false), ("restart", true)] {
        let bench = Bench::new();
        let mut happened = bench.publisher.take_occurrences().unwrap();
        bench.start_with(&format!("[host.workspaces]\nregistries = ['registry.example']\nrepair = '{repair}'"));
        bench.set("w1").await.unwrap();
        let has = |ok| {
            move |state: &WorkspacesState| state.find(&"w1".parse().unwrap()).is_some_and(|one| one.gpu_ok == Some(ok))
        };
        let pid = bench.until(has(true)).await.workspaces[0].pid;
        bench.host.workspaces(|engine| engine.lose_gpus());
        let state = bench.until(has(false)).await;
        assert_eq!(state.workspaces[0].reason.as_ref().unwrap().code, "gpu_lost");
        let pulled = timeout(Duration::from_secs(60), happened.recv()).await.unwrap().unwrap();
        assert_eq!(pulled.kind, EventKind::ImagePulled);
        let event = timeout(Duration::from_secs(60), happened.recv()).await.unwrap().unwrap();
        assert_eq!((event.kind, event.subject.as_str()), (EventKind::WorkspaceGpuLost, "w1"));
        if is_back {
            let state = bench.until(has(true)).await;
            assert_ne!(state.workspaces[0].pid, pid, "it was started again");
        } else {
            sleep(Duration::from_secs(3_600)).await;
            assert_eq!(bench.publisher.workspaces().borrow().workspaces[0].pid, pid, "nothing is stopped");
        }
        assert!(happened.try_recv().is_err(), "{repair}: one loss is one event");
        bench.cancel.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_workspace_uses_of_its_gpus_is_the_sum_of_its_own_processes_or_unknown() {
    let bench = Bench::new();
    bench.start();
    bench.set("w1").await.unwrap();
    let state = bench.until(|state| is(state, "w1", WorkspaceState::Running)).await;
    let container = state.workspaces[0].container.clone().unwrap();
    let gpu = state.workspaces[0].gpus[0].clone();
    let clock = Arc::new(VirtualClock(Instant::now()));
    tokio::spawn(WorkspaceMeter::new(&bench.host, &clock, &bench.publisher).run(bench.cancel.clone()));
    // Two processes of it, one of another container, one of the host.
    bench.host.workspaces(|engine| {
        engine.gpu_processes =
            BTreeMap::from([(900, container.clone()), (901, container), (902, "ab".repeat(32).parse().unwrap())]);
    });
    let process = |pid, memory_mib| GpuProcess { pid, kind: Reading::default(), name: Reading::default(), memory_mib };
    let show = |processes: Reading<Vec<GpuProcess>>| {
        let mut host = (**bench.publisher.seen().borrow()).clone();
        host.sequence += 1;
        let drivers = host.gpus.iter_mut().filter_map(|gpu| gpu.driver.as_mut());
        let mut of_it = drivers.filter(|driver| driver.uuid.known().is_some_and(|uuid| uuid.as_str() == gpu));
        of_it.next().unwrap().processes = processes;
        bench.publisher.publish(host);
    };
    let with = |memory| {
        [
            process(900, Reading::Known(100)),
            process(901, memory),
            process(902, Reading::Known(7)),
            process(903, Reading::Known(5)),
        ]
    };
    let figures = || async {
        sleep(Duration::from_secs(60)).await;
        bench.publisher.workspaces().borrow().workspaces[0].figures.clone().unwrap()
    };
    show(Reading::Known(with(Reading::Known(200)).into()));
    let seen = figures().await;
    assert_eq!(seen.gpu_memory_bytes, Reading::Known(300 << 20));
    assert_eq!(seen.network, Some(NetworkCounters { received_bytes: 1024, sent_bytes: 512 }));
    show(Reading::Known(with(Reading::Absent(Absence::NotSupported)).into()));
    assert_eq!(figures().await.gpu_memory_bytes, Reading::Absent(Absence::NotSupported), "a part is not taken for all");
    show(Reading::Absent(Absence::GpuAsleep));
    assert_eq!(figures().await.gpu_memory_bytes, Reading::Absent(Absence::GpuAsleep));
    let mut server = process(904, Reading::Known(64));
    server.name = Reading::Known("/usr/bin/nvidia-cuda-mps-server".to_owned());
    show(Reading::Known(vec![server.clone()]));
    assert_eq!(figures().await.gpu_memory_bytes, Reading::Absent(Absence::NotReported), "it can be a client");
    show(Reading::Known(vec![server, process(900, Reading::Known(3))]));
    assert_eq!(figures().await.gpu_memory_bytes, Reading::Known(3 << 20), "clients are shown themselves");
    show(Reading::Known(Vec::new()));
    assert_eq!(figures().await.gpu_memory_bytes, Reading::Known(0), "that no process is on it is known");
    bench.cancel.cancel();
}

/// The driver's container in this phase, and the toolkit's ready.
fn nvidia(phase: NvidiaPhase, since: i64) -> NvidiaState {
    let mut state = NvidiaState::not_looked();
    (state.driver.wished, state.toolkit.wished) = (true, true);
    (state.driver.phase, state.driver.since) = (phase, Some(UnixMillis(since)));
    (state.toolkit.phase, state.toolkit.since) = (NvidiaPhase::Ready, Some(UnixMillis(1)));
    state
}

#[tokio::test(start_paused = true)]
async fn after_a_change_of_the_driver_nothing_gets_a_gpu_before_the_host_was_looked_at_again() {
    let (asks, mut asked) = mpsc::channel(8);
    let mut bench = Bench::new();
    bench.handle = bench.handle.with_observer(asks);
    let shows = |state| bench.publisher.show_nvidia(state);
    shows(nvidia(NvidiaPhase::Ready, 10));
    bench.start();
    bench.set("w1").await.unwrap();
    bench.until(|state| is(state, "w1", WorkspaceState::Running)).await;
    assert!(asked.try_recv().is_err(), "what is seen at a start is of after it");
    // Changed before the keeper's eyes, and between two of its turns.
    for (id, between) in [("w2", Some(nvidia(NvidiaPhase::Upgrading { step: "start".to_owned() }, 20))), ("w3", None)] {
        if let Some(between) = between {
            shows(between);
            bench.set(id).await.unwrap();
            sleep(Duration::from_secs(60)).await;
            shows(nvidia(NvidiaPhase::Ready, 30));
        } else {
            shows(nvidia(NvidiaPhase::Ready, 50));
            bench.set(id).await.unwrap();
        }
        let Some(Ask::Look(_, done)) = asked.recv().await else { panic!("{id}: the host is not looked at") };
        sleep(Duration::from_secs(600)).await;
        let state = bench.publisher.workspaces().borrow().clone();
        let one = state.find(&id.parse().unwrap()).unwrap();
        assert_eq!((one.state, one.container.clone()), (WorkspaceState::Pending, None), "{id}");
        assert_eq!(one.reason.as_ref().unwrap().code, "driver_changing");
        done.send(()).unwrap();
        bench.until(|state| is(state, id, WorkspaceState::Running)).await;
    }
    bench.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_workspace_gives_way_to_a_change_of_mig_and_is_created_again_after_it() {
    let bench = Bench::new();
    bench.start();
    bench.set("w1").await.unwrap();
    let state = bench.until(|state| is(state, "w1", WorkspaceState::Running)).await;
    let (container, uuid) = (state.workspaces[0].container.clone().unwrap(), state.workspaces[0].gpus[0].clone());
    let host = bench.publisher.shown().borrow().clone();
    let has = |gpu: &&model::observation::Gpu| {
        let driver = gpu.driver.as_ref();
        driver.and_then(|driver| driver.uuid.known()).is_some_and(|known| known.to_string() == uuid)
    };
    let gpu = host.gpus.iter().find(has).unwrap().pci.address;
    let leave = |stops| {
        let holders = vec![Some(container.short().to_owned())];
        let by = model::policy::Requester::Local;
        let leave = MigLeave { why: "MIG waits".to_owned(), holders, by, stops };
        bench.publisher.show_mig_leaves([(gpu, leave)].into());
    };
    leave(false);
    sleep(Duration::from_secs(600)).await;
    assert!(is(&bench.publisher.workspaces().borrow(), "w1", WorkspaceState::Running), "it is waited for");
    leave(true);
    // It gets another GPU, as long as this one waits.
    let state = bench
        .until(|state| {
            is(state, "w1", WorkspaceState::Running) && state.workspaces[0].container.as_ref() != Some(&container)
        })
        .await;
    assert_ne!(state.workspaces[0].gpus, [uuid]);
}

/// A host on which no look at GPUs ever ends.
struct NoLookEnds {
    host: Arc<SimHost>,
    begun: AtomicUsize,
}

impl WorkspacePort for NoLookEnds {
    async fn look_at_workspaces(&self, images: Vec<ImageRef>) -> Result<WorkspaceLook, String> {
        self.host.look_at_workspaces(images).await
    }

    async fn act_on_workspace(&self, deed: &WorkspaceDeed) -> Result<(), String> {
        self.host.act_on_workspace(deed).await
    }

    async fn await_workspace_event(&self, since: UnixMillis) -> Result<(), String> {
        self.host.await_workspace_event(since).await
    }

    async fn read_figures(&self, containers: Vec<ContainerId>) -> BTreeMap<ContainerId, CgroupFigures> {
        self.host.read_figures(containers).await
    }

    async fn read_container_use(&self, asked: ContainerUseAsked) -> Result<ContainerUse, String> {
        self.host.read_container_use(asked).await
    }

    async fn read_host_side(&self) -> WorkspaceHostSide {
        self.host.read_host_side().await
    }

    async fn look_at_workspace_gpus(&self, _probe: &WorkspaceGpuProbe) -> Result<WorkspaceGpuLook, String> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn more_workspaces_than_are_looked_at_at_once_do_not_keep_the_runtime_from_everything_else() {
    let bench = Bench::new();
    let port = Arc::new(NoLookEnds { host: Arc::clone(&bench.host), begun: AtomicUsize::new(0) });
    let running = bench.start_on(&port, "[host.workspaces]\nregistries = ['registry.example']");
    let ids = ["w1", "w2", "w3", "w4", "w5", "w6"];
    for id in ids {
        bench.set(id).await.unwrap();
    }
    bench.until(|state| ids.iter().all(|id| is(state, id, WorkspaceState::Running))).await;
    // Virtual time goes on only where every task waits.
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(port.begun.load(Ordering::Relaxed), 4);
    bench.cancel.cancel();
    running.await.unwrap();
}
