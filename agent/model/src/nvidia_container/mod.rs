//! The driver container and the toolkit container: what they are created from, how Docker shows them, and what can be done to them.

mod docker_cdi;
mod docker_cdi_memory;
mod driver_host_memory;
mod driver_host_seen;
mod gpu_access_memory;
mod nvidia_conditions;
mod nvidia_decide;
mod nvidia_deed;
mod nvidia_driver_host;
mod nvidia_failures;
mod nvidia_gpu_access;
mod nvidia_images;
mod nvidia_look;
mod nvidia_memory;
mod nvidia_phase;
mod nvidia_record;
mod nvidia_role;
mod nvidia_role_view;
mod nvidia_runtime;
mod nvidia_settle;
mod nvidia_spec;
mod nvidia_status;
mod nvidia_target;
mod nvidia_turn;
mod nvidia_unwished;
mod nvidia_wish;
mod nvidia_wished;
mod nvidia_world;
mod toolkit_probe;

pub use docker_cdi::docker_running;
pub use docker_cdi_memory::DockerCdiMemory;
pub use driver_host_memory::DriverHostMemory;
pub use driver_host_seen::DriverHostSeen;
pub use gpu_access_memory::{GpuAccessBegun, GpuAccessMemory, ToolkitProbed};
pub use nvidia_conditions::{NVIDIA_CONDITIONS, nvidia_conditions};
pub use nvidia_decide::decide;
pub use nvidia_deed::NvidiaDeed;
pub use nvidia_failures::{NvidiaFailures, NvidiaGate};
pub use nvidia_images::nvidia_image;
pub use nvidia_look::{ContainerRun, ImageSeen, NvidiaContainerSeen, NvidiaLook, WhyForeign};
pub use nvidia_memory::{FailedNvidiaSpec, KnownNvidiaSpec, NvidiaBegun, NvidiaMemory, NvidiaStart};
pub use nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
pub use nvidia_record::{BadNvidiaRecord, NvidiaRecord, RuntimeMemory, RuntimeOurs};
pub use nvidia_role::NvidiaRole;
pub use nvidia_runtime::nvidia_runtime_entry;
pub use nvidia_spec::{DriverOptions, DriverRootKind, KernelModuleType, NvidiaOptions, NvidiaSpec, ToolkitOptions};
pub use nvidia_status::{NvidiaState, NvidiaStatus};
pub use nvidia_target::{driver_config_planned, image_to_look_at, record_for};
pub use nvidia_turn::{NvidiaAct, NvidiaRoleTurn, NvidiaTurn};
pub use nvidia_wish::{BadNvidiaImage, DriverRootWish, NvidiaImage, NvidiaWish};
pub use nvidia_world::{NvidiaActAnswer, NvidiaActEnd, NvidiaHostAsked, NvidiaHostSeen, NvidiaRefused, NvidiaWorld};
pub use toolkit_probe::{ToolkitProbe, ToolkitWay};

/// Prefix of the labels of every container of ours.
pub const LABELS: &str = "org.gpuhost.Agent1.";
