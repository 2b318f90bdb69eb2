//! The Linux adapters behind the model's ports, in two halves: what only reads, and what acts.

pub mod doctor;
pub mod front;
pub mod hand;
mod readiness;
pub mod snapshot;
pub mod spawn;
