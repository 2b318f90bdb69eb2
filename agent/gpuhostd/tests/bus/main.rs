//! The D-Bus face on a private dbus-daemon with the policy that we ship, seen through busctl and through clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod attacks;
mod callers;
mod changes;
mod desired;
mod gate;
mod golden;
mod lifecycle;
mod mig;
mod polkit;
mod reads;
mod rig;
mod subject;
mod workspaces;
