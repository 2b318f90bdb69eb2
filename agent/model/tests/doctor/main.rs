//! The doctor: each check with the facts that trip it and those that nearly do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod cases;
mod checks;
mod world;
