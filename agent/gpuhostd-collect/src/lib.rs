//! Snapshot and doctor: what reads a whole host with the rights of its caller, and has no tie to the daemon but a question on the bus.

pub mod doctor;
pub mod snapshot;
