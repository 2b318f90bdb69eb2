//! How far each workspace is: what the faces and the manager are shown.

use super::why_not_ours::WhyNotOurs;
use super::workspace_figures::WorkspaceFigures;
use crate::desired::DocumentId;
use crate::driver_libraries::STALE_DRIVER;
use crate::ids::ContainerId;
use crate::image_ref::ImageRef;
use crate::policy::Requester;
use crate::time::UnixMillis;
use crate::workspace::{DesiredRun, WorkspaceId, WorkspaceKind};

/// The state of a workspace, with the words of the manager's contract.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WorkspaceState {
    /// It waits for something, which the reason names.
    Pending,
    /// Its image is being pulled.
    Pulling,
    /// Its container is being created.
    Creating,
    /// Its container is being started.
    Starting,
    /// It runs.
    Running,
    /// It is being frozen.
    Pausing,
    /// It is frozen.
    Paused,
    /// It is being stopped.
    Stopping,
    /// It does not run; its files are there.
    Stopped,
    /// It is being removed.
    Deleting,
    /// It is gone.
    Deleted,
    /// It does not work, for the reason that is given.
    Failed,
}

impl WorkspaceState {
    /// Every state.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in JSON and on D-Bus.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// Why a workspace is not as it is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceReason {
    /// Stable code.
    pub code: String,
    /// For people, with numbers and what to do.
    pub message: String,
}

impl WorkspaceReason {
    /// This code, with this message.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// The libraries of another driver than the one that is loaded, which a container keeps until it is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleDriver {
    /// The version of its libraries.
    pub has: String,
    /// The version that is loaded.
    pub loaded: String,
}

impl StaleDriver {
    /// Why it matters, and what to do.
    #[must_use]
    pub fn reason(&self, id: &WorkspaceId) -> WorkspaceReason {
        let Self { has, loaded } = self;
        let message = format!(
            "it keeps the libraries of driver {has}, and driver {loaded} is loaded: what begins to use a GPU in it fails with \
             `Driver/library version mismatch`; stop it and start it: `gpuhostctl workspaces stop {id}`, then `gpuhostctl workspaces \
             start {id}`"
        );
        WorkspaceReason::new(STALE_DRIVER, message)
    }
}

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceStatus {
    /// Its id.
    pub id: WorkspaceId,
    /// Whose wish it is or was.
    pub requester: Requester,
    /// What it is for.
    pub kind: WorkspaceKind,
    /// What is wanted; `None` = no source lists it (any more): it is orphaned.
    pub desired: Option<DesiredRun>,
    /// What it is.
    pub state: WorkspaceState,
    /// Why it is not what is wanted; `None` where it is.
    pub reason: Option<WorkspaceReason>,
    /// When it is tried again; `None` = when something changes.
    pub retry_at: Option<UnixMillis>,
    /// Since when it has this state.
    pub since: UnixMillis,
    /// Its container.
    pub container: Option<ContainerId>,
    /// Its image.
    pub image: Option<String>,
    /// GPUs and MIG devices that it shares.
    pub gpus: Vec<String>,
    /// GPUs that it was given whole, by PCI address.
    pub vfio: Vec<String>,
    /// Its GPUs are there and can be opened; `None` where that is not known, or it has none.
    pub gpu_ok: Option<bool>,
    /// Why that is not known, where it has GPUs and was looked at.
    pub gpu_unknown: Option<String>,
    /// It keeps the libraries of another driver; `None` where it does not, or that is not known.
    pub stale_driver: Option<StaleDriver>,
    /// What it uses, as it was last sampled; `None` where it does not run, or was not sampled yet.
    pub figures: Option<WorkspaceFigures>,
    /// Its cores, in billionths.
    pub nano_cpus: u64,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// The generation that is wanted, or that its container is of.
    pub generation: u64,
    /// Its first process, while it runs.
    pub pid: Option<u32>,
    /// When it was last started.
    pub started_at: Option<UnixMillis>,
    /// Bytes of its image that are here, and all of them as far as they are known.
    pub pull_progress: Option<(u64, u64)>,
}

/// An entry of `images` that a source wishes to be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStatus {
    /// Its `image_id`.
    pub id: String,
    /// Whose wish it is.
    pub requester: Requester,
    /// Which image.
    pub image: Option<ImageRef>,
    /// Why it is not here; `None` = Docker shows it by its digest.
    pub reason: Option<WorkspaceReason>,
    /// When it is tried again; `None` = when something changes.
    pub retry_at: Option<UnixMillis>,
    /// Bytes that are here, and all of them as far as they are known.
    pub pull_progress: Option<(u64, u64)>,
}

/// An entry of a document that cannot be read as a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadWorkspace {
    /// Its id as far as it has one, else `workspaces[NUMBER]`.
    pub name: String,
    /// Whose wish it is.
    pub requester: Requester,
    /// What is wrong with it.
    pub reason: WorkspaceReason,
}

/// A container that has our label and is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignWorkspace {
    /// Its id.
    pub container: ContainerId,
    /// Its name.
    pub name: String,
    /// Why it is not ours.
    pub why: WhyNotOurs,
}

/// More is to be removed than one revision may remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalsHeld {
    /// So many workspaces.
    pub count: u64,
    /// So many may be removed at once.
    pub most: u64,
}

/// All workspaces of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspacesState {
    /// Why Docker shows nothing; then the workspaces are those that it showed last. `None` = it does.
    pub unknown: Option<String>,
    /// Docker was asked at least once.
    pub is_looked: bool,
    /// The manager's document that it was decided for.
    pub document: Option<DocumentId>,
    /// Entries that cannot be read.
    pub unread: Vec<UnreadWorkspace>,
    /// Each of them, by id.
    pub workspaces: Vec<WorkspaceStatus>,
    /// Containers that only look like ours.
    pub foreign: Vec<ForeignWorkspace>,
    /// Images that are wished to be here.
    pub images: Vec<ImageStatus>,
    /// So much has to be free on the disk before the largest image can be pulled that a workspace waits for, in bytes; 0 = none waits.
    pub disk_wanted_bytes: u64,
    /// The same for the images that are pulled ahead, before a workspace needs them.
    pub disk_wanted_ahead_bytes: u64,
    /// Removals that wait.
    pub removals_held: Option<RemovalsHeld>,
}

impl WorkspacesState {
    /// The workspace of this id.
    #[must_use]
    pub fn find(&self, id: &WorkspaceId) -> Option<&WorkspaceStatus> {
        self.workspaces.iter().find(|one| one.id == *id)
    }
}
