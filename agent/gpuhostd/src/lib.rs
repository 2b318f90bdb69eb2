//! The daemon as a library: its faces, its hands' acts and its life. `main` picks the role and the adapters.

pub mod args;
pub mod bus;
pub mod checkin;
mod conditions;
pub mod config;
pub mod doctor;
pub mod front;
pub mod lifecycle;
mod linux;
pub mod logging;
pub mod metrics;
mod notify;
mod policy;
mod remote;
mod roster;
pub mod say;
pub mod snapshot;
mod status;
