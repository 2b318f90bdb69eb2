//! Drives the machine of one change over the ports. It decides nothing: what to do next is the machine's answer.

use super::ports::ChangePorts;
use model::change::{ChangeMachine, Effect, Entry, Event, Outcome, encode};
use model::os_cause::OsCause;
use model::ports::{ActPort, Clock, JournalError, JournalPort};

/// Drives it to its end. `tell` hears of each step before it is taken.
pub(super) async fn drive<A: ActPort, J: JournalPort, K: Clock>(
    mut machine: ChangeMachine,
    ports: &ChangePorts<A, J, K>,
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

/// Writes an entry to the journal.
pub(super) async fn put<J: JournalPort>(journal: &J, entry: &Entry) -> Result<(), JournalError> {
    let document = encode(entry).map_err(|fault| JournalError {
        attempted: "encode".to_owned(),
        path: entry.name().into(),
        cause: OsCause::found(fault.to_string()),
    })?;
    journal.put(&entry.name(), document).await
}
