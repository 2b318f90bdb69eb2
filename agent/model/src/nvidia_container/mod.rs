//! The driver container and the toolkit container: what they are created from, how Docker shows them, and what can be done to them.

mod nvidia_deed;
mod nvidia_look;
mod nvidia_phase;
mod nvidia_role;
mod nvidia_spec;
mod nvidia_status;
mod nvidia_wish;
mod toolkit_probe;

pub use nvidia_deed::NvidiaDeed;
pub use nvidia_look::{ContainerRun, ImageSeen, NvidiaContainerSeen, NvidiaLook, WhyForeign};
pub use nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
pub use nvidia_role::NvidiaRole;
pub use nvidia_spec::{DriverOptions, DriverRootKind, KernelModuleType, NvidiaOptions, NvidiaSpec, ToolkitOptions};
pub use nvidia_status::{NvidiaState, NvidiaStatus};
pub use nvidia_wish::{BadNvidiaImage, DriverRootWish, NvidiaImage, NvidiaWish};
pub use toolkit_probe::{ToolkitProbe, ToolkitWay};

/// Prefix of the labels of every container of ours.
pub const LABELS: &str = "org.gpuhost.Agent1.";
