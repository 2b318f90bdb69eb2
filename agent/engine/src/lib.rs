//! The running core: it observes, keeps jobs and publishes what is so. It knows ports, never an adapter.

pub mod alarm;
pub mod change;
pub mod command;
pub mod core;
pub mod handle;
mod health;
pub mod job;
pub mod kernel_log;
pub mod observer;
pub mod publish;
pub mod start;
