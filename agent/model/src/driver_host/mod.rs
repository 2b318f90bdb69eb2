//! The host that a driver container runs on: what speaks against it, which image fits, when the driver is ready, and what is mounted.

mod config_digest;
mod driver_host_facts;
mod driver_host_step;
mod driver_image;
mod driver_readiness;
mod mount_plan;
mod mounts;
mod preflight;
mod preflight_refused;
mod readiness_files;
mod toolkit_version;

pub use config_digest::{DRIVER_CONFIG_DIGEST, driver_config_digest};
pub use driver_host_facts::{DriverHostFacts, GpuBinding, HostLibrary, KernelModule, PackageTool};
pub use driver_host_step::{DriverHostDeed, DriverHostStep, DriverHostUnfit};
pub use driver_image::{DriverImage, DriverImageFault, DriverImageTag, OsTag, driver_image};
pub use driver_readiness::{DriverAnswer, DriverReadiness, FabricOfGpu, NotReady, READY_WITHIN, driver_readiness};
pub use mount_plan::{BUSY_MOUNT, LazyUnmountReason, MountStep, is_busy_mount, next_unmount, share_plan, unshare_step};
pub use mounts::{DRIVER_ROOT, MOUNTINFO_MAX_BYTES, Mount, RUN_NVIDIA, RunNvidiaMounts, SHARED_BY_US};
pub use preflight::{
    DRIVER_BUILD_BYTES, DRIVER_IMAGE_BYTES, DRIVER_INSTALL_BYTES, DriverPlanned, Preflight, preflight,
};
pub use preflight_refused::{HostDriverTrace, PreflightCaution, PreflightRefused};
pub use readiness_files::{READINESS_FILES, ReadinessFile, VALIDATIONS, readiness_content};
pub use toolkit_version::{TOOLKIT_FIXES, TOOLKIT_FLOOR, ToolkitBelowFloor, ToolkitVersion, ToolkitVersionFault};

#[cfg(test)]
mod tests;
