//! Which polkit action each member of the bus needs.

use model::refusal::Refusal;
use wire::dbus::{
    DESIRED_INTERFACE, GPU_INTERFACE, HOST_INTERFACE, NVIDIA_CONTAINER_INTERFACE, WORKSPACE_INTERFACE,
    WORKSPACES_INTERFACE,
};

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolkitAction {
    /// Read what the daemon shows.
    Inspect,
    /// Have the host scanned again.
    Rescan,
    /// Enrol with a manager, change whom this host trusts as one, or leave it.
    ManageEnrolment,
    /// Give a GPU to a virtual machine, and take it back.
    Passthrough,
    /// Change how a GPU is cut into MIG devices.
    MigLayout,
    /// Switch MIG mode of a GPU.
    MigMode,
    /// Deploy NVIDIA's driver and toolkit containers, and remove them.
    NvidiaContainers,
    /// Create, start, stop and delete workspaces, and drain the host.
    Workspaces,
    /// Freeze changes from remote, and lift that.
    Lock,
    /// Say that a GPU that is gone is known to be.
    Acknowledge,
    /// Accept the documents of an epoch that was left.
    AcceptEpoch,
}

impl PolkitAction {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::Inspect,
        Self::Rescan,
        Self::ManageEnrolment,
        Self::Passthrough,
        Self::MigLayout,
        Self::MigMode,
        Self::NvidiaContainers,
        Self::Workspaces,
        Self::Lock,
        Self::Acknowledge,
        Self::AcceptEpoch,
    ];

    /// The polkit action id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Inspect => "org.gpuhost.agent1.inspect",
            Self::Rescan => "org.gpuhost.agent1.rescan",
            Self::ManageEnrolment => "org.gpuhost.agent1.manage-enrolment",
            Self::Passthrough => "org.gpuhost.agent1.passthrough",
            Self::MigLayout => "org.gpuhost.agent1.mig-layout",
            Self::MigMode => "org.gpuhost.agent1.mig-mode",
            Self::NvidiaContainers => "org.gpuhost.agent1.nvidia-containers",
            Self::Workspaces => "org.gpuhost.agent1.workspaces",
            Self::Lock => "org.gpuhost.agent1.lock",
            Self::Acknowledge => "org.gpuhost.agent1.acknowledge",
            Self::AcceptEpoch => "org.gpuhost.agent1.accept-epoch",
        }
    }
}

/// The action that a method needs. Properties are read-only and open to everybody who may talk to us; no method is.
#[must_use]
pub fn action_for(interface: &str, member: &str) -> Option<PolkitAction> {
    match (interface, member) {
        (HOST_INTERFACE, "GetObservation" | "Sample" | "ReadEvents")
        | (GPU_INTERFACE, "GetMetrics" | "ReadMig")
        | (DESIRED_INTERFACE, "Read" | "Preview")
        | (WORKSPACES_INTERFACE, "ListImages") => Some(PolkitAction::Inspect),
        (HOST_INTERFACE, "Rescan") => Some(PolkitAction::Rescan),
        (HOST_INTERFACE, "Enroll" | "Leave" | "AddTrust" | "RemoveTrust" | "SetToken") => {
            Some(PolkitAction::ManageEnrolment)
        }
        (HOST_INTERFACE, "Lock" | "Unlock") => Some(PolkitAction::Lock),
        (HOST_INTERFACE, "AcknowledgeGoneGpu") => Some(PolkitAction::Acknowledge),
        (DESIRED_INTERFACE, "AcceptEpoch") => Some(PolkitAction::AcceptEpoch),
        (GPU_INTERFACE, "BindPassthrough" | "ReleasePassthrough" | "ConfirmPassthrough") => {
            Some(PolkitAction::Passthrough)
        }
        (NVIDIA_CONTAINER_INTERFACE, "Enable" | "Disable") => Some(PolkitAction::NvidiaContainers),
        (
            WORKSPACES_INTERFACE,
            "CreateWorkspace" | "ConfirmRemovals" | "DeleteStaged" | "SetDraining" | "PruneImages",
        )
        | (WORKSPACE_INTERFACE, "Start" | "Stop" | "Pause" | "Resume" | "Delete" | "Recreate" | "Retry") => {
            Some(PolkitAction::Workspaces)
        }
        (GPU_INTERFACE, "SetMigLayout" | "ConfirmMig") => Some(PolkitAction::MigLayout),
        (GPU_INTERFACE, "SetMigMode") => Some(PolkitAction::MigMode),
        _ => None,
    }
}

/// [`Refusal::NotAuthorized`].
pub(super) fn denied(action: &str, why: impl Into<String>) -> Refusal {
    Refusal::NotAuthorized { action: action.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_denied() {
        for (interface, member) in [
            (HOST_INTERFACE, "Shutdown"),
            (HOST_INTERFACE, "rescan"),
            ("org.gpuhost.Agent1.Job", "Rescan"),
            ("", "Rescan"),
            ("org.freedesktop.DBus.Properties", "Set"),
        ] {
            assert_eq!(action_for(interface, member), None, "{interface}.{member}");
        }
        assert_eq!(action_for(HOST_INTERFACE, "Enroll"), Some(PolkitAction::ManageEnrolment));
    }
}
