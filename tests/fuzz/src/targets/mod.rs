//! The targets, one file each.

pub mod cdi;
pub mod checkin;
pub mod config;
pub mod daemon_json;
pub mod description;
pub mod desired;
pub mod docker;
pub mod events;
pub mod frame;
pub mod ids;
pub mod iommu;
pub mod kernel_log;
pub mod mig_file;
pub mod mig_names;
pub mod mig_plan;
pub mod mountinfo;
pub mod pci;
pub mod reply;
pub mod smi;
pub mod workspace;

/// An input that no limit of any target should let through whole: the same text very often.
fn often(text: &str, times: usize) -> Vec<u8> {
    text.repeat(times).into_bytes()
}
