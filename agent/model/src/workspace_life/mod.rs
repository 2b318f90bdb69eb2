//! The life of workspaces: how Docker shows their containers, what can be done to them, and what of it is to be done next.

mod why_not_ours;
mod workspace_allocation;
mod workspace_ask;
mod workspace_deed;
mod workspace_facts;
mod workspace_look;
mod workspace_status;

pub use why_not_ours::WhyNotOurs;
pub use workspace_allocation::WorkspaceAllocation;
pub use workspace_ask::WorkspaceAsk;
pub use workspace_deed::WorkspaceDeed;
pub use workspace_facts::WorkspaceFacts;
pub use workspace_look::{WorkspaceLook, WorkspaceSeen};
pub use workspace_status::{
    ForeignWorkspace, RemovalsHeld, WorkspaceReason, WorkspaceState, WorkspaceStatus, WorkspacesState,
};
