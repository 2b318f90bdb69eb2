//! How Docker shows the containers of workspaces, and the images that are wanted for them.

use super::why_not_ours::WhyNotOurs;
use crate::ids::ContainerId;
use crate::image_ref::ImageRef;
use crate::nvidia_container::{ContainerRun, ImageSeen};
use crate::policy::Requester;
use crate::time::UnixMillis;
use crate::workspace::WorkspaceId;
use serde::{Deserialize, Serialize};

/// A fresh look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkspaceLook {
    /// Every container with the label of a workspace, in the order of creation.
    pub containers: Vec<WorkspaceSeen>,
    /// The images that were asked about, each once.
    pub images: Vec<(ImageRef, ImageSeen)>,
}

impl WorkspaceLook {
    /// What it shows of an image; absent where it was not asked about.
    #[must_use]
    pub fn image(&self, image: &ImageRef) -> ImageSeen {
        self.images.iter().find(|(one, _)| one == image).map_or(ImageSeen::Absent, |(_, seen)| seen.clone())
    }
}

/// A container that has the label of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSeen {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the slash.
    pub name: String,
    /// The workspace of its label; `None` where that is no id.
    pub workspace_id: Option<WorkspaceId>,
    /// Why it is not ours although it has our label; `None` = name, labels and devices agree.
    pub foreign: Option<WhyNotOurs>,
    /// Whose wish it is.
    pub requester: Option<Requester>,
    /// The generation that it was created from.
    pub generation: u64,
    /// Digest of the specification that it was created from.
    pub spec_digest: Option<String>,
    /// Its security context.
    pub security_context: Option<String>,
    /// GPUs and MIG devices that it shares.
    pub gpus: Vec<String>,
    /// Docker gives it its GPUs by CDI, from the files that are there at its start.
    pub is_by_cdi: bool,
    /// GPUs that it is given whole, by PCI address.
    pub vfio: Vec<String>,
    /// Its image, as it was asked for.
    pub image: String,
    /// Names of the volumes that it mounts.
    pub volumes: Vec<String>,
    /// Its cores, in billionths.
    pub nano_cpus: u64,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// What it does.
    pub run: ContainerRun,
    /// Its first process, while it runs.
    pub pid: Option<u32>,
    /// When it was last started.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
}

impl WorkspaceSeen {
    /// It runs, or is frozen: what it was given it has.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.run, ContainerRun::Running | ContainerRun::Paused)
    }
}
