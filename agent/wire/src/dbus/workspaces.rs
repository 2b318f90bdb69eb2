//! What the root object shows of all workspaces together.

use super::absent::Absent;
use super::value::DictView;
use super::view::view;
use super::workspace::cores;
use model::absence::Absence;
use model::printable::printable;
use model::workspace::source_code;
use model::workspace_life::{ForeignWorkspace, UnreadWorkspace, WorkspacesState};
use serde::{Deserialize, Serialize};

/// Most entries that are shown: each has a reason in words.
const UNREAD_MOST: usize = 256;
const NAME_MAX_CHARS: usize = 128;
const REASON_MAX_CHARS: usize = 600;

view! {
    /// All properties of `org.gpuhost.Agent1.Workspaces`.
    pub struct WorkspacesView at WORKSPACES_INTERFACE {
        /// True if Docker has been asked at least once since the daemon started.
        known: bool,
        /// Why Docker shows nothing now; until it does, the workspaces are as it showed them last. Has no value if it does.
        docker_fault: Option<String>,
        /// Workspaces of this host.
        count: u32,
        /// Workspaces with a container that runs or is frozen.
        running_count: u32,
        /// Cores of those workspaces.
        allocated_cores: f64,
        /// Memory of those workspaces, in bytes.
        allocated_memory_bytes: u64,
        /// Containers that have the label of a workspace and are not of gpuhostd, and that are left alone: Container (s), Name (s), Why
        /// (s: a stable code), Message (s).
        foreign: Vec<ForeignContainerView>,
        /// Entries of a document or file that cannot be read as a workspace, or that have the id of another one: Name (s: the id, or the
        /// place in the document), Source (s: manager or local), ReasonCode (s), Reason (s).
        unread: Vec<UnreadWorkspaceView>,
        /// Workspaces that the newest revision would delete, and that wait for a second revision or for ConfirmRemovals. Has no value if
        /// none wait.
        removals_held: Option<u64>,
        /// So many may be deleted by one revision without that. Has no value if none wait.
        removals_most: Option<u64>,
        /// True if this host takes no new workspaces.
        draining: bool,
        /// True if it takes none and no workspace has a container that runs.
        drained: bool,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

/// A container that only looks like a workspace of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ForeignContainerView {
    /// Its id.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Stable code.
    pub why: String,
    /// The same in words.
    pub message: String,
}

impl DictView for ForeignContainerView {}

/// An entry that cannot be read as a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnreadWorkspaceView {
    /// Its id, or its place in the document.
    pub name: String,
    /// Whose wish it is.
    pub source: String,
    /// Stable code.
    pub reason_code: String,
    /// The same in words.
    pub reason: String,
}

impl DictView for UnreadWorkspaceView {}

impl From<&UnreadWorkspace> for UnreadWorkspaceView {
    fn from(unread: &UnreadWorkspace) -> Self {
        Self {
            name: printable(&unread.name, NAME_MAX_CHARS),
            source: source_code(unread.requester).to_owned(),
            reason_code: unread.reason.code.clone(),
            reason: printable(&unread.reason.message, REASON_MAX_CHARS),
        }
    }
}

impl From<&ForeignWorkspace> for ForeignContainerView {
    fn from(foreign: &ForeignWorkspace) -> Self {
        let code: &'static str = foreign.why.into();
        Self {
            container: foreign.container.as_str().to_owned(),
            name: foreign.name.clone(),
            why: code.to_owned(),
            message: foreign.why.why().to_owned(),
        }
    }
}

impl WorkspacesView {
    /// The view of all workspaces, on a host that takes new ones or does not.
    #[must_use]
    pub fn new(state: &WorkspacesState, draining: bool) -> Self {
        let mut absent = Absent::default();
        let (held, allocated) = (state.removals_held.as_ref(), state.allocation());
        let mut number = |name: &str, value: Option<u64>| absent.option(name, value, &Absence::None);
        let removals_held = number("RemovalsHeld", held.map(|held| held.count));
        let removals_most = number("RemovalsMost", held.map(|held| held.most));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            known: state.is_looked,
            docker_fault: absent.option("DockerFault", state.unknown.clone(), &Absence::None),
            count: count(state.workspaces.len()),
            running_count: count(state.live().count()),
            allocated_cores: cores(allocated.nano_cpus),
            allocated_memory_bytes: allocated.memory_bytes,
            foreign: state.foreign.iter().map(ForeignContainerView::from).collect(),
            unread: state.unread.iter().take(UNREAD_MOST).map(UnreadWorkspaceView::from).collect(),
            removals_held,
            removals_most,
            draining,
            drained: draining && state.is_empty_of_containers(),
            absent,
        }
    }
}
