//! Drives the machine of one change over the ports. It decides nothing: what to do next is the machine's answer.

use super::ports::ChangePorts;
use model::change::{ChangeMachine, Effect, Entry, Event, Outcome, encode};
use model::message::Message;
use model::mig::MigOwned;
use model::os_cause::OsCause;
use model::plan::Postcondition;
use model::ports::{ActPort, Clock, JournalError, JournalPort};

/// Drives it to its end. `tell` hears of each step before it is taken.
pub(super) async fn drive<A: ActPort, J: JournalPort, K: Clock>(
    mut machine: ChangeMachine,
    ports: &ChangePorts<A, J, K>,
    owned: Option<&MigOwned>,
    tell: impl Fn(&ChangeMachine, &Effect),
) -> (Outcome, ChangeMachine) {
    let ChangePorts { act, journal, clock, .. } = ports;
    loop {
        machine.at(clock.boot_now());
        let to_do = machine.to_do();
        tell(&machine, &to_do);
        let target = machine.entry().plan.bounds.target.clone();
        let happened = match to_do {
            Effect::Journal(entry) => Event::Journaled(put(&**journal, &entry).await),
            Effect::Forget => {
                if let Some(owned) = owned.filter(|_| machine.is_committing() && machine.entry().settles_owned()) {
                    remember(&**journal, &owned_after(owned, machine.entry())).await;
                }
                let name = machine.entry().name();
                Event::Journaled(journal.remove(&name).await)
            }
            Effect::Look => Event::Looked(act.look(&target).await.map(Box::new)),
            Effect::Take(step) => Event::Took(act.act(&target, &step).await),
            Effect::End(outcome) => return (outcome, machine),
        };
        machine.happened(happened);
    }
}

/// The record of the instances that are ours, after a change that is done.
pub(super) fn owned_after(owned: &MigOwned, entry: &Entry) -> MigOwned {
    match &entry.plan.postcondition {
        Postcondition::Mig(wanted) => owned.after(wanted, &entry.boot_id),
        Postcondition::Functions(_) => owned.clone(),
    }
}

/// Writes down which MIG instances are ours. Where that fails the change is done all the same: after a restart they count as
/// foreign, and are left alone.
pub(super) async fn remember<J: JournalPort>(journal: &J, owned: &MigOwned) {
    let failed = match owned.encode() {
        Ok(document) => journal.put(&owned.name(), document).await.map_err(|fault| fault.to_string()),
        Err(fault) => Err(fault.to_string()),
    };
    if let Err(why) = failed {
        tracing::error!(
            message_id = Message::MigRecordNotSaved.id(),
            gpu_uuid = %owned.gpu,
            "which MIG instances of {} gpuhostd has created could not be saved, and after a restart they count as foreign: {why}",
            owned.gpu
        );
    }
}

/// Writes an entry to the journal.
pub(super) async fn put<J: JournalPort>(journal: &J, entry: &Entry) -> Result<(), JournalError> {
    let document = encode(entry).map_err(|fault| JournalError {
        attempted: "encode".to_owned(),
        path: entry.name().into(),
        cause: OsCause::found(fault.to_string()),
    })?;
    journal.put(&entry.name(), document).await
}
