//! The task that keeps NVIDIA's containers, on a simulated host and in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use engine::nvidia::{NvidiaKeeper, NvidiaKeeperParts};
use engine::publish::Publisher;
use engine::stale_driver::LibraryWatch;
use engine::start::EngineParts;
use model::cdi::{CdiGpu, CdiHost};
use model::docker::DockerFacts;
use model::driver_libraries::STALE_DRIVER;
use model::judge::{ObservationMeta, judge};
use model::nvidia_container::{NvidiaFault, NvidiaPhase, NvidiaRecord, NvidiaRole, NvidiaState};
use model::observation::HostObservation;
use model::policy::Policy;
use model::ports::Clock;
use model::settings::Settings;
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::{StaleDriver, WorkspaceState, WorkspaceStatus, WorkspacesState};
use sim::nvidia_docker::{SimContainerRun, SimDockerFile, SimPort};
use sim::{SimHost, SimLedger};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
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
    settings: watch::Sender<Arc<Settings>>,
    policy: watch::Sender<Arc<Policy>>,
    cancel: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        Self::on("hgx-h100")
    }

    fn on(host: &str) -> Self {
        let host = SimHost::new(sim::load(host).unwrap()).unwrap();
        let publisher = EngineParts::default().publisher();
        let first = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
        publisher.publish(judge(host.asked(), first, None));
        Self {
            host: Arc::new(host),
            ledger: SimLedger::default(),
            publisher,
            settings: watch::channel(Arc::default()).0,
            policy: watch::channel(Arc::default()).0,
            cancel: CancellationToken::new(),
        }
    }

    fn wish(&self, deploy: bool) {
        self.settings.send_modify(|settings| {
            let wish = &mut Arc::make_mut(settings).nvidia.deployment;
            (wish.deploy_driver, wish.deploy_toolkit) = (deploy, deploy);
            wish.driver_image = "nvcr.io/nvidia/driver:580.126.16-ubuntu22.04".parse().unwrap();
        });
    }

    fn start(&mut self) -> tokio::task::JoinHandle<()> {
        self.cancel = CancellationToken::new();
        let keeper = NvidiaKeeper::new(NvidiaKeeperParts {
            port: Arc::clone(&self.host),
            ledger: Arc::new(self.ledger.clone()),
            clock: Arc::new(VirtualClock(Instant::now())),
            publisher: Arc::clone(&self.publisher),
            settings: self.settings.subscribe(),
            policy: self.policy.subscribe(),
        });
        tokio::spawn(keeper.run(self.cancel.clone()))
    }

    async fn until(&self, what: impl Fn(&NvidiaState) -> bool) -> Arc<NvidiaState> {
        let mut state = self.publisher.nvidia();
        let seen = timeout(Duration::from_secs(7_200), state.wait_for(|state| what(state))).await;
        let reached = seen.map(|state| Arc::clone(&state.unwrap()));
        reached.unwrap_or_else(|_| panic!("it never comes: {:#?}", self.publisher.nvidia().borrow()))
    }
}

fn are(state: &NvidiaState, phase: &NvidiaPhase) -> bool {
    NvidiaRole::ALL.iter().all(|role| state.of(*role).phase == *phase)
}

#[tokio::test(start_paused = true)]
async fn a_wish_is_met_and_taken_back_and_a_restart_changes_nothing() {
    let mut bench = Bench::new();
    bench.wish(true);
    let running = bench.start();
    let state = bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    assert!(state.driver.is_running && state.driver.digest_running == state.driver.digest_wanted);
    assert_eq!(bench.host.nvidia_docker(|docker| docker.file), SimDockerFile::AsWanted);
    let before = bench.host.nvidia_docker(|docker| docker.containers.clone());

    bench.cancel.cancel();
    running.await.unwrap();
    bench.publisher.show_nvidia(NvidiaState::not_looked());
    let running = bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bench.host.nvidia_docker(|docker| docker.containers.clone()), before, "nothing was touched");

    bench.wish(false);
    bench.until(|state| are(state, &NvidiaPhase::Disabled)).await;
    sleep(Duration::from_secs(600)).await;
    assert!(bench.host.nvidia_docker(|docker| docker.containers.is_empty()));
    assert_eq!(bench.host.nvidia_docker(|docker| docker.file), SimDockerFile::Absent);
    assert_eq!(bench.host.nvidia_docker(|docker| docker.violations.clone()), Vec::<String>::new());
    bench.cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_gpu_that_is_gone_from_the_host_is_gone_from_the_cdi_specification_at_once() {
    let mut bench = Bench::new();
    bench.host.nvidia_docker(|docker| docker.gpu_access.reads_cdi = true);
    bench.wish(true);
    bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    let named = || bench.host.nvidia_docker(|docker| docker.gpu_access.spec.clone());
    let mut seen = HostObservation::clone(&bench.publisher.seen().borrow());
    let host =
        |seen: &HostObservation| CdiHost::of(&seen.gpus, seen.host.stack.module_loaded.known().map(String::as_str));
    assert_eq!(named(), Some(host(&seen)));
    assert!(host(&seen).gpus.len() > 1 && host(&seen).gpus.iter().all(|gpu: &CdiGpu| gpu.uuid.is_some()));
    seen.gpus.pop();
    seen.sequence += 1;
    let before = Instant::now();
    bench.publisher.publish(seen.clone());
    let is_named = || named() == Some(host(&seen));
    timeout(Duration::from_secs(20), async {
        while !is_named() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("after {:?}: {:?}", before.elapsed(), named()));
    bench.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_not_done() {
    let mut bench = Bench::new();
    bench.ledger.disk(|disk| disk.refuses = Some("no space left on device".to_owned()));
    bench.wish(true);
    bench.start();
    let is_unsaved = |state: &NvidiaState| {
        matches!(&state.driver.phase, NvidiaPhase::Failed { fault: NvidiaFault::RecordNotSaved, .. })
    };
    bench.until(is_unsaved).await;
    sleep(Duration::from_secs(600)).await;
    assert!(bench.host.nvidia_docker(|docker| docker.containers.is_empty()));
    bench.ledger.disk(|disk| disk.refuses = None);
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    bench.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_kept_beside_and_has_nothing_removed() {
    let mut bench = Bench::new();
    bench.wish(true);
    let running = bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    bench.cancel.cancel();
    running.await.unwrap();
    let before = bench.host.nvidia_docker(|docker| docker.containers.clone());
    bench.ledger.disk(|disk| disk.content = Some(Ok(b"{".to_vec())));
    bench.publisher.show_nvidia(NvidiaState::not_looked());
    bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    assert_eq!(bench.host.nvidia_docker(|docker| docker.containers.clone()), before);
    assert_eq!(bench.ledger.disk(|disk| disk.aside.clone()), [Ok(b"{".to_vec())]);
    let written = bench.ledger.disk(|disk| disk.content.clone()).unwrap().unwrap();
    assert!(NvidiaRecord::decode(&written).unwrap().driver.good.is_some(), "it is known again");
    bench.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_driver_in_use_is_a_condition_that_goes_with_its_users() {
    let mut bench = Bench::new();
    bench.wish(true);
    bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    bench.host.nvidia_docker(|docker| docker.holders = vec!["Xorg (pid 7)".to_owned()]);
    bench.wish(false);
    bench.until(|state| state.driver.holders == ["Xorg (pid 7)"]).await;
    let holds = |kind: &str| bench.publisher.shown().borrow().conditions.iter().any(|one| one.kind == kind);
    assert!(holds("driver_busy"));
    bench.host.nvidia_docker(|docker| docker.holders.clear());
    bench.until(|state| are(state, &NvidiaPhase::Disabled)).await;
    assert!(!holds("driver_busy"));
    bench.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_tried_again_when_somebody_asks() {
    // A host whose Docker has no such runtime of its own.
    let mut bench = Bench::on("amd-mi300");
    bench.host.nvidia_docker(|docker| docker.takes_runtimes = false);
    bench.wish(true);
    bench.start();
    let is_given_up = |state: &NvidiaState| {
        matches!(&state.toolkit.phase, NvidiaPhase::Failed { fault: NvidiaFault::RuntimeNotTaken, retry_at: None, .. })
    };
    bench.until(is_given_up).await;
    bench.host.nvidia_docker(|docker| docker.takes_runtimes = true);
    sleep(Duration::from_secs(3_600)).await;
    assert!(is_given_up(&bench.publisher.nvidia().borrow()), "not by itself");
    bench.publisher.ask_nvidia_again(NvidiaRole::Toolkit);
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    bench.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_wished_nothing_is_written() {
    let mut bench = Bench::new();
    let running = bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Disabled)).await;
    sleep(Duration::from_secs(3_600)).await;
    bench.cancel.cancel();
    running.await.unwrap();
    assert_eq!(bench.ledger.disk(|disk| disk.content.clone()), None);
}

#[tokio::test(start_paused = true)]
async fn another_try_that_was_asked_for_outlives_the_daemon() {
    let mut bench = Bench::on("amd-mi300");
    bench.host.nvidia_docker(|docker| docker.takes_runtimes = false);
    bench.wish(true);
    let running = bench.start();
    let is_given_up = |state: &NvidiaState| {
        matches!(&state.toolkit.phase, NvidiaPhase::Failed { fault: NvidiaFault::RuntimeNotTaken, retry_at: None, .. })
    };
    bench.until(is_given_up).await;
    // While Docker is away nothing else changes that would be written down.
    bench.host.nvidia_docker(|docker| docker.port = SimPort::Away);
    bench.until(|state| matches!(state.toolkit.phase, NvidiaPhase::Unknown { .. })).await;
    let record = || NvidiaRecord::decode(&bench.ledger.disk(|disk| disk.content.clone()).unwrap().unwrap()).unwrap();
    assert!(record().runtime.not_taken.is_some());
    bench.publisher.ask_nvidia_again(NvidiaRole::Toolkit);
    sleep(Duration::from_secs(60)).await;
    bench.cancel.cancel();
    running.await.unwrap();
    assert_eq!(record().runtime.not_taken, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_as_wished_is_looked_at_rarely_and_at_once_when_an_observation_shows_a_change() {
    let mut bench = Bench::new();
    bench.wish(true);
    bench.start();
    bench.until(|state| are(state, &NvidiaPhase::Ready)).await;
    let asked = || bench.host.nvidia_docker(|docker| docker.asked);
    // Whatever was under way is over.
    sleep(Duration::from_secs(600)).await;
    let before = asked();
    sleep(Duration::from_secs(3_600)).await;
    let in_an_hour = asked() - before;
    println!("{in_an_hour} questions in an hour");
    assert!(in_an_hour <= 5 * 13, "{in_an_hour}");

    // The driver's container exits: the next observation has one running container less.
    let end = |docker: &mut sim::nvidia_docker::SimDocker| {
        let driver = docker.containers.iter_mut().find(|one| one.role == NvidiaRole::Driver).unwrap();
        driver.run = SimContainerRun::Ended(1);
    };
    bench.host.nvidia_docker(end);
    let mut seen = HostObservation::clone(&bench.publisher.seen().borrow());
    seen.sequence += 1;
    seen.docker = seen.docker.map(|docker| DockerFacts { containers_running: Some(1), ..docker });
    bench.publisher.publish(seen);
    let runs = || bench.host.nvidia_docker(|docker| docker.containers.iter().filter(|one| one.is_running()).count());
    let starts = async {
        while runs() < 2 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), starts).await.expect("it is started again long before the next look is due");
    bench.cancel.cancel();
}

/// A workspace that runs with a GPU.
fn running(id: &str, pid: u32) -> WorkspaceStatus {
    WorkspaceStatus {
        id: id.parse().unwrap(),
        requester: model::policy::Requester::Manager,
        kind: model::workspace::WorkspaceKind::default(),
        desired: None,
        state: WorkspaceState::Running,
        reason: None,
        retry_at: None,
        since: UnixMillis(1),
        container: None,
        image: None,
        gpus: vec!["GPU-1".to_owned()],
        vfio: Vec::new(),
        gpu_ok: None,
        gpu_unknown: None,
        stale_driver: None,
        figures: None,
        nano_cpus: 0,
        memory_bytes: 0,
        generation: 1,
        pid: Some(pid),
        started_at: None,
        pull_progress: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_keeps_the_libraries_of_another_driver_is_named_until_it_is_started_again() {
    let bench = Bench::new();
    let clock = Arc::new(VirtualClock(Instant::now()));
    tokio::spawn(LibraryWatch::new(&bench.host, &clock, &bench.publisher).run(bench.cancel.clone()));
    let loaded = bench.publisher.seen().borrow().host.stack.module_loaded.known().cloned().unwrap();
    let has = |version: &str| bench.host.nvidia_docker(|docker| docker.libraries = [version.to_owned()].into());
    let show = |pid| {
        let workspaces = vec![running("alice-1", pid)];
        bench.publisher.show_workspaces(WorkspacesState { workspaces, ..WorkspacesState::default() });
    };
    let message = || async {
        sleep(Duration::from_secs(120)).await;
        let shown = bench.publisher.shown().borrow().clone();
        shown.conditions.iter().find(|one| one.kind == STALE_DRIVER).map(|one| one.message.clone())
    };
    has("535.1.2");
    show(41);
    let said = message().await.unwrap();
    assert!(said.contains("alice-1 (driver 535.1.2)") && said.contains(&loaded), "{said}");
    let of_it = || bench.publisher.workspaces().borrow().workspaces[0].stale_driver.clone();
    assert_eq!(of_it(), Some(StaleDriver { has: "535.1.2".to_owned(), loaded: loaded.clone() }));
    let mut same = running("alice-1", 41);
    same.generation = 2;
    bench.publisher.show_workspaces(WorkspacesState { workspaces: vec![same], ..WorkspacesState::default() });
    assert!(of_it().is_some(), "another turn of the keeper does not forget it");
    // It was started again: another process, with the libraries of the driver that is loaded.
    has(&loaded);
    show(42);
    assert_eq!(of_it(), None, "another process has other libraries");
    assert_eq!(message().await, None);
    has("535.1.2");
    bench.publisher.show_workspaces(WorkspacesState::default());
    assert_eq!(message().await, None, "what does not run keeps nothing");
    bench.cancel.cancel();
}
