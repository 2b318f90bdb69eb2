//! The shipped daemon, killed at one instant after the other, and its files damaged while it is down or runs: over TLS, with its
//! hands. An instant is the number of a system call, so that a slow machine and a fast one have the same. `make test` runs it alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod credentials;
mod documents;
mod ledger;
mod place;
mod wisher;
