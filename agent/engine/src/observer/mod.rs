//! The observer: asks the host, each source on its own so that a slow one holds up no other, and publishes what was seen.
//!
//! What the sources are and when each is asked is the table in `source`; which of them is under way, due or awaited is kept by
//! `rounds`. The loop here brings both together: it starts what can begin, takes what has come, and judges.

mod rounds;
mod source;

pub use source::{AFTER_A_CHANGE, ALL, FOR_A_PLAN, ObserverSource};

use crate::alarm::Alarm;
use crate::publish::Publisher;
use model::driver::ProbeError;
use model::features;
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::host_facts::HostFacts;
use model::judge::{self, ObservationMeta};
use model::message::Message;
use model::observation::RawObservation;
use model::pci::PciScan;
use model::ports::{ChangePort, Clock, HostPort};
use model::refusal::Refusal;
use model::roster::Sight;
use model::settings::Settings;
use model::time::BootMillis;
use rounds::Rounds;
use source::Found;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Changes that follow the first within this time are looked at together.
pub const DEBOUNCE_MS: u64 = 250;

/// While somebody watches, the host is sampled no more often than this.
pub const WATCH_MS: u64 = 1000;

/// At most so many questions are taken in one turn of the loop.
const TOGETHER: usize = 64;

/// At most so many wait for a sample at a time; who comes then gets what is there.
pub const WATCHERS: usize = 64;

/// Asks of the observer.
#[derive(Debug)]
pub enum Ask {
    /// Ask these sources again; answered when what they reported has been published. All who ask before the look has begun
    /// share it.
    Look(&'static [ObserverSource], oneshot::Sender<()>),
    /// Answered when what changes with time was sampled within the last [`WATCH_MS`]. Nothing stays switched on: who watches
    /// asks again.
    Sample(oneshot::Sender<()>),
    /// Answered at once: the loop turns.
    Ping(oneshot::Sender<()>),
}

/// Has these sources asked again, and waits for it: each has its own deadline.
///
/// # Errors
/// The daemon is stopping.
pub(crate) async fn look(observer: &mpsc::Sender<Ask>, sources: &'static [ObserverSource]) -> Result<(), Refusal> {
    let stopping = || Refusal::stopping("the observer");
    let (done, answered) = oneshot::channel();
    observer.send(Ask::Look(sources, done)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
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
    rounds: Rounds,
    /// When the last sample began.
    sampled: Option<BootMillis>,
    tasks: JoinSet<Found>,
    sequence: u64,
}

/// An observation of a host of which nothing has been seen yet.
#[must_use]
pub fn nothing_seen() -> RawObservation {
    RawObservation {
        scan: Ok(PciScan::default()),
        reports: Vec::new(),
        docker: Err(ProbeError::NotAsked { what: "Docker".to_owned() }),
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
            rounds: Rounds::default(),
            sampled: None,
            tasks: JoinSet::new(),
            sequence: 0,
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
        let mut asks = Vec::new();
        let clock = Arc::clone(&self.clock);
        let mut alarm = Alarm::new(Arc::clone(&clock));
        loop {
            self.begin_rounds();
            let wake =
                [next_scan, self.rounds.next_deadline()].into_iter().flatten().fold(next_sample, BootMillis::min);
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.take(ended),
                // All that have come meanwhile together, so that they share what they ask for.
                1.. = self.asks.recv_many(&mut asks, TOGETHER) => asks.drain(..).for_each(|ask| self.answer(ask)),
                news = self.kernel_log.changed(), if !log_ended => match news {
                    // Before the first scan there is no GPU yet that the log could speak of.
                    Ok(()) if self.sequence > 0 => self.publish_now(),
                    Ok(()) => {}
                    Err(_) => log_ended = true,
                },
                Ok(()) = self.settings.changed() => {
                    self.settings.mark_unchanged();
                    next_sample = next_sample.min(clock.boot_now().plus(self.sample_interval_ms()));
                    if self.sequence > 0 {
                        self.publish_now();
                    }
                }
                _change = changes.next_change() => {
                    let now = clock.boot_now();
                    let earliest = last_scan.map_or(now, |last| now.max(last.plus(DEBOUNCE_MS)));
                    next_scan = Some(next_scan.map_or(earliest, |planned| planned.min(earliest)));
                }
                () = alarm.at(Some(wake)) => {
                    let now = clock.boot_now();
                    self.give_up_waiting(now);
                    if now >= next_sample {
                        next_sample = now.plus(self.sample_interval_ms());
                        self.sample();
                    }
                    if next_scan.is_some_and(|scan| now >= scan) {
                        next_scan = None;
                        last_scan = Some(now);
                        self.rounds.want([ObserverSource::Bus]);
                    }
                }
            }
        }
    }

    /// As it is configured now.
    fn sample_interval_ms(&self) -> u64 {
        self.settings.borrow().agent.sample_interval_s.saturating_mul(1000)
    }

    /// Samples what changes with time, and what was never asked.
    fn sample(&mut self) {
        self.sampled = Some(self.clock.boot_now());
        let is_due =
            |source: &ObserverSource| (source.row().in_sample)(&self.latest) || !self.rounds.was_asked(*source);
        let due: Vec<ObserverSource> = ALL.iter().copied().filter(is_due).collect();
        self.rounds.want(due);
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Ping(reply) => {
                let _gone = reply.send(());
            }
            Ask::Look(sources, done) => self.look(sources, done),
            Ask::Sample(done) => self.watch(done),
        }
    }

    fn look(&mut self, sources: &'static [ObserverSource], done: oneshot::Sender<()>) {
        self.rounds.want(sources.iter().copied());
        self.rounds.wait(sources.iter().copied(), done);
        self.rounds.release();
    }

    fn watch(&mut self, done: oneshot::Sender<()>) {
        if self.rounds.waiting() >= WATCHERS {
            return;
        }
        let now = self.clock.boot_now();
        if self.sampled.is_none_or(|last| now.since(last) >= WATCH_MS) {
            self.sampled = Some(now);
            // A source that is still at the round before is not asked once more behind it.
            let is_free = |source: &ObserverSource| source.row().watched.0 && !self.rounds.is_running(*source);
            let free: Vec<ObserverSource> = ALL.iter().copied().filter(is_free).collect();
            self.rounds.want(free);
        }
        self.rounds.wait(ALL.iter().copied().filter(|source| source.row().watched.1), done);
        self.rounds.release();
    }

    /// Starts every round that can begin.
    fn begin_rounds(&mut self) {
        for source in self.rounds.ready() {
            let (host, clock, now) = (Arc::clone(&self.host), Arc::clone(&self.clock), self.clock.boot_now());
            let may_ask = |scan: &PciScan| judge::may_ask(scan, &self.publisher.seen().borrow());
            let question = source.question(&self.latest, may_ask);
            let task = self.tasks.spawn(async move { question.ask(&*host, &*clock).await });
            let row = source.row();
            let deadline = now.plus((row.deadline_ms)(&self.settings.borrow()));
            self.rounds.begin(source, task.id(), (row.input)(&self.latest), (now, deadline));
        }
    }

    fn take(&mut self, ended: Result<(task::Id, Found), JoinError>) {
        let (id, found) = match ended {
            Ok((id, found)) => (id, Some(found)),
            Err(fault) => {
                tracing::error!(
                    message_id = Message::ObserverTaskFailed.id(),
                    "an observation task was aborted; its last result stays: {fault}"
                );
                (fault.id(), None)
            }
        };
        let Some(source) = self.rounds.end(id, found.is_some()) else { return };
        if let Some(found) = found {
            found(&mut self.latest);
        }
        // What another source is asked with may have changed.
        let is_stale = |other: &ObserverSource| {
            *other != source && !self.rounds.was_asked_with(*other, &(other.row().input)(&self.latest))
        };
        let stale: Vec<ObserverSource> = ALL.iter().copied().filter(is_stale).collect();
        self.rounds.want(stale);
        self.publish_now();
        self.rounds.release();
    }

    /// A source that has missed its deadline is named, and holds up nobody any more.
    fn give_up_waiting(&mut self, now: BootMillis) {
        let overdue = self.rounds.overdue(now);
        if overdue.is_empty() {
            return;
        }
        for (source, after_ms) in overdue {
            let row = source.row();
            tracing::error!(
                message_id = Message::ObserverSourceLate.id(),
                "{} did not answer in {} s; it is not asked again before it has",
                row.name,
                after_ms / 1000
            );
            (row.late)(&mut self.latest, after_ms);
        }
        self.publish_now();
        self.rounds.release();
    }

    fn publish_now(&mut self) {
        self.sequence += 1;
        let seen = ObservationMeta {
            sequence: self.sequence,
            observed_at: self.clock.wall_now(),
            observed_boot: self.clock.boot_now(),
        };
        let previous = Arc::clone(&self.publisher.seen().borrow());
        let mut observation = judge::judge(self.latest.clone(), seen, Some(&previous));
        features::by_settings::apply_settings(&mut observation, &self.settings.borrow());
        let log = Arc::clone(&self.kernel_log.borrow());
        let asked = |source| self.rounds.answered(source).unwrap_or_default();
        let asked = AskedAt { bus: asked(ObserverSource::Bus), driver: asked(ObserverSource::Drivers) };
        model::health::show::apply(&mut observation, &log, asked, Some(&previous));
        crate::health::tell(&previous, &observation);
        // Before the first scan the list is empty because nobody has looked.
        if let (Ok(scan), Some(_)) = (&self.latest.scan, self.rounds.answered(ObserverSource::Bus)) {
            self.publisher.saw(Sight::of(scan, &observation));
        }
        self.publisher.publish(observation);
    }
}
