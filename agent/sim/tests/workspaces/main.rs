//! Workspaces against the simulated Docker: its rules, and the life of workspaces under faults and crashes at every moment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod any_sequence;
mod described;
mod host_seen;
mod life;
mod life_faults;
mod lives;
mod never;
mod rules;
mod stories;
mod wishes;
