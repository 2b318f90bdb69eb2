//! MIG: the planner against exhaustive search, files, filters and names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test stops where its world is broken"
)]

mod bad_input;
mod counts;
mod exhaustive;
mod files;
mod handed;
mod handed_files;
mod host;
mod nights;
mod oracle;
mod pictures;
