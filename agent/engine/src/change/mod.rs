//! Changes of the host under way: one task takes them in, gives each its lane, drives it to its end, and keeps the records.

mod drive;
mod lanes;
mod overlay;
mod records;
mod run;
mod task;

pub use overlay::overlay;
pub use records::Records;
pub use run::{Asked, Change, ChangePorts, Changer, News, RECOVER_WITHIN_MS, RETRY_UNDO_MS};

/// MESSAGE_ID of the audit record of a change that is about to be made: actor, job, GPU and plan.
pub const MESSAGE_CHANGE_BEGAN: &str = "6c1d3f0a2f7e4f1d8b4f7b8f0d6c9e21";
/// MESSAGE_ID of the audit record of a change that has ended, with how.
pub const MESSAGE_CHANGE_ENDED: &str = "b7d9a4c07c0b4be1a9d7d2b8c6f31e54";
/// MESSAGE_ID of what was done about an entry that an earlier run of the daemon left in the journal.
pub const MESSAGE_CHANGE_RECOVERED: &str = "3e9f4d5b8a3c4a6f9c1e7a2d4b5f6081";
