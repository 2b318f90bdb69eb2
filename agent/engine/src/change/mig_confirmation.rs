//! The confirmation of a change of MIG: whose the instances are is written down, and nothing else remains of it.

use super::change_end::{Ended, Left, as_outcome};
use super::drive::{owned_after, put, remember};
use crate::job::JobOutcome;
use model::PciAddress;
use model::change::{Entry, Phase};
use model::mig::MigOwned;
use model::ports::JournalPort;
use model::refusal::Refusal;

/// A change of MIG that is confirmed.
pub(crate) struct MigConfirmation {
    /// The GPU.
    pub(super) gpu: PciAddress,
    /// Its record.
    pub(super) record: Box<Entry>,
    /// The record of the instances that are ours, as it was before the change.
    pub(super) owned: Option<MigOwned>,
}

impl MigConfirmation {
    /// The entry is made a confirmed one first: a daemon that finds it closes it.
    pub(super) async fn run<J: JournalPort>(self, journal: &J) -> Ended {
        let Self { gpu, record, owned } = self;
        let failed = |fault: &dyn std::fmt::Display, left| {
            let attempted = format!("record that the change of MIG of {gpu} is confirmed");
            let refusal = Refusal::HostFault { attempted, said: fault.to_string() };
            Ended { left, ..Ended::early(Err(refusal)) }
        };
        let standing = record.in_phase(Phase::Standing);
        if let Err(fault) = put(journal, &standing).await {
            return failed(&fault, Left::AsBefore);
        }
        let owned = owned.map(|owned| owned_after(&owned, &standing));
        if let Some(owned) = &owned {
            remember(journal, owned).await;
        }
        let ended = match journal.remove(&standing.name()).await {
            Ok(()) => Ended { left: Left::Now(None), ..Ended::early(as_outcome(JobOutcome::Done)) },
            Err(fault) => failed(&fault, Left::Now(Some(Box::new(standing)))),
        };
        Ended { owned, ..ended }
    }
}
