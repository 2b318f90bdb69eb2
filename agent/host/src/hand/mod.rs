//! What only the hands may use: it starts processes and talks to Docker.

mod bound;
pub mod capability;
pub mod change;
pub mod docker;
pub mod holders;
mod nvml;
pub mod probe;
pub mod process;
mod smi;
