//! Drives the machine of one change over the ports. It decides nothing: what to do next is the machine's answer.

use super::executor::ChangePorts;
use model::change::{Do, Entry, Happened, Machine, Outcome, encode};
use model::ports::{ActPort, Clock, JournalPort};

/// Drives it to its end. `tell` hears of each step before it is taken.
pub(super) async fn drive<A: ActPort, J: JournalPort, K: Clock>(
    mut machine: Machine,
    ports: &ChangePorts<A, J, K>,
    tell: impl Fn(&Machine, &Do),
) -> (Outcome, Machine) {
    let ChangePorts { act, journal, clock, .. } = ports;
    loop {
        machine.at(clock.boot_now());
        let to_do = machine.to_do();
        tell(&machine, &to_do);
        let target = machine.entry().plan.bounds.target.clone();
        let happened = match to_do {
            Do::Journal(entry) => Happened::Journaled(put(&**journal, &entry).await),
            Do::Forget => {
                let name = machine.entry().name();
                Happened::Journaled(journal.remove(&name).await.map_err(|fault| fault.to_string()))
            }
            Do::Look => Happened::Looked(act.look(&target).await.map(Box::new)),
            Do::Take(step) => Happened::Took(act.act(&target, &step).await),
            Do::End(outcome) => return (outcome, machine),
        };
        machine.happened(happened);
    }
}

/// Writes an entry to the journal.
pub(super) async fn put<J: JournalPort>(journal: &J, entry: &Entry) -> Result<(), String> {
    let document = encode(entry).map_err(|fault| fault.to_string())?;
    journal.put(&entry.name(), document).await.map_err(|fault| fault.to_string())
}
