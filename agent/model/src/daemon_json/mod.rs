//! The file `daemon.json` of Docker: one runtime entry, and for some engines `features.cdi`, goes in and comes out again, and every other
//! byte stays.
//!
//! Pure: bytes in, bytes or a refusal out. `insert` writes one piece; its form shows `remove` what the file was like before,
//! so that taking it out gives the earlier file byte for byte ([decision](../../../../docs/decisions/0020-one-piece-in-daemon-json.md)).

mod cdi_feature;
mod edit_refused;
mod insert;
mod json_text;
mod remove;
mod runtime;
mod take_out;

pub use cdi_feature::{enables_cdi, insert_cdi, needs_cdi_feature, remove_cdi};
pub use edit_refused::Refused;
pub use insert::insert;
pub use json_text::{DEEPEST, MOST_BYTES, can_validate, reads_byte_order_mark};
pub use remove::remove;
pub use runtime::{BadEntry, RuntimeEntry, RuntimeName};
pub use take_out::{is_emptied, take_out};

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It is right as it is: nothing is written, and Docker is not reloaded.
    Unchanged,
    /// Its new content.
    Content(Vec<u8>),
    /// There was none before the entry went in: it goes.
    NoFile,
}

#[cfg(test)]
mod tests;
