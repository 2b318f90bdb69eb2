//! The check-in in virtual time: when it sends, to which manager, and what it does after each answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod answers;
mod credentials;
mod fleet;
mod fleet_day;
mod fleet_host;
mod fleet_outcome;
mod fleet_scenario;
mod fleet_world;
mod herd;
mod managers;
mod poll;
mod poll_herd;
mod timing;
mod world;
