//! The command line as people and scripts use it: the program itself, against a daemon's face on a private bus.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod changes;
mod cloud_init;
mod completion;
mod desired;
mod doctor;
#[path = "../../../model/tests/doctor/world.rs"]
mod doctor_world;
mod events;
mod import_kasm;
mod kernel_log;
mod looks;
mod mig;
mod mig_live;
mod nvidia_wait;
mod offline;
#[path = "../../../gpuhostd/tests/bus/rig/mod.rs"]
mod rig;
mod run;
mod tables;
mod top;
mod workspaces;
