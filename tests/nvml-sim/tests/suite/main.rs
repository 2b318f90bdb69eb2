//! The simulated NVML, loaded as the real one is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops where its world is broken"
)]

mod common;
mod faults;
mod reads;
