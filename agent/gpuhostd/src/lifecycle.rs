//! The life of the front: start, READY, reload, stop. It joins the engine with its faces and knows no adapter.

use crate::args::{BusChoice, FrontArgs};
use crate::bus::{BusAddress, BusState};
use crate::config::InForce;
use crate::desired::DesiredPort;
use crate::proxy_cert::{self, ProxyCertParts};
use crate::readiness::{self, ReadinessParts};
use crate::remote::Remote;
use crate::{bus, checkin, conditions, desired, drained, metrics, notify, overlay, policy, roster};
use anyhow::Context;
use engine::change::ChangePorts;
use engine::event_keeper::{EventKeeper, EventKeeperParts};
use engine::handle::Handle;
use engine::images::{ImageKeeper, ImageKeeperParts};
use engine::nvidia::{NvidiaKeeper, NvidiaKeeperParts};
use engine::publish::Publisher;
use engine::reconcile::{ReconcileInputs, Reconciled};
use engine::start::{Engine, EngineParts, EnginePorts};
use engine::workspace_meter::WorkspaceMeter;
use engine::workspaces::{WorkspaceKeeper, WorkspaceKeeperParts};
use host::front::{FileEventLog, FileJournal, FileLedger};
use model::change::UNKNOWN_BOOT;
use model::enrol::CheckinStatus;
use model::message::Message;
use model::ports::{
    ActPort, ChangePort, Clock, HostPort, ImagePort, KernelLogPort, ManagerPort, NvidiaPort, WorkspacePort,
};
use model::settings::{Settings, SettingsOverlay};
use program::logging::Level;
use sd_notify::NotifyState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The host on which the daemon runs: Linux, or a simulated one.
pub struct Ports<H, C, K, L> {
    /// Reads the host, and changes it.
    pub host: Arc<H>,
    /// Announces changes.
    pub changes: C,
    /// The clock.
    pub clock: Arc<K>,
    /// The kernel log.
    pub kernel_log: L,
}

/// What is open in the journal may take longer than the unit's own time for a start.
const START_WITHIN_USEC: u32 = 600_000_000;
/// The first facts of the host, of which the name of the boot is needed before anything is undone.
const FACTS_WITHIN: Duration = Duration::from_secs(3);
/// After SIGTERM everything has so long to end; what has not ended then is left.
const STOP_WITHIN: Duration = Duration::from_millis(1500);

/// What can be changed while the daemon runs.
pub struct Live {
    /// The settings that everybody reads.
    pub configuration: InForce,
    /// The log level.
    pub level: Level,
}

/// All that a host is asked and asked to do through its hands.
pub trait WholeHost: HostPort + ActPort + NvidiaPort + WorkspacePort + ImagePort {}

impl<H: HostPort + ActPort + NvidiaPort + WorkspacePort + ImagePort> WholeHost for H {}

/// Runs the front until SIGTERM or SIGINT.
///
/// # Errors
/// Only what makes a start impossible; no bus, no manager, no Docker, no driver does not.
pub async fn run<H: WholeHost, C: ChangePort, K: Clock, L: KernelLogPort>(
    ports: Ports<H, C, K, L>,
    mut live: Live,
    args: FrontArgs,
) -> anyhow::Result<()> {
    // Before READY: anyone who waits for it may send a signal the moment after.
    let mut signals = Signals::listen()?;
    let (cancel, clock) = (CancellationToken::new(), Arc::clone(&ports.clock));
    let (heard, log) = watch::channel(Arc::default());
    let parts = EngineParts::default().with_kernel_log(log);
    let handle = parts.handle();
    let (policy, publisher) = (policy::InForce::new(args.policy.clone(), parts.publisher()), parts.publisher());
    policy.read(clock.wall_now()).await;
    live.configuration.show(&publisher, clock.wall_now());
    let (overlay, keep_overlay) = overlay::start(args.state.clone(), &publisher, clock.wall_now()).await;
    let mut set = overlay.watch();
    live.configuration.lay_over(Arc::clone(&set.borrow_and_update()), &live.level);
    let (wishes, queue) = desired::channel();
    let checkin::Checkin { port, status, work: checkin, .. } = checkin::start(
        handle.clone(),
        live.configuration.watch(),
        args.state.clone(),
        Arc::clone(&clock),
        checkin::DesiredEnds::new(wishes.clone(), &parts),
        cancel.child_token(),
    );
    let keeping = (status.clone(), parts.publisher(), Arc::clone(&clock), cancel.child_token());
    let keep_wishes = keep_wishes(queue, &args, keeping).await;
    let Ports { host, changes, kernel_log, .. } = ports;
    let (acknowledge, keep_roster) =
        roster::start(args.state.clone(), parts.publisher(), clock.wall_now(), cancel.child_token()).await;
    let jobs = (port, acknowledge, overlay, wishes.clone());
    let remote = Arc::new(Remote::new(jobs, args.state.clone(), parts.publisher(), Arc::clone(&clock)).await);
    let inputs = ReconcileInputs {
        desired: wishes.state(),
        settings: live.configuration.watch(),
        policy: policy.watch(),
        locked: remote.locked(),
        checkin: status.clone(),
    };
    let shown = bus::Sources::new(handle.clone(), inputs.clone(), parts.reconciled(), &publisher);
    let autoscaled = autoscaled((&publisher, &clock, &cancel), &inputs, parts.reconciled(), &args);
    let kept = keepers((&host, &clock), (&publisher, &handle), (&inputs, &args), &cancel);
    let parts = parts.with_desired_state(inputs);
    let managed = (remote, live.configuration.watch());
    let keeper = keeper((&host, &clock), &publisher, (&live.configuration, &policy), &args);
    let building = build(parts, (host, changes, Arc::clone(&clock)), managed, (&args, &policy), cancel.child_token());
    // Each entry of the journal may take ten seconds.
    notify::say(&[NotifyState::ExtendTimeoutUsec(START_WITHIN_USEC)]);
    let engine = tokio::select! {
        engine = building => engine,
        // What is open in the journal stays there for the next start.
        () = signals.ending() => return Ok(()),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_roster);
    tasks.spawn(keep_wishes);
    tasks.spawn(engine.run);
    tasks.spawn(keeper.run(cancel.child_token()));
    tasks.spawn(kept);
    tasks.spawn(engine::kernel_log::follow(kernel_log, Arc::clone(&clock), heard, cancel.child_token()));
    wait_for_first(handle.observation.clone()).await;
    let bus = address_of(&args.bus).map(|address| bus::start(address, shown, cancel.child_token()));
    serve_bus(bus, &mut tasks).await;
    tasks.spawn(notify::keep_watchdog(engine.pulse, Arc::clone(&clock), cancel.child_token()));
    notify::say(&[NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    tasks.spawn(checkin);
    let page = page(&handle, &status, &publisher, &clock);
    tasks.spawn(metrics::run(page, live.configuration.watch(), cancel.child_token()));
    tasks.spawn(drained::follow(live.configuration.watch(), publisher.workspaces(), cancel.child_token()));
    tasks.spawn(autoscaled);
    tasks.spawn(keep_overlay(status.clone(), cancel.child_token()));
    tasks.spawn(conditions::follow(handle.clone(), status.clone(), Arc::clone(&clock), cancel.child_token()));
    tasks.spawn(notify::keep_status(handle, status, Arc::clone(&clock), cancel.child_token()));
    let outcome = obey(signals, (&mut live, &policy, &wishes, &publisher, &*clock), set, &mut tasks).await;
    stop(&cancel, &mut tasks).await;
    outcome
}

/// What is given to Prometheus.
fn page<K: Clock>(
    handle: &Handle,
    status: &watch::Receiver<Arc<CheckinStatus>>,
    publisher: &Publisher,
    clock: &Arc<K>,
) -> metrics::Page<K> {
    let (seen, status) = (handle.observation.clone(), status.clone());
    metrics::Page::new(seen, status, publisher.workspaces(), Arc::clone(clock))
}

/// The keeper of the documents: it has read what is kept when this returns.
async fn keep_wishes<K: Clock>(
    queue: desired::DesiredQueue,
    args: &FrontArgs,
    (checkin, publisher, clock, cancel): (
        watch::Receiver<Arc<CheckinStatus>>,
        Arc<Publisher>,
        Arc<K>,
        CancellationToken,
    ),
) -> impl Future<Output = ()> + Send + use<K> {
    let (ledger, folder) = (Arc::new(FileLedger::below(&args.state)), args.desired.clone());
    desired::start(queue, desired::KeeperParts { ledger, folder, checkin, publisher, clock, cancel }).await
}

/// Keeps NVIDIA's driver and toolkit containers as they are wished.
fn keeper<H: NvidiaPort, K: Clock>(
    (port, clock): (&Arc<H>, &Arc<K>),
    publisher: &Arc<Publisher>,
    (settings, policy): (&InForce, &policy::InForce),
    args: &FrontArgs,
) -> NvidiaKeeper<H, FileLedger, K> {
    NvidiaKeeper::new(NvidiaKeeperParts {
        port: Arc::clone(port),
        ledger: Arc::new(FileLedger::of_nvidia(&args.state)),
        clock: Arc::clone(clock),
        publisher: Arc::clone(publisher),
        settings: settings.watch(),
        policy: policy.watch(),
    })
}

/// Keeps workspaces and images as they are wished, samples what workspaces use and which libraries they have, and keeps events.
fn keepers<H: WholeHost, K: Clock>(
    (port, clock): (&Arc<H>, &Arc<K>),
    (publisher, handle): (&Arc<Publisher>, &Handle),
    (inputs, args): (&ReconcileInputs, &FrontArgs),
    cancel: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<H, K> {
    let workspaces = workspace_keeper((port, clock), (publisher, handle), inputs, args).run(cancel.child_token());
    let images = image_keeper((port, clock), publisher, inputs.settings.clone(), args).run(cancel.child_token());
    let meter = WorkspaceMeter::new(port, clock, publisher).run(cancel.child_token());
    let libraries = engine::stale_driver::LibraryWatch::new(port, clock, publisher).run(cancel.child_token());
    let events = event_keeper(clock, (publisher, handle), inputs, args).run(cancel.child_token());
    async move {
        tokio::join!(workspaces, images, meter, libraries, events);
    }
}

/// Keeps workspaces as they are wished.
fn workspace_keeper<H: WorkspacePort, K: Clock>(
    (port, clock): (&Arc<H>, &Arc<K>),
    (publisher, handle): (&Arc<Publisher>, &Handle),
    inputs: &ReconcileInputs,
    args: &FrontArgs,
) -> WorkspaceKeeper<H, FileLedger, K> {
    let ReconcileInputs { desired, settings, policy, locked, checkin } = inputs.clone();
    WorkspaceKeeper::new(WorkspaceKeeperParts {
        port: Arc::clone(port),
        ledger: Arc::new(FileLedger::of_workspaces(&args.state)),
        clock: Arc::clone(clock),
        handle: handle.clone(),
        publisher: Arc::clone(publisher),
        desired,
        settings,
        policy,
        locked,
        checkin,
    })
}

/// Keeps events until the manager has them.
fn event_keeper<K: Clock>(
    clock: &Arc<K>,
    (publisher, handle): (&Arc<Publisher>, &Handle),
    inputs: &ReconcileInputs,
    args: &FrontArgs,
) -> EventKeeper<FileEventLog, K> {
    EventKeeper::new(EventKeeperParts {
        log: Arc::new(FileEventLog::below(&args.state)),
        clock: Arc::clone(clock),
        publisher: Arc::clone(publisher),
        jobs: handle.jobs.clone(),
        settings: inputs.settings.clone(),
        checkin: inputs.checkin.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        new_id: || uuid::Uuid::new_v4().to_string(),
    })
}

/// Reports once in a boot that the host is ready, and keeps the certificate of the workspace proxy.
fn autoscaled<K: Clock>(
    (publisher, clock, cancel): (&Arc<Publisher>, &Arc<K>, &CancellationToken),
    inputs: &ReconcileInputs,
    reconciled: watch::Receiver<Arc<Reconciled>>,
    args: &FrontArgs,
) -> impl Future<Output = ()> + Send + use<K> {
    let ReconcileInputs { desired, settings, policy, locked, checkin } = inputs.clone();
    let (publisher, clock) = (Arc::clone(publisher), Arc::clone(clock));
    let proxy = ProxyCertParts {
        clock: Arc::clone(&clock),
        publisher: Arc::clone(&publisher),
        desired: desired.clone(),
        settings: settings.clone(),
        policy,
        locked,
        checkin: checkin.clone(),
    };
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let state = args.state.clone();
    let ready = ReadinessParts { state, credentials, clock, publisher, settings, desired, checkin, reconciled };
    let (proxy, ready) = (proxy_cert::run(proxy, cancel.child_token()), readiness::run(ready, cancel.child_token()));
    async {
        tokio::join!(proxy, ready);
    }
}

/// Keeps the images that were pulled.
fn image_keeper<H: ImagePort, K: Clock>(
    (port, clock): (&Arc<H>, &Arc<K>),
    publisher: &Arc<Publisher>,
    settings: watch::Receiver<Arc<Settings>>,
    args: &FrontArgs,
) -> ImageKeeper<H, FileLedger, K> {
    ImageKeeper::new(ImageKeeperParts {
        port: Arc::clone(port),
        ledger: Arc::new(FileLedger::of_images(&args.state)),
        clock: Arc::clone(clock),
        publisher: Arc::clone(publisher),
        settings,
    })
}

/// Ends all tasks, and waits for them as long as a stop may take.
async fn stop(cancel: &CancellationToken, tasks: &mut JoinSet<()>) {
    notify::say(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    cancel.cancel();
    if tokio::time::timeout(STOP_WITHIN, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(
            message_id = Message::TasksLeft.id(),
            "{} tasks had not finished within {STOP_WITHIN:?} and are abandoned",
            tasks.len()
        );
    }
}

/// The engine with all that it may do. What an earlier run left open is undone before it is returned.
async fn build<H: HostPort + ActPort, C: ChangePort, K: Clock, M: ManagerPort>(
    parts: EngineParts,
    (host, changes, clock): (Arc<H>, C, Arc<K>),
    (manager, settings): (Arc<M>, watch::Receiver<Arc<Settings>>),
    (args, policy): (&FrontArgs, &policy::InForce),
    cancel: CancellationToken,
) -> Engine<impl Future<Output = ()> + Send + use<H, C, K, M>> {
    // The engine waits for no file system that hangs: a boot without a name costs nothing but one more look.
    let facts = tokio::time::timeout(FACTS_WITHIN, host.read_host(None)).await.unwrap_or_default();
    let journal = Arc::new(FileJournal::at(args.state.join("journal")));
    let boot_id = facts.boot_id.known().map_or_else(|| UNKNOWN_BOOT.to_owned(), ToString::to_string);
    let change = ChangePorts { act: Arc::clone(&host), journal, clock, boot_id };
    let ports = EnginePorts { host, announced: changes, manager, settings, policy: policy.watch(), change };
    parts.engine(ports, cancel).await
}

/// Serves the bus. It is ready when the name is ours, or when it is clear that it will not be.
async fn serve_bus(bus: Option<bus::RunningBus>, tasks: &mut JoinSet<()>) {
    let Some(bus) = bus else { return };
    wait_for_name(bus.state).await;
    tasks.spawn(async move { bus.task.await.unwrap_or_else(|fault| std::panic::resume_unwind(fault.into_panic())) });
}

fn address_of(bus: &BusChoice) -> Option<BusAddress> {
    match bus {
        BusChoice::System => Some(BusAddress::System),
        BusChoice::None => None,
        BusChoice::Address(address) => Some(BusAddress::At(address.clone())),
    }
}

/// READY means that `gpuhostctl` works. A bus that does not answer is not waited for.
async fn wait_for_name(mut state: watch::Receiver<BusState>) {
    let decided = state.wait_for(|state| *state != BusState::Starting);
    if tokio::time::timeout(Duration::from_secs(2), decided).await.is_err() {
        tracing::warn!(
            message_id = Message::BusUnavailable.id(),
            "the message bus has not answered within 2 s; the daemon continues without it"
        );
    }
}

/// The first scan needs no hand and takes a millisecond; a host that hangs even there is not waited for.
async fn wait_for_first(mut seen: watch::Receiver<Arc<model::observation::HostObservation>>) {
    let first = seen.wait_for(|observation| observation.sequence > 0);
    if tokio::time::timeout(Duration::from_secs(2), first).await.is_err() {
        tracing::warn!(
            message_id = Message::PciSilent.id(),
            "the scan of the PCI bus has not finished within 2 s; the daemon starts without it"
        );
    }
}

/// The signals that the front obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            hangup: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
        })
    }

    /// Resolves when the daemon is asked to stop.
    async fn ending(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for signals and for tasks that should not end. A panic in one ends the daemon; systemd starts it again.
async fn obey<K: Clock>(
    mut signals: Signals,
    (live, policy, wishes, publisher, clock): (&mut Live, &policy::InForce, &DesiredPort, &Publisher, &K),
    mut set: watch::Receiver<Arc<SettingsOverlay>>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    live.configuration.settle(clock.wall_now()).await;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            Ok(()) = set.changed() => {
                let Live { configuration, level } = &mut *live;
                configuration.lay_over(Arc::clone(&set.borrow_and_update()), level);
            }
            _ = signals.hangup.recv() => {
                notify::reloading();
                let Live { configuration, level } = &mut *live;
                let reading = async {
                    configuration.reload(publisher, level, clock.wall_now()).await;
                    policy.read(clock.wall_now()).await;
                    wishes.reload().await;
                };
                // A file system that hangs holds up no stop.
                tokio::select! {
                    () = reading => {}
                    () = signals.ending() => return Ok(()),
                }
                notify::say(&[NotifyState::Ready]);
            }
            Some(ended) = tasks.join_next() => ended.context("a task of the daemon panicked")?,
        }
    }
}
