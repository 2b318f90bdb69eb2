//! What only the hands may use: it starts processes and talks to Docker.

pub mod docker;
mod nvml;
pub mod probe;
pub mod process;
mod smi;
