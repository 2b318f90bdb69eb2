//! The simulated host: what it shows, what it refuses as the kernel does, and what it keeps of a snapshot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod built_in;
mod doctor;
mod faults;
mod health;
mod kernel_rules;
mod snapshots;
