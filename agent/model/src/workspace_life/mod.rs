//! The life of workspaces: how Docker shows their containers, what can be done to them, and what of it is to be done next.

mod container_use;
mod disk_room;
mod image_ask;
mod image_entry;
mod image_prune;
mod image_steps;
mod image_wishes;
mod images_record;
mod images_state;
mod job_mapping;
mod mig_leave;
mod mig_wait;
mod pull_failure;
mod removal_gate;
mod why_not_ours;
mod wished_images;
mod workspace_allocation;
mod workspace_ask;
mod workspace_decide;
mod workspace_deed;
mod workspace_ending;
mod workspace_facts;
mod workspace_figures;
mod workspace_gpu_look;
mod workspace_gpu_memory;
mod workspace_gpu_needs;
mod workspace_gpu_probe;
mod workspace_gpu_turn;
mod workspace_gpu_use;
mod workspace_host;
mod workspace_host_side;
mod workspace_look;
mod workspace_memory;
mod workspace_pace;
mod workspace_record;
mod workspace_running;
mod workspace_shown;
mod workspace_slots;
mod workspace_status;
mod workspace_step;
mod workspace_turn;
mod workspace_wishes;
mod workspace_world;

pub use container_use::{ContainerProcess, ContainerUse, ContainerUseAsked, NetworkCounters, container_among};
pub use disk_room::DiskRoom;
pub use image_ask::ImageAsk;
pub use image_prune::{
    DiskWanted, ImagePrunePlan, ImagePruneWorld, OurImage, StoredImage, WhyKept, note_needed_images, plan_image_prune,
};
pub use image_wishes::{ImageWish, image_wishes};
pub use images_record::{BadImagesRecord, ImagesRecord};
pub use images_state::{ImageRow, ImagesState};
pub use job_mapping::{is_job_mapping_name, job_mapping};
pub use mig_wait::{MigLeave, MigLeaves, without_leaving};
pub use pull_failure::pull_failure_code;
pub use why_not_ours::WhyNotOurs;
pub use wished_images::{WishedImages, wished_images};
pub use workspace_allocation::WorkspaceAllocation;
pub use workspace_ask::WorkspaceAsk;
pub use workspace_decide::decide_workspaces;
pub use workspace_deed::WorkspaceDeed;
pub use workspace_facts::WorkspaceFacts;
pub use workspace_figures::{CgroupFigures, CgroupFile, WorkspaceFigures, WorkspaceSamples};
pub use workspace_gpu_look::{CgroupVerdict, ContainerNode, DeviceVerdict, GpuVerdict, WorkspaceGpuLook};
pub use workspace_gpu_memory::WorkspaceGpuMemory;
pub use workspace_gpu_needs::{GpuNode, WorkspaceGpuNeeds};
pub use workspace_gpu_probe::{WorkspaceGpuProbe, WorkspaceStart};
pub use workspace_gpu_use::gpu_memory_used;
pub use workspace_host::described;
pub use workspace_host_side::WorkspaceHostSide;
pub use workspace_look::{WorkspaceLook, WorkspaceSeen};
pub use workspace_memory::{ImageMemory, RemovalMemory, WorkspaceMemory, WorkspacesMemory};
pub use workspace_pace::{WorkspaceGate, WorkspacePace};
pub use workspace_record::{BadWorkspacesRecord, LocalWorkspace, WorkspacesRecord};
pub use workspace_status::{
    ForeignWorkspace, ImageStatus, RemovalsHeld, StaleDriver, UnreadWorkspace, WorkspaceReason, WorkspaceState,
    WorkspaceStatus, WorkspacesState,
};
pub use workspace_turn::WorkspacesTurn;
pub use workspace_wishes::WorkspaceWishes;
pub use workspace_world::{WorkspaceLimits, WorkspaceLists, WorkspacesDoing, WorkspacesWorld};
