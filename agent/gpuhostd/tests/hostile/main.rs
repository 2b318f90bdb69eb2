//! The check-in against a manager that means harm, or against what answers in its place: over real TLS, byte by byte. Whatever
//! comes, the heartbeat goes on, at the next manager or in its slot; nothing of the host changes, and the heap stays bounded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod attack;
#[path = "../checkin/clock.rs"]
#[allow(dead_code, reason = "the tests of the check-in use the rest of it")]
mod clock;
mod framing;
mod handshakes;
mod remembered;
mod sizes;
mod slow;
#[path = "../checkin/world.rs"]
#[allow(dead_code, reason = "the tests of the check-in use the rest of it")]
mod world;

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
