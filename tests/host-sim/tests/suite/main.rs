//! The tree of a simulated host, and the programs in it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops where its world is broken"
)]

mod cli;
mod common;
mod recorded;
mod smi;
mod software;
mod tree;
