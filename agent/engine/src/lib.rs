//! The running core: it observes, keeps jobs and publishes what is so. It knows ports, never an adapter.

pub mod command;
pub mod handle;
pub mod job;
