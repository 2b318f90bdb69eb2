//! The observer: asks the host, each source on its own so that a slow one holds up no other, and publishes what was seen.

use crate::publish::Publisher;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::features;
use model::health::kernel_log::KernelLog;
use model::health::show::Asked;
use model::host_facts::HostFacts;
use model::judge::{self, Seen};
use model::message::Message;
use model::observation::RawObservation;
use model::pci::PciScan;
use model::ports::{ChangePort, Clock, HostPort};
use model::roster::Sight;
use model::settings::Settings;
use model::time::BootMillis;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Changes that follow the first within this time are looked at together.
pub const DEBOUNCE_MS: u64 = 250;

/// While somebody watches, the host is sampled no more often than this.
pub const WATCH_MS: u64 = 1000;

/// At most so many wait for a sample at a time; who comes then gets what is there.
pub const WATCHERS: usize = 64;

/// What one source answered, and how long it took in milliseconds.
pub type Answered = (DriverSource, Result<DriverReport, ProbeFault>, u64);

/// Asks of the observer.
#[derive(Debug)]
pub enum Ask {
    /// Ask everything anew; answered when all that was asked has been published.
    Refresh(oneshot::Sender<()>),
    /// Answered when what changes with time was sampled within the last [`WATCH_MS`]. Nothing stays switched on: who watches
    /// asks again.
    Sample(oneshot::Sender<()>),
    /// Answered at once: the loop turns.
    Ping(oneshot::Sender<()>),
}

/// What came back from the host.
enum Brought {
    Scan(Result<PciScan, String>),
    Drivers(Vec<Answered>),
    Docker(Result<DockerFacts, ProbeFault>),
    Host(Box<HostFacts>),
}

/// The four things that are asked for, each at most once at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scan,
    Drivers,
    Docker,
    Host,
}

const KINDS: [Kind; 4] = [Kind::Scan, Kind::Drivers, Kind::Docker, Kind::Host];

/// Where one kind stands: under way, and whether it is wanted again when it has come back.
#[derive(Debug, Default)]
struct Turn {
    running: Option<task::Id>,
    again: bool,
    /// Counts the rounds that were started and that have ended.
    started: u64,
    ended: u64,
}

/// A refresh that waits until each kind has ended the round that it asked for.
struct Waiter {
    until: [u64; 4],
    done: oneshot::Sender<()>,
}

/// The observer's own state. It is the only writer of the observation.
pub struct Observer<H, K> {
    host: Arc<H>,
    clock: Arc<K>,
    settings: watch::Receiver<Arc<Settings>>,
    publisher: Arc<Publisher>,
    asks: mpsc::Receiver<Ask>,
    kernel_log: watch::Receiver<Arc<KernelLog>>,
    latest: RawObservation,
    /// When the host was asked for what is in `latest`, and for the rounds that are under way.
    asked: Asked,
    asking: Asked,
    /// The driver probe ran against these bindings; a change of them asks the driver anew.
    probed_bindings: Vec<(model::PciAddress, Option<model::DriverName>)>,
    turns: [Turn; 4],
    waiters: Vec<Waiter>,
    /// When the last sample began.
    sampled: Option<BootMillis>,
    tasks: JoinSet<Brought>,
    sequence: u64,
    /// A scan has worked.
    has_scanned: bool,
    /// The driver is to be asked when the scan that is under way has ended.
    sample_due: bool,
}

/// An observation of a host of which nothing has been seen yet.
#[must_use]
pub fn nothing_seen() -> RawObservation {
    RawObservation {
        scan: Ok(PciScan::default()),
        reports: Vec::new(),
        docker: Err(ProbeFault::NotAsked { what: "Docker".to_owned() }),
        host: HostFacts::default(),
    }
}

impl<H: HostPort, K: Clock> Observer<H, K> {
    /// An observer that has seen nothing; [`Observer::run`] starts it.
    #[must_use]
    pub fn new(
        host: Arc<H>,
        clock: Arc<K>,
        settings: watch::Receiver<Arc<Settings>>,
        publisher: Arc<Publisher>,
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        Self {
            host,
            clock,
            settings,
            publisher,
            asks,
            kernel_log: watch::channel(Arc::default()).1,
            latest: nothing_seen(),
            asked: Asked::default(),
            asking: Asked::default(),
            probed_bindings: Vec::new(),
            turns: Default::default(),
            waiters: Vec::new(),
            sampled: None,
            tasks: JoinSet::new(),
            sequence: 0,
            has_scanned: false,
            sample_due: false,
        }
    }

    /// With what the kernel log has against the GPUs.
    #[must_use]
    pub fn with_kernel_log(self, kernel_log: watch::Receiver<Arc<KernelLog>>) -> Self {
        Self { kernel_log, ..self }
    }

    /// Observes until it is cancelled. Changes are looked at at once, followers after [`DEBOUNCE_MS`]; samples on time.
    pub async fn run(mut self, mut changes: impl ChangePort, cancel: CancellationToken) {
        let mut next_sample = self.clock.boot_now();
        let mut next_scan: Option<BootMillis> = None;
        let mut last_scan: Option<BootMillis> = None;
        let mut log_ended = false;
        loop {
            let clock = Arc::clone(&self.clock);
            let wake = next_scan.map_or(next_sample, |scan| scan.min(next_sample));
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.take(ended),
                Some(ask) = self.asks.recv() => self.answer(ask),
                news = self.kernel_log.changed(), if !log_ended => match news {
                    // Before the first scan there is no GPU yet that the log could speak of.
                    Ok(()) if self.sequence > 0 => self.publish_now(),
                    Ok(()) => {}
                    Err(_) => log_ended = true,
                },
                _change = changes.next_change() => {
                    let now = clock.boot_now();
                    let earliest = last_scan.map_or(now, |last| now.max(last.plus(DEBOUNCE_MS)));
                    next_scan = Some(next_scan.map_or(earliest, |planned| planned.min(earliest)));
                }
                () = clock.sleep_until(wake) => {
                    let now = clock.boot_now();
                    if now >= next_sample {
                        next_sample = now.plus(self.sample_interval_ms());
                        self.sample();
                    }
                    if next_scan.is_some_and(|scan| now >= scan) {
                        next_scan = None;
                        last_scan = Some(now);
                        self.want(Kind::Scan);
                    }
                }
            }
        }
    }

    /// As it is configured now: a reload takes effect with the next sample.
    fn sample_interval_ms(&self) -> u64 {
        self.settings.borrow().agent.sample_interval_s.saturating_mul(1000)
    }

    /// Samples what changes with time. The bus is scanned on change and once at the start; and before each sample where a GPU
    /// may have fallen asleep, which nobody announces: asking its driver would wake it.
    fn sample(&mut self) {
        self.sampled = Some(self.clock.boot_now());
        let may_sleep = self.latest.scan.as_ref().is_ok_and(judge::may_fall_asleep);
        if self.turn(Kind::Scan).started == 0 || may_sleep {
            self.sample_due = true;
            self.want(Kind::Scan);
        } else {
            self.want(Kind::Drivers);
        }
        self.want(Kind::Docker);
        self.want(Kind::Host);
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Ping(reply) => {
                let _gone = reply.send(());
            }
            Ask::Refresh(done) => {
                KINDS.into_iter().for_each(|kind| self.want(kind));
                self.wait(KINDS, done);
            }
            Ask::Sample(done) => {
                let now = self.clock.boot_now();
                self.waiters.retain(|waiter| !waiter.done.is_closed());
                if self.waiters.len() >= WATCHERS {
                    return;
                }
                if self.sampled.is_none_or(|last| now.since(last) >= WATCH_MS) {
                    // A source that is still at the round before is not asked once more behind it.
                    self.sampled = Some(now);
                    for kind in [Kind::Drivers, Kind::Docker, Kind::Host] {
                        if self.turn(kind).running.is_none() {
                            self.want(kind);
                        }
                    }
                }
                self.wait([Kind::Drivers, Kind::Host], done);
                self.release_waiters();
            }
        }
    }

    /// Answers when the rounds of these kinds that are under way or wanted have ended.
    fn wait<const N: usize>(&mut self, kinds: [Kind; N], done: oneshot::Sender<()>) {
        let until = KINDS.map(|kind| {
            let turn = self.turn(kind);
            if kinds.contains(&kind) { turn.started + u64::from(turn.again) } else { 0 }
        });
        self.waiters.push(Waiter { until, done });
    }

    fn turn(&mut self, kind: Kind) -> &mut Turn {
        let [scan, drivers, docker, host] = &mut self.turns;
        match kind {
            Kind::Scan => scan,
            Kind::Drivers => drivers,
            Kind::Docker => docker,
            Kind::Host => host,
        }
    }

    /// Starts a round of this kind, or has it follow the one under way.
    fn want(&mut self, kind: Kind) {
        let turn = self.turn(kind);
        if turn.running.is_some() {
            turn.again = true;
            return;
        }
        turn.started += 1;
        let host = Arc::clone(&self.host);
        let now = self.clock.boot_now();
        let task = match kind {
            Kind::Scan => {
                self.asking.bus = now;
                self.tasks.spawn(async move { Brought::Scan(host.scan_pci().await.map_err(|e| e.to_string())) })
            }
            Kind::Drivers => {
                self.asking.driver = now;
                self.probed_bindings = bindings(&self.latest);
                let (clock, scan) = (Arc::clone(&self.clock), self.latest.scan.clone().unwrap_or_default());
                let may_ask = judge::may_ask(&scan, &self.publisher.seen().borrow());
                self.tasks.spawn(async move { Brought::Drivers(ask_drivers(&*host, &*clock, &scan, may_ask).await) })
            }
            Kind::Docker => self.tasks.spawn(async move { Brought::Docker(host.read_docker().await) }),
            Kind::Host => {
                let root = self.latest.docker.as_ref().ok().and_then(|docker| docker.root_dir.clone());
                self.tasks.spawn(async move { Brought::Host(Box::new(host.read_host(root).await)) })
            }
        };
        self.turn(kind).running = Some(task.id());
    }

    fn take(&mut self, ended: Result<(task::Id, Brought), JoinError>) {
        let (id, brought) = match ended {
            Ok((id, brought)) => (id, Some(brought)),
            Err(fault) => {
                tracing::error!(
                    message_id = Message::ObserverTaskFailed.id(),
                    "an observation task ended without an answer; what it last saw stays: {fault}"
                );
                (fault.id(), None)
            }
        };
        let Some(kind) = KINDS.into_iter().find(|kind| self.turn(*kind).running == Some(id)) else { return };
        if let Some(brought) = brought {
            self.keep(brought);
        }
        let turn = self.turn(kind);
        turn.running = None;
        turn.ended += 1;
        if std::mem::take(&mut turn.again) {
            self.want(kind);
        }
        if kind == Kind::Scan
            && (std::mem::take(&mut self.sample_due) || bindings(&self.latest) != self.probed_bindings)
        {
            self.want(Kind::Drivers);
        }
        self.publish_now();
        self.release_waiters();
    }

    fn keep(&mut self, brought: Brought) {
        match brought {
            Brought::Scan(scan) => {
                self.has_scanned |= scan.is_ok();
                (self.latest.scan, self.asked.bus) = (scan, self.asking.bus);
            }
            Brought::Drivers(reports) => (self.latest.reports, self.asked.driver) = (reports, self.asking.driver),
            Brought::Docker(docker) => {
                let root = |docker: &Result<DockerFacts, ProbeFault>| docker.as_ref().ok()?.root_dir.clone();
                let moved = root(&docker) != root(&self.latest.docker);
                self.latest.docker = docker;
                if moved {
                    // The disk that counts is the one under Docker's root.
                    self.want(Kind::Host);
                }
            }
            Brought::Host(host) => self.latest.host = *host,
        }
    }

    fn publish_now(&mut self) {
        self.sequence += 1;
        let seen =
            Seen { sequence: self.sequence, observed_at: self.clock.wall_now(), observed_boot: self.clock.boot_now() };
        let previous = Arc::clone(&self.publisher.seen().borrow());
        let mut observation = judge::judge(self.latest.clone(), seen, Some(&previous));
        features::apply_settings(&mut observation, &self.settings.borrow());
        let log = Arc::clone(&self.kernel_log.borrow());
        model::health::show::apply(&mut observation, &log, self.asked, Some(&previous));
        crate::health::tell(&previous, &observation);
        // Before the first scan the list is empty because nobody has looked.
        if let (Ok(scan), true) = (&self.latest.scan, self.has_scanned) {
            self.publisher.saw(Sight::of(scan, &observation));
        }
        self.publisher.publish(observation);
    }

    fn release_waiters(&mut self) {
        let ended: [u64; 4] = KINDS.map(|kind| self.turn(kind).ended);
        let reached = |until: &[u64; 4]| ended.iter().zip(until).all(|(ended, until)| ended >= until);
        for waiter in self.waiters.extract_if(.., |waiter| reached(&waiter.until)) {
            let _gone = waiter.done.send(());
        }
    }
}

/// Which driver each GPU is bound to, as far as the scan could see.
fn bindings(raw: &RawObservation) -> Vec<(model::PciAddress, Option<model::DriverName>)> {
    let gpus = raw.scan.as_ref().map(|scan| scan.gpus.as_slice()).unwrap_or_default();
    gpus.iter().map(|gpu| (gpu.address, gpu.driver.known().cloned())).collect()
}

/// Asks NVIDIA's sources where that wakes no GPU, and reads the sensors of other drivers.
async fn ask_drivers<H: HostPort, K: Clock>(host: &H, clock: &K, scan: &PciScan, may_ask: bool) -> Vec<Answered> {
    let mut answered = if may_ask { ask_nvidia(host, clock, scan).await } else { Vec::new() };
    if judge::has_sensors(scan) {
        answered.push(ask(host, clock, DriverSource::Sysfs).await);
    }
    answered
}

/// Asks the sources in the order of trust; a further one only where the one before left something open.
async fn ask_nvidia<H: HostPort, K: Clock>(host: &H, clock: &K, scan: &PciScan) -> Vec<Answered> {
    let mut answered = Vec::new();
    for source in [DriverSource::Nvml, DriverSource::Smi, DriverSource::SmiInDriverContainer] {
        let answer = ask(host, clock, source).await;
        let enough = !judge::needs_smi(Some(scan), &answer.1);
        answered.push(answer);
        if enough {
            break;
        }
    }
    answered
}

async fn ask<H: HostPort, K: Clock>(host: &H, clock: &K, source: DriverSource) -> Answered {
    let begin = clock.boot_now();
    let answer = host.probe_driver(source).await;
    (source, answer, clock.boot_now().since(begin))
}
