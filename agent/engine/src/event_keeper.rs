//! Keeps events: derives them from what is published, takes in those that no state shows, and writes them to the spool before a manager
//! gets them.
//!
//! Nothing waits for the disk: a write is a task of its own, one at a time, and what cannot be written is kept in memory, within the
//! bounds of the spool, until it can be.

use crate::event_port::{EventAsk, EventEnds, EventTaker, EventsShown};
use crate::job::{Job, JobState};
use crate::publish::Publisher;
use model::JobId;
use model::condition::{Condition, ConditionStatus};
use model::enrol::CheckinStatus;
use model::event::{
    AgentSighting, EventFacts, EventSpool, EventWorld, Occurrence, RejectedBind, SPOOL_MOST, SpoolWrite,
};
use model::message::Message;
use model::observation::HostObservation;
use model::policy::Act;
use model::ports::{Clock, EventLogPort, LedgerError};
use model::settings::Settings;
use model::time::BootMillis;
use model::workspace_life::WorkspacesState;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What changes within this time is one look.
const COALESCE_MS: u64 = 250;
/// So much that no state shows is taken in before there is a look.
const HAPPENED_MOST: usize = 256;
/// So long after a start the kernel log and the drivers are known: before, nothing is taken for recovered.
const SETTLE_MS: u64 = 5_000;
/// The first look waits so long for the first facts of the host.
const FACTS_WITHIN_MS: u64 = 30_000;
/// What changed without an event is written so often.
const FACTS_EACH_MS: u64 = 600_000;
/// What could not be read or written is tried again after so long.
const AGAIN_MS: u64 = 30_000;
/// At a stop the last write may take so long.
const LAST_WRITE: Duration = Duration::from_millis(1000);
/// Type of the condition while events cannot be written.
const NOT_STORED: &str = "events_not_stored";
/// Type of the condition while events were dropped that the manager did not get.
const DROPPED: &str = "events_dropped";

/// What the keeper works with.
pub struct EventKeeperParts<L, K> {
    /// Where events are kept.
    pub log: Arc<L>,
    /// The clock.
    pub clock: Arc<K>,
    /// Where everything is published.
    pub publisher: Arc<Publisher>,
    /// All jobs.
    pub jobs: watch::Receiver<Arc<Vec<Job>>>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The state of the check-in, for the identity of this host.
    pub checkin: watch::Receiver<Arc<CheckinStatus>>,
    /// The version of the daemon.
    pub version: String,
    /// Gives a new unique id.
    pub new_id: fn() -> String,
}

/// What the keeper follows.
struct Watched {
    shown: watch::Receiver<Arc<HostObservation>>,
    workspaces: watch::Receiver<Arc<WorkspacesState>>,
    nvidia: watch::Receiver<Arc<model::nvidia_container::NvidiaState>>,
    jobs: watch::Receiver<Arc<Vec<Job>>>,
    settings: watch::Receiver<Arc<Settings>>,
    checkin: watch::Receiver<Arc<CheckinStatus>>,
    taker: watch::Receiver<EventTaker>,
}

/// Why nothing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Blocked {
    /// What is kept cannot be read now.
    Unread,
    /// It must not be written over.
    ForGood,
}

/// The keeper.
pub struct EventKeeper<L, K> {
    parts: EventKeeperParts<L, K>,
    began: BootMillis,
    spool: EventSpool,
    agent: AgentSighting,
    blocked: Option<Blocked>,
    happened: Vec<Occurrence>,
    /// When there is a look.
    look_at: Option<BootMillis>,
    has_looked: bool,
    /// There was a look since the daemon settled.
    was_settled: bool,
    facts_kept_at: BootMillis,
    /// When what failed is tried again.
    again_at: Option<BootMillis>,
    writes: JoinSet<Result<(), LedgerError>>,
    dropped_shown: u64,
}

impl<L: EventLogPort, K: Clock> EventKeeper<L, K> {
    /// One that has not read what is kept.
    #[must_use]
    pub fn new(parts: EventKeeperParts<L, K>) -> Self {
        let began = parts.clock.boot_now();
        let agent = AgentSighting { run: (parts.new_id)(), version: parts.version.clone(), ..AgentSighting::default() };
        Self {
            spool: EventSpool::unread(began.0),
            parts,
            began,
            agent,
            blocked: None,
            happened: Vec::new(),
            look_at: Some(began),
            has_looked: false,
            was_settled: false,
            facts_kept_at: began,
            again_at: None,
            writes: JoinSet::new(),
            dropped_shown: 0,
        }
    }

    /// Works until it is cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let ends = (self.parts.publisher.take_occurrences(), self.parts.publisher.take_event_ends());
        let (Some(mut occurred), Some(mut ends)) = ends else { return };
        let mut watched = Watched {
            shown: self.parts.publisher.shown(),
            workspaces: self.parts.publisher.workspaces(),
            nvidia: self.parts.publisher.nvidia(),
            jobs: self.parts.jobs.clone(),
            settings: self.parts.settings.clone(),
            checkin: self.parts.checkin.clone(),
            taker: ends.taker.clone(),
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = self.open() => {}
        }
        self.note_settings(&mut watched);
        loop {
            self.turn(&mut watched).await;
            self.show(&ends);
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.wait(&mut watched, &mut occurred, &mut ends) => {}
            }
        }
        self.stop(&mut watched, &mut occurred).await;
    }

    /// Reads what is kept.
    async fn open(&mut self) {
        let numbers = self.parts.clock.boot_now().0;
        self.again_at = None;
        let bytes = match self.parts.log.read().await {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.blocked = Some(Blocked::Unread);
                self.again_at = Some(self.parts.clock.boot_now().plus(AGAIN_MS));
                return self.not_stored(&fault.to_string());
            }
        };
        let found = bytes.map(|bytes| EventSpool::read(&bytes, numbers));
        let spool = match found {
            None => EventSpool::empty(numbers),
            Some(Err(later)) => {
                self.blocked = Some(Blocked::ForGood);
                let place = self.parts.log.place();
                return self.not_stored(&format!("{place} is not written over: {later}"));
            }
            Some(Ok(found)) => {
                if found.damaged > 0 || found.is_torn {
                    self.damaged(found.damaged, found.is_torn).await;
                }
                found.spool
            }
        };
        let since = std::mem::replace(&mut self.spool, spool);
        if self.has_looked {
            self.spool.follow(since);
        }
        self.blocked = None;
        self.parts.publisher.lift(NOT_STORED);
    }

    async fn damaged(&self, lines: usize, is_torn: bool) {
        let file = self.parts.log.place();
        let aside = if lines == 0 {
            String::new()
        } else {
            match self.parts.log.set_aside().await {
                Ok(copy) => format!("; the file as it was is kept as {copy}"),
                Err(fault) => format!("; the file as it was is not kept: {fault}"),
            }
        };
        let torn = if is_torn { ", and its last write was cut" } else { "" };
        tracing::warn!(
            message_id = Message::EventsDamaged.id(),
            file,
            lines,
            "{file} has {lines} damaged lines{torn}: what cannot be read is left out, all other events are kept{aside}"
        );
    }

    /// Waits for what is next, and takes it in.
    async fn wait(&mut self, watched: &mut Watched, occurred: &mut mpsc::Receiver<Occurrence>, ends: &mut EventEnds) {
        let clock = Arc::clone(&self.parts.clock);
        let alarm = clock.sleep_until(self.wakes());
        let mut is_news = true;
        tokio::select! {
            Ok(()) = watched.shown.changed() => {}
            Ok(()) = watched.workspaces.changed() => {}
            Ok(()) = watched.nvidia.changed() => {}
            Ok(()) = watched.jobs.changed() => {}
            Ok(()) = watched.settings.changed() => self.note_settings(watched),
            Ok(()) = watched.checkin.changed() => {}
            Ok(()) = watched.taker.changed() => {}
            Some(one) = occurred.recv() => {
                self.happened.push(one);
                if self.happened.len() >= HAPPENED_MOST {
                    self.look_at = Some(self.began);
                }
            }
            Some(ask) = ends.asks.recv() => {
                self.answer(ask);
                is_news = false;
            }
            Some(done) = self.writes.join_next() => {
                self.wrote(done.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic())));
                is_news = false;
            }
            () = alarm => is_news = false,
        }
        if is_news && self.look_at.is_none() {
            self.look_at = Some(self.parts.clock.boot_now().plus(COALESCE_MS));
        }
    }

    fn wakes(&self) -> BootMillis {
        let settled = Some(self.began.plus(SETTLE_MS)).filter(|_| !self.was_settled);
        let facts = Some(self.facts_kept_at.plus(FACTS_EACH_MS));
        let first = Some(self.began.plus(FACTS_WITHIN_MS));
        let look = if self.has_looked { self.look_at } else { first };
        [settled, facts, look, self.again_at].into_iter().flatten().min().unwrap_or(self.began)
    }

    fn is_settled(&self) -> bool {
        self.parts.clock.boot_now() >= self.began.plus(SETTLE_MS)
    }

    fn note_settings(&mut self, watched: &mut Watched) {
        let settings = Arc::clone(&watched.settings.borrow_and_update());
        self.agent.settings = AgentSighting::digests(&settings);
    }

    /// Looks, where that is due, and writes.
    async fn turn(&mut self, watched: &mut Watched) {
        let now = self.parts.clock.boot_now();
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            if self.blocked == Some(Blocked::Unread) {
                self.open().await;
            }
        }
        let is_ready = watched.shown.borrow().host.boot_id.known().is_some() || now >= self.began.plus(FACTS_WITHIN_MS);
        if self.is_settled() && !self.was_settled {
            self.was_settled = true;
            self.look_at = Some(now);
        }
        let is_due = self.look_at.is_some_and(|at| at <= now) || now >= self.facts_kept_at.plus(FACTS_EACH_MS);
        if is_ready && (is_due || !self.has_looked) {
            self.look(watched, false);
        }
        self.write();
        self.show_dropped();
    }

    fn look(&mut self, watched: &mut Watched, is_stopping: bool) {
        let now = self.parts.clock.boot_now();
        self.look_at = None;
        let (host, workspaces) =
            (Arc::clone(&watched.shown.borrow_and_update()), Arc::clone(&watched.workspaces.borrow_and_update()));
        let nvidia = Arc::clone(&watched.nvidia.borrow_and_update());
        let sight = self.parts.publisher.sight().borrow().clone();
        let rejected = rejected(&watched.jobs.borrow_and_update());
        let settings = Arc::clone(&watched.settings.borrow());
        self.note_owner(watched);
        self.agent.is_stopping = is_stopping;
        self.agent.is_drained = settings.desired.is_draining() && workspaces.is_empty_of_containers();
        self.agent.boot_id = host.host.boot_id.known().cloned().or(self.agent.boot_id.take());
        let world = EventWorld {
            host: &host,
            sight: sight.as_deref(),
            workspaces: &workspaces,
            nvidia: &nvidia,
            rejected: &rejected,
            agent: &self.agent,
            is_settled: self.is_settled(),
        };
        let nothing = EventFacts::default();
        let facts = self.spool.facts().unwrap_or(&nothing).look(&world);
        let keep = is_stopping || now >= self.facts_kept_at.plus(FACTS_EACH_MS);
        let happened = std::mem::take(&mut self.happened);
        let count = self.spool.turn((self.parts.clock.wall_now(), keep), happened, Some(facts), self.parts.new_id);
        if keep || count > 0 {
            self.facts_kept_at = now;
        }
        self.has_looked = true;
    }

    /// Whose the events are, and whether its manager takes them.
    fn note_owner(&mut self, watched: &mut Watched) {
        let server_id = watched.checkin.borrow_and_update().server_id.clone();
        let taker = *watched.taker.borrow_and_update();
        if let Some(server_id) = &server_id {
            self.spool.own(server_id);
        }
        match taker {
            EventTaker::Unknown => {}
            // Where the two differ, one of them is older.
            EventTaker::NoManager => {
                if server_id.is_none() {
                    self.spool.disown();
                }
            }
            EventTaker::TakesNone => self.spool.note_taker(false),
            EventTaker::Takes => self.spool.note_taker(true),
        }
    }

    /// Begins the next write, where there is one and none is under way.
    fn write(&mut self) {
        if self.blocked.is_some() || self.again_at.is_some() || !self.writes.is_empty() {
            return;
        }
        let Some(write) = self.spool.next_write() else { return };
        let log = Arc::clone(&self.parts.log);
        self.writes.spawn(async move {
            match write {
                SpoolWrite::Append { bytes, sync } => log.append(bytes, sync).await,
                SpoolWrite::Whole(bytes) => log.replace(bytes).await,
            }
        });
    }

    fn wrote(&mut self, done: Result<(), LedgerError>) {
        match done {
            Ok(()) => {
                self.spool.written();
                self.parts.publisher.lift(NOT_STORED);
            }
            Err(fault) => {
                self.spool.not_written();
                self.again_at = Some(self.parts.clock.boot_now().plus(AGAIN_MS));
                self.not_stored(&fault.to_string());
            }
        }
    }

    fn not_stored(&self, fault: &str) {
        let message = format!(
            "{fault}; until this is fixed the last {SPOOL_MOST} events are kept in memory only and are lost when gpuhostd ends; it is \
             tried again every {} s",
            AGAIN_MS / 1000
        );
        self.stand(NOT_STORED, "host_fault", message);
    }

    fn stand(&self, kind: &str, reason: &str, message: String) {
        self.parts.publisher.stand(Condition {
            kind: kind.to_owned(),
            status: ConditionStatus::True,
            reason: reason.to_owned(),
            message,
            since: self.parts.clock.wall_now(),
        });
    }

    fn show_dropped(&mut self) {
        let dropped = self.spool.dropped();
        if dropped == self.dropped_shown {
            return;
        }
        // Not each single one is worth another look at everything.
        let is_worth = dropped == 0 || self.dropped_shown == 0 || dropped >= self.dropped_shown.saturating_mul(2);
        if !is_worth {
            return;
        }
        self.dropped_shown = dropped;
        if dropped == 0 {
            return self.parts.publisher.lift(DROPPED);
        }
        let message = format!(
            "at least {dropped} events were dropped before the manager had them: {SPOOL_MOST} events or 16 MiB are kept, those that matter \
             least go first; see why the manager does not take them: `gpuhostctl status`"
        );
        self.stand(DROPPED, "spool_full", message);
    }

    fn answer(&mut self, ask: EventAsk) {
        // A caller that has gone needs no answer.
        match ask {
            EventAsk::Page(query, answer) => {
                let _gone = answer.send(self.spool.page(&query));
            }
            EventAsk::Batch { server_id, most, until, answer } => {
                let _gone = answer.send(self.spool.batch(&server_id, most, until));
            }
            EventAsk::Acked { server_id, acked, sent, answer } => {
                let _gone = answer.send(self.spool.acknowledge(&server_id, acked, sent));
            }
            EventAsk::Skip { server_id, seq } => self.spool.skip(&server_id, seq),
        }
    }

    fn show(&self, ends: &EventEnds) {
        let now = EventsShown { newest: self.spool.newest(), deliverable: self.spool.deliverable() };
        ends.shown.send_if_modified(|shown| std::mem::replace(shown, now) != now);
    }

    /// The last events of this run are written as far as the time allows.
    async fn stop(mut self, watched: &mut Watched, occurred: &mut mpsc::Receiver<Occurrence>) {
        while let Ok(one) = occurred.try_recv() {
            self.happened.push(one);
        }
        if !self.has_looked {
            return;
        }
        self.look(watched, true);
        let writing = async {
            loop {
                self.write();
                match self.writes.join_next().await {
                    Some(Ok(done)) => self.wrote(done),
                    Some(Err(_)) | None => return,
                }
            }
        };
        if timeout(LAST_WRITE, writing).await.is_err() {
            tracing::info!(
                "the last events of this run did not reach the disk in time; they are derived again at the next start"
            );
        }
    }
}

/// Requests to give a GPU to a virtual machine that were refused or failed.
fn rejected(jobs: &[Job]) -> BTreeMap<JobId, RejectedBind> {
    let is_bind =
        |job: &&Job| job.operation == Act::PassthroughBind.code() && !job.dry_run && job.state == JobState::Finished;
    let rejected = jobs.iter().filter(is_bind).filter_map(|job| {
        let refusal = job.result.as_ref()?.as_ref().err()?;
        Some((job.id, RejectedBind { gpu: job.gpu?, code: refusal.code().to_owned(), message: refusal.to_string() }))
    });
    rejected.collect()
}
