//! Changes of the host: each is admitted to its lanes, planned, driven to its end in a task of its own, and concluded.

mod change_end;
mod drive;
mod executor;
mod lanes;
mod mig_confirmation;
mod overlay;
mod ports;
mod rate;
mod records;
mod recover;
mod task;
mod unread;

use model::message::Message;

pub use executor::RETRY_UNDO_MS;
pub use overlay::overlay;
pub use ports::ChangePorts;
pub use records::Records;
pub use recover::RECOVER_WITHIN_MS;

pub(crate) use change_end::Ended;
pub(crate) use executor::{Admitted, ChangeExecutor, ExecutorParts, UnderWay};
pub(crate) use task::refused as refusal_of_act;

/// MESSAGE_ID of the audit record of a change that is about to be made: actor, job, GPU and plan.
pub const MESSAGE_CHANGE_BEGAN: &str = Message::ChangeBegan.id();
/// MESSAGE_ID of the audit record of a change that has ended, with how.
pub const MESSAGE_CHANGE_ENDED: &str = Message::ChangeEnded.id();
/// MESSAGE_ID of what was done about an entry that an earlier run of the daemon left in the journal.
pub const MESSAGE_CHANGE_RECOVERED: &str = Message::ChangeRecovered.id();
