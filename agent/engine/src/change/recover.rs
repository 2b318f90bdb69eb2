//! What is done at the start about the journal that an earlier run of the daemon left.

use super::MESSAGE_CHANGE_RECOVERED;
use super::drive::{drive, owned_after, remember};
use super::executor::ChangeExecutor;
use super::unread;
use model::change::{AtStart, ChangeMachine, Entry, Outcome, Phase, Unread, at_start, sort_out};
use model::message::Message;
use model::plan::Target;
use model::ports::{ActPort, Clock, JournalError, JournalPort};
use std::sync::Arc;

/// One entry has so long to be restored at the start; one that hangs is quarantined and the start goes on.
pub const RECOVER_WITHIN_MS: u64 = 10_000;
/// The same for a MIG layout: a GPU instance takes seconds.
const RECOVER_MIG_WITHIN_MS: u64 = 60_000;

const fn recover_within_ms(target: &Target) -> u64 {
    match target {
        Target::Functions(_) => RECOVER_WITHIN_MS,
        Target::Mig(_) => RECOVER_MIG_WITHIN_MS,
    }
}

impl<A: ActPort, J: JournalPort, K: Clock> ChangeExecutor<A, J, K> {
    /// Reads the journal and undoes what is open, before anybody can ask for anything. An entry that takes too
    /// long is quarantined.
    ///
    /// # Errors
    /// The journal cannot be read at all. A document that is no entry is reported (condition `change_journal_unreadable`), and
    /// left as it is.
    pub(crate) async fn recover(&mut self) -> Result<(), JournalError> {
        let found = sort_out(self.ports.journal.read_all().await?, &self.ports.boot_id);
        self.last_number = found.last_number;
        self.leave_alone(found.unread);
        self.publisher.note(|records| found.owned.into_iter().for_each(|owned| records.own(owned)));
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
                "the journal entry {name} ({place}) cannot be decoded and is kept as it is: {why}"
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
        let what = at_start(&entry, &self.ports.boot_id);
        tracing::info!(
            message_id = MESSAGE_CHANGE_RECOVERED,
            name,
            gpu_bdf = subject.gpu().map(tracing::field::display),
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
            AtStart::Close => self.close(entry).await,
            AtStart::Restore => {
                let ports = self.ports.clone();
                let machine = ChangeMachine::recover(entry.clone(), ports.clock.boot_now());
                let owned = self.owned_by(&entry.plan.bounds);
                let deadline = ports.clock.boot_now().plus(recover_within_ms(&entry.plan.bounds.target));
                let ended = tokio::select! {
                    (outcome, machine) = drive(machine, &ports, owned.as_ref(), |_, _| {}) => {
                        Some((outcome, machine))
                    }
                    () = ports.clock.sleep_until(deadline) => None,
                };
                self.recovered(entry, ended);
            }
        }
    }

    /// A change of MIG that was confirmed: whose the instances are is written down, and its entry is removed.
    async fn close(&mut self, entry: Entry) {
        if let Some(owned) = self.settled_by(&entry.plan.bounds) {
            let owned = owned_after(&owned, &entry);
            remember(&*self.ports.journal, &owned).await;
            self.publisher.note(|records| records.own(owned));
        }
        let (name, id) = (entry.name(), entry.id);
        match self.ports.journal.remove(&name).await {
            Ok(()) => self.remember(id, None),
            Err(fault) => {
                tracing::warn!(
                    message_id = Message::ChangeEntryStays.id(),
                    "the journal entry {name} of a change that was confirmed could not be removed: {fault}"
                );
                self.remember(id, Some(entry));
            }
        }
    }

    fn recovered(&mut self, entry: Entry, ended: Option<(Outcome, ChangeMachine)>) {
        let (name, id, subject) = (entry.name(), entry.id, entry.subject());
        let stuck = match ended {
            Some((Outcome::Done, machine)) => {
                if machine.entry().settles_owned() {
                    self.own(machine.entry());
                }
                return self.remember(id, None);
            }
            Some((Outcome::Restored(_) | Outcome::Untouched(_), machine)) => {
                return self.remember(id, machine.record_when_restored());
            }
            Some((Outcome::Quarantined(trouble), _)) => trouble.to_string(),
            None => format!("it was not restored within {} ms", recover_within_ms(&entry.plan.bounds.target)),
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
}
