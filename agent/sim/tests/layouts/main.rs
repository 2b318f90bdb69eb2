//! Changes of a MIG layout on the simulated driver: laws that hold from any layout to any wish, and nights that others lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod cards;
mod laws;
mod nights;
