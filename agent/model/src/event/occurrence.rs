//! What happens on the host, one at a time: the closed list of events, and what each of them carries.

use crate::printable::printable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened. The names are those of the manager's contract.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
)]
pub enum EventKind {
    /// The daemon runs and has looked at the host.
    #[serde(rename = "agent.started")]
    #[strum(serialize = "agent.started")]
    AgentStarted,
    /// The daemon was asked to stop.
    #[serde(rename = "agent.stopping")]
    #[strum(serialize = "agent.stopping")]
    AgentStopping,
    /// The host drains, and no workspace is left on it.
    #[serde(rename = "agent.drained")]
    #[strum(serialize = "agent.drained")]
    AgentDrained,
    /// Other settings are in force.
    #[serde(rename = "agent.config_changed")]
    #[strum(serialize = "agent.config_changed")]
    AgentConfigChanged,
    /// A GPU is there that was not.
    #[serde(rename = "gpu.added")]
    #[strum(serialize = "gpu.added")]
    GpuAdded,
    /// A GPU is not there any more.
    #[serde(rename = "gpu.removed")]
    #[strum(serialize = "gpu.removed")]
    GpuRemoved,
    /// The health of a GPU is another one.
    #[serde(rename = "gpu.health")]
    #[strum(serialize = "gpu.health")]
    GpuHealth,
    /// The kernel log has an Xid of a GPU.
    #[serde(rename = "gpu.xid")]
    #[strum(serialize = "gpu.xid")]
    GpuXid,
    /// The MIG mode or the MIG devices of a GPU are others.
    #[serde(rename = "gpu.mig_changed")]
    #[strum(serialize = "gpu.mig_changed")]
    GpuMigChanged,
    /// Another kernel driver is bound to a GPU.
    #[serde(rename = "gpu.driver_changed")]
    #[strum(serialize = "gpu.driver_changed")]
    GpuDriverChanged,
    /// A workspace waits for something, which the code names.
    #[serde(rename = "workspace.pending")]
    #[strum(serialize = "workspace.pending")]
    WorkspacePending,
    /// The image of a workspace is being pulled.
    #[serde(rename = "workspace.pulling")]
    #[strum(serialize = "workspace.pulling")]
    WorkspacePulling,
    /// The container of a workspace is being created.
    #[serde(rename = "workspace.creating")]
    #[strum(serialize = "workspace.creating")]
    WorkspaceCreating,
    /// A workspace has its container.
    #[serde(rename = "workspace.created")]
    #[strum(serialize = "workspace.created")]
    WorkspaceCreated,
    /// A workspace is being started.
    #[serde(rename = "workspace.starting")]
    #[strum(serialize = "workspace.starting")]
    WorkspaceStarting,
    /// A workspace runs.
    #[serde(rename = "workspace.running")]
    #[strum(serialize = "workspace.running")]
    WorkspaceRunning,
    /// A workspace is being frozen.
    #[serde(rename = "workspace.pausing")]
    #[strum(serialize = "workspace.pausing")]
    WorkspacePausing,
    /// A workspace is paused.
    #[serde(rename = "workspace.paused")]
    #[strum(serialize = "workspace.paused")]
    WorkspacePaused,
    /// A workspace is being stopped.
    #[serde(rename = "workspace.stopping")]
    #[strum(serialize = "workspace.stopping")]
    WorkspaceStopping,
    /// A workspace has ended or was stopped.
    #[serde(rename = "workspace.stopped")]
    #[strum(serialize = "workspace.stopped")]
    WorkspaceStopped,
    /// A workspace is being removed.
    #[serde(rename = "workspace.deleting")]
    #[strum(serialize = "workspace.deleting")]
    WorkspaceDeleting,
    /// A workspace could not be brought to where it should be.
    #[serde(rename = "workspace.failed")]
    #[strum(serialize = "workspace.failed")]
    WorkspaceFailed,
    /// A workspace and its volumes are gone.
    #[serde(rename = "workspace.deleted")]
    #[strum(serialize = "workspace.deleted")]
    WorkspaceDeleted,
    /// A workspace is on no list any more.
    #[serde(rename = "workspace.orphaned")]
    #[strum(serialize = "workspace.orphaned")]
    WorkspaceOrphaned,
    /// Docker gives contradictory answers about a workspace.
    #[serde(rename = "workspace.unknown")]
    #[strum(serialize = "workspace.unknown")]
    WorkspaceUnknown,
    /// A workspace is not started, with a code and numbers.
    #[serde(rename = "workspace.refused")]
    #[strum(serialize = "workspace.refused")]
    WorkspaceRefused,
    /// A running workspace cannot use its GPU any more.
    #[serde(rename = "workspace.gpu_lost")]
    #[strum(serialize = "workspace.gpu_lost")]
    WorkspaceGpuLost,
    /// An image was pulled.
    #[serde(rename = "image.pulled")]
    #[strum(serialize = "image.pulled")]
    ImagePulled,
    /// An image of ours was removed.
    #[serde(rename = "image.pruned")]
    #[strum(serialize = "image.pruned")]
    ImagePruned,
    /// An image could not be pulled.
    #[serde(rename = "image.pull_failed")]
    #[strum(serialize = "image.pull_failed")]
    ImagePullFailed,
    /// The driver container is ready.
    #[serde(rename = "nvidia.driver_deployed")]
    #[strum(serialize = "nvidia.driver_deployed")]
    NvidiaDriverDeployed,
    /// The toolkit container is ready.
    #[serde(rename = "nvidia.toolkit_deployed")]
    #[strum(serialize = "nvidia.toolkit_deployed")]
    NvidiaToolkitDeployed,
    /// The driver container or the toolkit container failed.
    #[serde(rename = "nvidia.failed")]
    #[strum(serialize = "nvidia.failed")]
    NvidiaFailed,
    /// The driver or toolkit container of before runs again after a failed upgrade.
    #[serde(rename = "nvidia.rolled_back")]
    #[strum(serialize = "nvidia.rolled_back")]
    NvidiaRolledBack,
    /// A GPU was given to vfio-pci.
    #[serde(rename = "vfio.bound")]
    #[strum(serialize = "vfio.bound")]
    VfioBound,
    /// A GPU was taken back from vfio-pci.
    #[serde(rename = "vfio.released")]
    #[strum(serialize = "vfio.released")]
    VfioReleased,
    /// A GPU was not given to vfio-pci, with a code.
    #[serde(rename = "vfio.rejected")]
    #[strum(serialize = "vfio.rejected")]
    VfioRejected,
    /// The free space of the Docker root is below its reserve, or above it again.
    #[serde(rename = "disk.reserve")]
    #[strum(serialize = "disk.reserve")]
    DiskReserve,
    /// A new credential was adopted.
    #[serde(rename = "credential.rotated")]
    #[strum(serialize = "credential.rotated")]
    CredentialRotated,
}

/// How much it matters. Under pressure the lowest go first, and errors never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventSeverity {
    /// A figure among many.
    Debug,
    /// As it should be.
    Info,
    /// A person may want to look.
    Warning,
    /// A person has to look.
    Error,
}

/// One thing that happened, before it has its number and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// What happened.
    pub kind: EventKind,
    /// To what: a PCI address, the id of a workspace, an image reference; empty for the host.
    pub subject: String,
    /// How much it matters.
    pub severity: EventSeverity,
    /// The code of a refusal or failure, where it has one.
    pub code: Option<String>,
    /// One sentence for a person. No secret is ever part of it.
    pub message: String,
    /// Further facts by name. No secret is ever among them.
    pub data: BTreeMap<String, String>,
}

/// Most characters of a subject.
const SUBJECT_MOST: usize = 256;
/// Most characters of a code and of the name of a fact.
const CODE_MOST: usize = 64;
/// Most characters of a message.
const MESSAGE_MOST: usize = 1024;
/// Most facts.
const FACTS_MOST: usize = 16;
/// Most characters of a fact.
const FACT_MOST: usize = 256;

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in the manager's contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl EventSeverity {
    /// As it is in the manager's contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Occurrence {
    /// One that matters so much, without code and further facts.
    #[must_use]
    pub fn new(
        kind: EventKind,
        subject: impl Into<String>,
        severity: EventSeverity,
        message: impl Into<String>,
    ) -> Self {
        let (subject, message) = (subject.into(), message.into());
        Self { kind, subject, severity, code: None, message, data: BTreeMap::new() }
    }

    /// The same with a code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same with a further fact.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<String>) -> Self {
        self.data.insert(name.to_owned(), fact.into());
        self
    }

    /// The same within the bounds of an event and without control characters: texts of it come from devices, engines and drivers.
    #[must_use]
    pub fn bounded(self) -> Self {
        let facts = self.data.iter().take(FACTS_MOST);
        Self {
            subject: printable(&self.subject, SUBJECT_MOST),
            code: self.code.map(|code| printable(&code, CODE_MOST)),
            message: printable(&self.message, MESSAGE_MOST),
            data: facts.map(|(name, fact)| (printable(name, CODE_MOST), printable(fact, FACT_MOST))).collect(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_same_name_wherever_it_is_written_and_is_one_of_a_family() {
        for kind in EventKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.name());
            assert_eq!(kind.name().parse::<EventKind>().unwrap(), *kind);
            let (family, what) = kind.name().split_once('.').unwrap();
            let families = ["agent", "gpu", "workspace", "image", "nvidia", "vfio", "disk", "credential"];
            assert!(families.contains(&family) && !what.is_empty(), "{}", kind.name());
        }
    }

    #[test]
    fn an_event_is_bounded_and_steers_no_terminal() {
        let long = "x\n\u{1b}[31m".repeat(2000);
        let mut event = Occurrence::new(EventKind::GpuXid, long.clone(), EventSeverity::Error, long.clone());
        for number in 0..100 {
            event = event.with(&format!("{number}{long}"), long.clone());
        }
        let event = event.with_code(long).bounded();
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.len() < 8 * 1024 && !text.contains("\\u"), "{} bytes", text.len());
        assert_eq!(event.data.len(), FACTS_MOST);
    }
}
