//! Admits changes and concludes them: it keeps lanes, records, rates and ids. What an admitted change does is in `task.rs`.

use super::change_end::{Ended, Left};
use super::drive::owned_after;
use super::lanes::Lanes;
use super::mig_confirmation::MigConfirmation;
use super::ports::ChangePorts;
use super::rate::Rates;
use super::records::Records;
use super::task::{Confirmation, Task, Work};
use super::unread::Guarded;
use crate::command::{Actor, Origin, Overdue, Unconfirmed, refused};
use crate::jobs::JobEnd;
use crate::observer::{AFTER_A_CHANGE, Ask};
use crate::publish::Publisher;
use model::blocker::Blocker;
use model::change::{Change, ChangeId, Entry, Unread, listed};
use model::message::Message;
use model::mig::{MigOwned, MigTakeBackRequest};
use model::observation::HostObservation;
use model::passthrough::bounds_of;
use model::plan::{Bounds, Former, MigTarget, Subject, Target};
use model::policy::Policy;
use model::ports::{ActPort, Clock, JournalPort};
use model::refusal::Refusal;
use model::time::{BootMillis, Now};
use model::{JobId, PciAddress};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// An unconfirmed binding that cannot be undone now (a guest has it open) is tried again after this.
pub const RETRY_UNDO_MS: u64 = 30_000;

/// What has to be given back when an admitted change has ended.
#[derive(Debug)]
pub(crate) struct UnderWay {
    bounds: Bounds,
    id: ChangeId,
}

/// A change that was admitted: it has its lanes.
pub(crate) struct Admitted<A, J, K> {
    pub(crate) work: Work<A, J, K>,
    pub(crate) under_way: UnderWay,
}

/// What the executor is made of, beside the ports.
pub(crate) struct ExecutorParts {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) observer: mpsc::Sender<Ask>,
    pub(crate) policy: watch::Receiver<Arc<Policy>>,
}

/// The only writer of lanes and records.
pub(crate) struct ChangeExecutor<A, J, K> {
    pub(super) ports: ChangePorts<A, Guarded<J>, K>,
    pub(super) publisher: Arc<Publisher>,
    observation: watch::Receiver<Arc<HostObservation>>,
    records: watch::Receiver<Arc<Records>>,
    observer: mpsc::Sender<Ask>,
    policy: watch::Receiver<Arc<Policy>>,
    pub(super) lanes: Lanes,
    rates: Rates,
    /// The number of the last change: the journal holds none that is higher.
    pub(super) last_number: u64,
    /// Changes that could not be undone when they should have been are tried again then.
    undo_not_before: BTreeMap<ChangeId, BootMillis>,
}

impl<A: ActPort, J: JournalPort, K: Clock> ChangeExecutor<A, J, K> {
    /// Without records; [`ChangeExecutor::recover`] reads them.
    pub(crate) fn new(ports: ChangePorts<A, J, K>, parts: ExecutorParts) -> Self {
        let ChangePorts { act, journal, clock, boot_id } = ports;
        let ExecutorParts { publisher, observer, policy } = parts;
        Self {
            ports: ChangePorts { act, journal: Arc::new(Guarded::new(journal)), clock, boot_id },
            observation: publisher.seen(),
            records: publisher.records(),
            publisher,
            observer,
            policy,
            lanes: Lanes::default(),
            rates: Rates::default(),
            last_number: 0,
            undo_not_before: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        Now { boot: self.ports.clock.boot_now(), wall: self.ports.clock.wall_now() }
    }

    pub(super) fn remember(&self, id: ChangeId, left: Option<Entry>) {
        let now = self.now();
        self.publisher.note(|records| records.keep(id, left, now));
    }

    /// The record of the MIG instances that are ours, of a change of MIG; an empty one where there is none.
    pub(super) fn owned_by(&self, bounds: &Bounds) -> Option<MigOwned> {
        let Target::Mig(MigTarget { uuid, .. }) = &bounds.target else { return None };
        let known = self.records.borrow().owned(uuid);
        Some(known.unwrap_or_else(|| MigOwned::none(uuid.clone(), self.ports.boot_id.clone())))
    }

    /// The same without a change on trial.
    pub(super) fn settled_by(&self, bounds: &Bounds) -> Option<MigOwned> {
        let Target::Mig(MigTarget { uuid, .. }) = &bounds.target else { return None };
        let known = self.records.borrow().settled(uuid).cloned();
        Some(known.unwrap_or_else(|| MigOwned::none(uuid.clone(), self.ports.boot_id.clone())))
    }

    /// A change is done: what it created is ours.
    pub(super) fn own(&self, entry: &Entry) {
        if let Some(owned) = self.owned_by(&entry.plan.bounds) {
            self.publisher.note(|records| records.own(owned_after(&owned, entry)));
        }
    }

    /// When the next change has to be undone that nobody has confirmed.
    pub(crate) fn undo_at(&self) -> Option<BootMillis> {
        self.next_unconfirmed().map(|(until, _)| until)
    }

    fn next_unconfirmed(&self) -> Option<(BootMillis, Entry)> {
        let not_before = |id| self.undo_not_before.get(&id).copied().unwrap_or_default();
        let records = self.records.borrow();
        let all = records.unconfirmed().map(|(until, entry)| (until.max(not_before(entry.id)), entry));
        all.min_by_key(|(until, _)| *until).map(|(until, entry)| (until, entry.clone()))
    }

    /// The change that has to be undone now: one that nobody has confirmed in time. Where it cannot be undone it comes again after
    /// [`RETRY_UNDO_MS`].
    pub(crate) fn overdue(&mut self) -> Option<Overdue> {
        let now = self.ports.clock.boot_now();
        let (_, entry) = self.next_unconfirmed().filter(|(until, _)| *until <= now)?;
        self.undo_not_before.retain(|_, until| *until > now);
        self.undo_not_before.insert(entry.id, now.plus(RETRY_UNDO_MS));
        let gpu = entry.subject().gpu()?;
        let bounds = entry.plan.bounds;
        let (what, undo) = match (&bounds.target, entry.before) {
            (Target::Mig(_), Former::Mig(home)) => {
                let act = entry.operation;
                ("change of MIG", Unconfirmed::Mig(Box::new(MigTakeBackRequest { gpu, act, bounds, home })))
            }
            (Target::Functions(_) | Target::Mig(_), Former::Functions(_) | Former::Mig(_)) => {
                ("binding", Unconfirmed::Binding(gpu))
            }
        };
        tracing::warn!(
            message_id = Message::ChangeNotConfirmed.id(),
            gpu_bdf = %gpu,
            "the {what} of {gpu} was not confirmed in time and is being undone"
        );
        Some(Overdue(undo))
    }

    /// Takes a change in: its lanes are taken when this returns, and given back by [`ChangeExecutor::conclude`].
    pub(crate) fn admit(
        &mut self,
        change: Change,
        is_dry_run: bool,
        actor: Actor,
        job: JobId,
    ) -> Result<Admitted<A, J, K>, Refusal> {
        let bounds = change.bounds(&self.observation.borrow())?;
        self.must_be_read(&bounds)?;
        let too_often = self.must_keep_to_the_terms(&change, is_dry_run, actor)?;
        let record = self.record_of(&change, &bounds)?;
        must_have_the_lanes_of(record.as_ref(), &bounds)?;
        self.lanes.take(&bounds.lanes)?;
        let id = record.as_ref().map_or_else(|| self.next_id(), |record| record.id);
        if !is_dry_run {
            self.publisher.note(|records| records.begin(bounds.target.functions()));
        }
        let task = Task {
            change,
            is_dry_run,
            job,
            actor,
            observer: self.observer.clone(),
            observation: self.observation.clone(),
            id,
            bounds: bounds.clone(),
            owned: self.owned_by(&bounds),
            too_often,
            record,
            policy: Arc::clone(&self.policy.borrow()),
        };
        Ok(Admitted { work: Work::Change(Box::new(task), self.ports.clone()), under_way: UnderWay { bounds, id } })
    }

    /// Takes in that somebody confirms a binding. It waits for no lane: where the GPU is being changed, that is reported.
    pub(crate) fn admit_confirmation(&mut self, gpu: PciAddress) -> Result<Admitted<A, J, K>, Refusal> {
        let seen = bounds_of(&self.observation.borrow(), gpu);
        seen.map_or(Ok(()), |bounds| self.must_be_read(&bounds))?;
        let record = self.records.borrow().given(gpu).cloned();
        let nothing =
            || Refusal::Conflict { why: format!("{gpu} is not bound for passthrough: there is nothing to confirm") };
        let record = record.ok_or_else(nothing)?;
        let under_way = UnderWay { bounds: record.plan.bounds.clone(), id: record.id };
        self.lanes.take(&under_way.bounds.lanes)?;
        let confirmation = Confirmation { gpu, record: Box::new(record) };
        Ok(Admitted { work: Work::Confirm(confirmation, self.ports.clone()), under_way })
    }

    /// The record that a change goes on from. A change of MIG on trial is undone or confirmed before the GPU is changed in another way:
    /// what it returns to would be another state.
    fn record_of(&self, change: &Change, bounds: &Bounds) -> Result<Option<Entry>, Refusal> {
        let records = self.records.borrow();
        let on_trial = bounds.target.functions().iter().find_map(|gpu| records.mig_on_trial(*gpu));
        let Some(entry) = on_trial else { return Ok(records.at(bounds).cloned()) };
        if matches!(change, Change::MigTakeBack(_)) && entry.unconfirmed_until().is_some() {
            return Ok(Some(entry.clone()));
        }
        let address = entry.subject().gpu().map_or_else(|| "ADDRESS".to_owned(), |gpu| gpu.to_string());
        let why = format!(
            "{} was changed on trial; confirm that first (`gpuhostctl mig confirm {address}`), or wait until it is undone",
            entry.subject()
        );
        Err(Refusal::Busy { why })
    }

    /// Takes in that a change of MIG is confirmed.
    pub(crate) fn admit_mig_confirmation(&mut self, gpu: PciAddress) -> Result<Admitted<A, J, K>, Refusal> {
        let record = self.records.borrow().mig_on_trial(gpu).cloned();
        let nothing =
            || Refusal::Conflict { why: format!("no change of MIG of {gpu} is on trial: there is nothing to confirm") };
        let record = record.ok_or_else(nothing)?;
        let under_way = UnderWay { bounds: record.plan.bounds.clone(), id: record.id };
        let owned = self.settled_by(&under_way.bounds);
        self.lanes.take(&under_way.bounds.lanes)?;
        let confirmation = MigConfirmation { gpu, record: Box::new(record), owned };
        Ok(Admitted { work: Work::ConfirmMig(confirmation, self.ports.clone()), under_way })
    }

    const fn next_id(&mut self) -> ChangeId {
        self.last_number = self.last_number.saturating_add(1);
        ChangeId::Number(self.last_number)
    }

    /// What the subject returns to may stand in a document that could not be read.
    fn must_be_read(&self, bounds: &Bounds) -> Result<(), Refusal> {
        let Some(blocker) = self.records.borrow().unread(bounds).map(Unread::blocker) else { return Ok(()) };
        Err(blocked(bounds.subject, blocker))
    }

    /// Changes that were made count, attempts that were refused do not: who frees a GPU and asks again is no flood. What the daemon
    /// takes back counts as well, and is never put off: it was promised for that time, and the binding was counted before it. Returns
    /// the refusal of a change that would be one too many: whether it would be one at all only its plan shows.
    fn must_keep_to_the_terms(
        &mut self,
        change: &Change,
        is_dry_run: bool,
        actor: Actor,
    ) -> Result<Option<Refusal>, Refusal> {
        let subject = change.subject();
        let terms = self.policy.borrow().terms(change.act(), actor.origin.requester(), subject.gpu());
        let longest = terms.confirm_most_ms.unwrap_or_default();
        if change.confirm_within_ms().is_some_and(|millis| millis > longest) {
            let why = format!("expected at most {} seconds", longest / 1000);
            return Err(Refusal::InvalidArgument { argument: "confirm-within".to_owned(), why });
        }
        let is_held = match actor.origin {
            Origin::LocalUser | Origin::LocalFile | Origin::Manager => !is_dry_run,
            Origin::Daemon => false,
        };
        let now = self.ports.clock.boot_now();
        let limited = is_held.then(|| self.rates.blocker(subject, terms.changes_per_minute, now)).flatten();
        Ok(limited.map(|blocker| blocked(subject, blocker)))
    }

    /// The end of an admitted change, for its job. Its lanes are free again, unless what it left hangs.
    pub(crate) fn conclude(&mut self, under_way: UnderWay, ended: Ended) -> JobEnd {
        let UnderWay { bounds, id } = under_way;
        let now = self.now();
        let is_overdue = self.records.borrow().is_mig_overdue(id, now.boot);
        if let Some(why) = ended.end.as_ref().err().filter(|_| is_overdue).map(ToString::to_string) {
            self.publisher.note(|records| records.keep_not_undone(id, why));
        }
        if ended.is_made {
            self.rates.count(bounds.subject, now.boot);
        }
        if let Some(owned) = ended.owned {
            self.publisher.note(|records| records.own(owned));
        }
        self.publisher.note(|records| {
            records.end(bounds.target.functions());
            if let (Target::Mig(MigTarget { uuid, .. }), true) = (&bounds.target, ended.is_made) {
                records.mig_changed(uuid.clone());
            }
            if let Left::Now(left) = ended.left {
                records.keep(id, left.map(|entry| *entry), now);
            }
        });
        match ended.stuck {
            Some(why) => self.lanes.keep(&bounds.lanes, &why),
            None => self.lanes.give_back(&bounds.lanes),
        }
        if ended.is_made {
            // The driver's list and the bindings are other ones now.
            let _full = self.observer.try_send(Ask::Look(AFTER_A_CHANGE, oneshot::channel().0));
        }
        ended.end
    }

    /// A bug of ours in the middle of a change: the journal holds it, and nobody may write over it.
    pub(crate) fn broke_off(&mut self, under_way: UnderWay, said: String) -> JobEnd {
        let said = format!("it was aborted: {said}");
        let end = Err(Refusal::HostFault { attempted: "run the change".to_owned(), said: said.clone() });
        self.conclude(under_way, Ended { end, left: Left::AsBefore, stuck: Some(said), is_made: true, owned: None })
    }
}

fn blocked(subject: Subject, blocker: Blocker) -> Refusal {
    refused(subject, vec![blocker]).unwrap_or_else(|| Refusal::Conflict { why: subject.to_string() })
}

/// A change goes on under the name of the record that it ends, and the name states the lanes: where the kernel has put the GPU into
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
