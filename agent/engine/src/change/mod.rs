//! Changes of the host under way: one task takes them in, gives each its lane, drives it to its end, and keeps the records.

mod drive;
mod lanes;
mod overlay;
mod records;
mod run;
mod task;
mod unread;

use model::message::Message;

pub use overlay::overlay;
pub use records::Records;
pub use run::{Asked, Change, ChangePorts, Changer, News, RECOVER_WITHIN_MS, RETRY_UNDO_MS};

/// MESSAGE_ID of the audit record of a change that is about to be made: actor, job, GPU and plan.
pub const MESSAGE_CHANGE_BEGAN: &str = Message::ChangeBegan.id();
/// MESSAGE_ID of the audit record of a change that has ended, with how.
pub const MESSAGE_CHANGE_ENDED: &str = Message::ChangeEnded.id();
/// MESSAGE_ID of what was done about an entry that an earlier run of the daemon left in the journal.
pub const MESSAGE_CHANGE_RECOVERED: &str = Message::ChangeRecovered.id();
