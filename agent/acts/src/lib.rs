//! What the hands do on a Linux host, as far as it is done in the hand itself: it checks, starts a disposable child for whatever may
//! hang, and reads what the child reports.

pub mod cdi;
pub mod change;
mod child_fault;
pub mod container_devices;
pub mod device_groups;
mod device_links;
pub mod docker_config;
pub mod driver_host;
mod exited;
pub mod holders;
pub mod mig;
pub mod probe;
mod smi;
pub mod toolkit_programs;
