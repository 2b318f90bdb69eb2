//! The vocabulary and every decision of gpuhostd: types, parsers of bytes, pure planners and the ports to the host.
//!
//! Nothing here touches a file, a process, a socket or a clock; the compiler and clippy hold that.

pub mod absence;
pub mod blocker;
pub mod causes;
pub mod cdi;
pub mod change;
pub mod checkin;
pub mod claim;
pub mod condition;
pub mod container_claims;
pub mod daemon_json;
pub mod desired;
pub mod docker;
pub mod docker_config;
pub mod doctor;
pub mod driver;
pub mod driver_source;
pub mod enrol;
pub mod features;
pub mod fields;
pub mod health;
pub mod holders;
pub mod host_facts;
pub mod ids;
pub mod image_ref;
pub mod iomem;
pub mod json;
pub mod judge;
pub mod log_limit;
pub mod machine_kind;
pub mod message;
pub mod metric;
pub mod mig;
pub mod nvidia_container;
pub mod observation;
pub mod os_cause;
pub mod passthrough;
pub mod pci;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod printable;
pub mod reconcile;
pub mod refusal;
pub mod roster;
pub mod settings;
pub mod smi;
pub mod snapshot;
pub mod stack;
pub mod time;
pub mod verdict_reasons;
mod version;
pub mod workspace;

pub use absence::{Absence, Reading};
pub use ids::{DriverName, GpuUuid, IommuGroupId, JobId, MigUuid, PciAddress, PciClass, PciId};
