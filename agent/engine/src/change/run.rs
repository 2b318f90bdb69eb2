//! The loop of changes: takes them in, keeps lanes, records and rates, recovers at the start, and undoes what nobody confirms.

use super::MESSAGE_CHANGE_RECOVERED;
use super::drive::{drive, put};
use super::lanes::Lanes;
use super::records::Records;
use super::task::{Ended, Task, requester};
use super::unread::{self, Guarded};
use crate::command::{Actor, Authorized, Command, Origin};
use crate::handle::Handle;
use crate::observer::{AFTER_A_CHANGE, Ask};
use crate::publish::Publisher;
use model::blocker::{Blocked, Blocker};
use model::change::{AtStart, ChangeId, Entry, Machine, Outcome, Phase, Unread, at_start, listed, sort_out};
use model::message::Message;
use model::observation::HostObservation;
use model::passthrough::{Caution, bounds_of};
use model::plan::Bounds;
use model::policy::{Operation, Policy};
use model::ports::{ActPort, Clock, JournalFault, JournalPort};
use model::refusal::Refusal;
use model::time::{BootMillis, Now};
use model::{JobId, PciAddress};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// One entry has so long to be restored at the start; one that hangs is quarantined and the start goes on.
pub const RECOVER_WITHIN_MS: u64 = 10_000;
/// An unconfirmed binding that cannot be undone now (a guest has it open) is tried again after this.
pub const RETRY_UNDO_MS: u64 = 30_000;
/// Rates count changes of this time.
const RATE_WINDOW_MS: u64 = 60_000;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub operation: Operation,
    /// Of which GPU.
    pub gpu: PciAddress,
    /// Only the plan.
    pub dry_run: bool,
    /// Undone unless confirmed in this time.
    pub confirm_within_ms: Option<u64>,
    /// Memory of the guest, where the caller knows it.
    pub guest_memory_mib: Option<u64>,
}

/// A question to the loop.
#[derive(Debug)]
pub enum Asked {
    /// Make a change, as this job, for this actor.
    Make(Change, JobId, Actor, oneshot::Sender<Result<(), Refusal>>),
    /// Confirm a binding.
    Confirm(PciAddress, oneshot::Sender<Result<(), Refusal>>),
}

/// What a change tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The plan is made.
    Planned {
        /// Of which job.
        job: JobId,
        /// Its steps in words.
        plan: Vec<String>,
        /// What is worth knowing of it.
        cautions: Vec<Caution>,
    },
    /// A step is about to be taken.
    Step {
        /// Of which job.
        job: JobId,
        /// In words.
        step: String,
        /// So many are taken.
        taken: usize,
        /// Of so many.
        all: usize,
    },
}

/// What the loop stands on.
pub struct ChangePorts<A, J, K> {
    /// Changes the host.
    pub act: Arc<A>,
    /// Keeps entries.
    pub journal: Arc<J>,
    /// The clock.
    pub clock: Arc<K>,
    /// The boot that this is.
    pub boot_id: String,
}

impl<A, J, K> Clone for ChangePorts<A, J, K> {
    fn clone(&self) -> Self {
        Self {
            act: Arc::clone(&self.act),
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(&self.clock),
            boot_id: self.boot_id.clone(),
        }
    }
}

/// Who waits for a change that is under way.
struct Waiting {
    bounds: Bounds,
    id: ChangeId,
    reply: Option<oneshot::Sender<Result<(), Refusal>>>,
    gpu: PciAddress,
    /// It counts for the rate of its GPU once it is made.
    counts: bool,
}

/// The loop's own state: it is the only writer of lanes and records.
pub struct Changer<A, J, K> {
    ports: ChangePorts<A, Guarded<J>, K>,
    publisher: Arc<Publisher>,
    observation: watch::Receiver<Arc<HostObservation>>,
    records: watch::Receiver<Arc<Records>>,
    observer: mpsc::Sender<Ask>,
    policy: watch::Receiver<Arc<Policy>>,
    news: mpsc::Sender<News>,
    /// Where the loop hands in what it does of itself: as a job, so that everybody can see it.
    core: Handle,
    lanes: Lanes,
    recent: BTreeMap<PciAddress, Vec<BootMillis>>,
    /// The number of the last change: the journal holds none that is higher.
    last_number: u64,
    undo_not_before: BootMillis,
    running: JoinSet<Ended>,
    waiting: BTreeMap<Id, Waiting>,
}

impl<A: ActPort, J: JournalPort, K: Clock> Changer<A, J, K> {
    /// A loop with no records; [`Changer::recover`] reads them, and `publisher` shows them.
    #[must_use]
    pub fn new(
        ports: ChangePorts<A, J, K>,
        publisher: Arc<Publisher>,
        observer: mpsc::Sender<Ask>,
        policy: watch::Receiver<Arc<Policy>>,
        (news, core): (mpsc::Sender<News>, Handle),
    ) -> Self {
        let ChangePorts { act, journal, clock, boot_id } = ports;
        Self {
            ports: ChangePorts { act, journal: Arc::new(Guarded::new(journal)), clock, boot_id },
            observation: publisher.seen(),
            records: publisher.records(),
            publisher,
            observer,
            policy,
            news,
            core,
            lanes: Lanes::default(),
            recent: BTreeMap::new(),
            last_number: 0,
            undo_not_before: BootMillis(0),
            running: JoinSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Reads the journal and undoes what is open, before anybody can ask for anything. An entry that takes longer than
    /// [`RECOVER_WITHIN_MS`] is quarantined.
    ///
    /// # Errors
    /// The journal cannot be read at all. A document that is no entry is reported (condition `change_journal_unreadable`), and
    /// left as it is.
    pub async fn recover(&mut self) -> Result<(), JournalFault> {
        let found = sort_out(self.ports.journal.read_all().await?);
        self.last_number = found.last_number;
        self.leave_alone(found.unread);
        for entry in found.entries {
            self.recover_one(entry).await;
        }
        Ok(())
    }

    /// Documents that could not be read: nothing is written under their names, and what they may be about is not changed.
    fn leave_alone(&mut self, unread: Vec<Unread>) {
        for Unread { name, place, why, .. } in &unread {
            tracing::error!(
                message_id = Message::ChangeJournalUnreadable.id(),
                name,
                why,
                "the journal entry {name} ({place}) cannot be read and is left as it is: {why}"
            );
        }
        if let Some(condition) = unread::condition(&unread, self.ports.clock.wall_now()) {
            self.publisher.stand(condition);
        }
        let names = unread.iter().map(|unread| unread.name.clone()).collect();
        self.ports.journal = Arc::new(self.ports.journal.closing(names));
        self.publisher.note(|records| records.keep_unread(unread));
    }

    async fn recover_one(&mut self, entry: Entry) {
        let (name, id, subject) = (entry.name(), entry.id, entry.subject());
        let gpu_bdf = subject.gpu().map(tracing::field::display);
        let what = at_start(&entry, &self.ports.boot_id);
        tracing::info!(
            message_id = MESSAGE_CHANGE_RECOVERED,
            name,
            gpu_bdf,
            ?what,
            "journal entry {name} of {subject}: {}",
            what.words()
        );
        match what {
            AtStart::Forget => {
                if let Err(fault) = self.ports.journal.remove(&name).await {
                    tracing::warn!(
                        message_id = Message::ChangeEntryStays.id(),
                        "the journal entry {name} of an earlier boot could not be removed: {fault}"
                    );
                }
            }
            AtStart::Keep | AtStart::Await(_) => self.remember(id, Some(entry)),
            AtStart::Restore => {
                let ports = self.ports.clone();
                let machine = Machine::recover(entry.clone(), ports.clock.boot_now());
                let deadline = ports.clock.boot_now().plus(RECOVER_WITHIN_MS);
                let ended = tokio::select! {
                    (outcome, machine) = drive(machine, (&*ports.act, &*ports.journal, &*ports.clock), |_, _| {}) => {
                        Some((outcome, machine))
                    }
                    () = ports.clock.sleep_until(deadline) => None,
                };
                self.recovered(entry, ended);
            }
        }
    }

    fn recovered(&mut self, entry: Entry, ended: Option<(Outcome, Machine)>) {
        let (name, id, subject) = (entry.name(), entry.id, entry.subject());
        let stuck = match ended {
            Some((Outcome::Done, _)) => return self.remember(id, None),
            Some((Outcome::Restored(_) | Outcome::Untouched(_), machine)) => {
                return self.remember(id, machine.record_when_restored());
            }
            Some((Outcome::Quarantined(trouble), _)) => trouble.to_string(),
            None => format!("it was not restored in {RECOVER_WITHIN_MS} ms"),
        };
        tracing::error!(
            message_id = MESSAGE_CHANGE_RECOVERED,
            name,
            gpu_bdf = subject.gpu().map(tracing::field::display),
            "what an earlier run began with {subject} could not be undone, and it is quarantined ({name}): {stuck}"
        );
        self.lanes.keep(&entry.plan.bounds.lanes, &stuck);
        self.remember(id, Some(entry.in_phase(Phase::Quarantined { why: stuck })));
    }

    fn now(&self) -> Now {
        Now { boot: self.ports.clock.boot_now(), wall: self.ports.clock.wall_now() }
    }

    fn remember(&self, id: ChangeId, left: Option<Entry>) {
        let now = self.now();
        self.publisher.note(|records| records.keep(id, left, now));
    }

    /// Takes in changes until it is cancelled. What is under way then is dropped: the journal knows it.
    pub async fn run(mut self, mut asked: mpsc::Receiver<Asked>, cancel: CancellationToken) {
        loop {
            let clock = Arc::clone(&self.ports.clock);
            let due = self.next_undo();
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(asked) = asked.recv() => self.take_in(asked).await,
                Some(ended) = self.running.join_next_with_id(), if !self.running.is_empty() => self.end(ended),
                () = async {
                    match due {
                        Some((when, _)) => clock.sleep_until(when).await,
                        None => std::future::pending().await,
                    }
                } => self.undo_unconfirmed(due.map(|(_, gpu)| gpu)),
            }
        }
    }

    fn next_undo(&self) -> Option<(BootMillis, PciAddress)> {
        let records = self.records.borrow();
        let (until, entry) = records.next_unconfirmed()?;
        Some((until.max(self.undo_not_before), entry.subject().gpu()?))
    }

    fn undo_unconfirmed(&mut self, gpu: Option<PciAddress>) {
        let Some(gpu) = gpu else { return };
        self.undo_not_before = self.ports.clock.boot_now().plus(RETRY_UNDO_MS);
        tracing::warn!(message_id = Message::ChangeNotConfirmed.id(), gpu_bdf = %gpu, "nobody confirmed in time that {gpu} is given away; it is taken back");
        let change = Change {
            operation: Operation::PassthroughRelease,
            gpu,
            dry_run: false,
            confirm_within_ms: None,
            guest_memory_mib: None,
        };
        if let Err(refusal) = self.core.hand_in(Authorized::by_reconciler(Command::Change(change))) {
            tracing::warn!(message_id = Message::ChangeNotConfirmed.id(), gpu_bdf = %gpu, "{gpu} could not be taken back yet: {refusal}");
        }
    }

    async fn take_in(&mut self, asked: Asked) {
        match asked {
            Asked::Confirm(gpu, reply) => {
                // A caller that has gone wants no answer.
                let _gone = reply.send(self.confirm(gpu).await);
            }
            Asked::Make(change, job, actor, reply) => {
                let mut reply = Some(reply);
                let begun = self.begin(change, job, actor, &mut reply);
                if let (Err(refusal), Some(reply)) = (begun, reply) {
                    let _gone = reply.send(Err(refusal));
                }
            }
        }
    }

    fn begin(
        &mut self,
        change: Change,
        job: JobId,
        actor: Actor,
        reply: &mut Option<oneshot::Sender<Result<(), Refusal>>>,
    ) -> Result<(), Refusal> {
        let bounds = bounds_of(&self.observation.borrow(), change.gpu)
            .ok_or_else(|| Refusal::NotFound { what: "GPU".to_owned(), name: change.gpu.to_string() })?;
        let counts = match actor.origin {
            Origin::Bus | Origin::Manager => !change.dry_run,
            Origin::Reconciler => {
                self.must_be_overdue(&change)?;
                false
            }
        };
        self.must_be_read(&bounds)?;
        if counts {
            self.keep_rate(change.gpu, actor)?;
        }
        let record = self.records.borrow().of(change.gpu).cloned();
        must_have_the_lanes_of(record.as_ref(), &bounds)?;
        self.lanes.take(&bounds.lanes)?;
        let id = record.as_ref().map_or_else(|| self.next_id(), |record| record.id);
        let task = Task {
            change,
            job,
            actor,
            observer: self.observer.clone(),
            observation: self.observation.clone(),
            id,
            bounds: bounds.clone(),
            record,
            policy: Arc::clone(&self.policy.borrow()),
            news: self.news.clone(),
        };
        if !change.dry_run {
            self.publisher.note(|records| records.begin(bounds.target.functions()));
        }
        let task = self.running.spawn(task.run(self.ports.clone()));
        let reply = reply.take();
        self.waiting.insert(task.id(), Waiting { bounds, id, reply, gpu: change.gpu, counts });
        Ok(())
    }

    /// The daemon of itself may take back what nobody has confirmed in time, and nothing else: somebody may have confirmed it
    /// while this waited for its turn.
    fn must_be_overdue(&self, change: &Change) -> Result<(), Refusal> {
        let records = self.records.borrow();
        let until = records.given(change.gpu).and_then(Entry::unconfirmed_until);
        let is_overdue = until.is_some_and(|until| until <= self.ports.clock.boot_now());
        match change.operation {
            Operation::PassthroughRelease if is_overdue => Ok(()),
            Operation::PassthroughRelease | Operation::PassthroughBind => {
                Err(Refusal::Conflict { why: format!("{} is not waiting to be confirmed any more", change.gpu) })
            }
        }
    }

    /// What the GPU comes back to may stand in a document that could not be read.
    fn must_be_read(&self, bounds: &Bounds) -> Result<(), Refusal> {
        let Some(blocker) = self.records.borrow().unread(bounds).map(Unread::blocker) else { return Ok(()) };
        let why = format!("{}: {blocker}", bounds.subject);
        let blocked = bounds.subject.gpu().and_then(|gpu| Blocked::by(gpu, vec![blocker]));
        Err(blocked.map_or(Refusal::Conflict { why }, Refusal::Blocked))
    }

    const fn next_id(&mut self) -> ChangeId {
        self.last_number = self.last_number.saturating_add(1);
        ChangeId::Number(self.last_number)
    }

    /// Changes that were made count, attempts that were refused do not: who frees a GPU and asks again is no flood.
    fn keep_rate(&mut self, gpu: PciAddress, actor: Actor) -> Result<(), Refusal> {
        let per_minute = self.policy.borrow().changes_per_minute(requester(actor));
        let now = self.ports.clock.boot_now();
        let Some(recent) = self.recent.get_mut(&gpu) else { return Ok(()) };
        recent.retain(|when| now.since(*when) < RATE_WINDOW_MS);
        let full = u32::try_from(recent.len()).is_ok_and(|made| made >= per_minute);
        let Some(oldest) = recent.first().filter(|_| full) else { return Ok(()) };
        let retry_after_ms = RATE_WINDOW_MS.saturating_sub(now.since(*oldest));
        let blocker = Blocker::RateLimited { per_minute, retry_after_ms };
        Err(Blocked::by(gpu, vec![blocker])
            .map_or_else(|| Refusal::Busy { why: "too many changes".to_owned() }, Refusal::Blocked))
    }

    async fn confirm(&self, gpu: PciAddress) -> Result<(), Refusal> {
        let bounds = bounds_of(&self.observation.borrow(), gpu);
        bounds.map_or(Ok(()), |bounds| self.must_be_read(&bounds))?;
        let record = self.records.borrow().given(gpu).cloned();
        let nothing = || Refusal::Conflict { why: format!("{gpu} is not given away: there is nothing to confirm") };
        let standing = record.ok_or_else(nothing)?.in_phase(Phase::Standing);
        put(&*self.ports.journal, &standing)
            .await
            .map_err(|said| Refusal::HostFault { attempted: format!("write down that {gpu} is confirmed"), said })?;
        self.remember(standing.id, Some(standing));
        Ok(())
    }

    fn end(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok(ended) => ended,
            // A bug of ours in the middle of a change: the journal holds it, and nobody may write over it.
            Err(fault) => {
                let said = format!("it broke off: {fault}");
                let result = Err(Refusal::HostFault { attempted: "run the change".to_owned(), said: said.clone() });
                (fault.id(), Ended { result, left: Err(()), stuck: Some(said), made: true })
            }
        };
        let Some(waiting) = self.waiting.remove(&id) else { return };
        if waiting.counts && ended.made {
            self.recent.entry(waiting.gpu).or_default().push(self.ports.clock.boot_now());
        }
        let now = self.now();
        self.publisher.note(|records| {
            records.end(waiting.bounds.target.functions());
            if let Ok(left) = ended.left {
                records.keep(waiting.id, left, now);
            }
        });
        match ended.stuck {
            Some(why) => self.lanes.keep(&waiting.bounds.lanes, &why),
            None => self.lanes.give_back(&waiting.bounds.lanes),
        }
        if let Err(refusal) = &ended.result {
            tracing::info!(gpu_bdf = %waiting.gpu, "the change of {} was not made: {refusal}", waiting.gpu);
        }
        // The driver's list and the bindings are other ones now.
        let _full = self.observer.try_send(Ask::Look(AFTER_A_CHANGE, oneshot::channel().0));
        if let Some(reply) = waiting.reply {
            let _gone = reply.send(ended.result);
        }
    }
}

/// A change goes on under the name of the record that it ends, and the name says the lanes: where the kernel has put the GPU into
/// another group meanwhile, the record would be left behind.
fn must_have_the_lanes_of(record: Option<&Entry>, bounds: &Bounds) -> Result<(), Refusal> {
    let Some(record) = record.filter(|record| record.plan.bounds.lanes != bounds.lanes) else { return Ok(()) };
    let (was, is) = (listed(&record.plan.bounds.lanes), listed(&bounds.lanes));
    let why = format!(
        "{} was changed as {was} (journal entry {}) and is {is} now; a reboot gives it back to its own driver",
        bounds.subject,
        record.name()
    );
    Err(Refusal::Conflict { why })
}
