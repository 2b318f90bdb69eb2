//! The keeper of the desired state: what it accepts, what it saves, and what it shows when it cannot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod accepting;
mod damage;
mod local;
mod rig;
mod runs;
mod runs_world;
