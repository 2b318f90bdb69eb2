//! What is there when a workspace is looked at, and what was planned before it.

use super::document::Document;
use super::host::{DescribedHost, RunningWorkspace};
use super::refused::WorkspaceRefused;
use super::workspace_container::WorkspaceContainer;
use super::workspace_id::WorkspaceId;
use crate::policy::Requester;
use std::collections::BTreeSet;

/// What is there, and what was planned so far.
pub(super) struct Admission<'a> {
    pub(super) host: &'a DescribedHost,
    pub(super) document: &'a Document,
    /// All others: those that have a container keep what they have until their own turn comes.
    pub(super) running: Vec<RunningWorkspace>,
    /// The workspace whose turn it is, where it has a container: it is given the same GPUs again if it can be.
    pub(super) own: Option<RunningWorkspace>,
    /// The same, where its container does not run: it has nothing, and what it had it is given again if it can be.
    pub(super) former: Option<RunningWorkspace>,
    /// Whose wish that workspace is.
    pub(super) requester: Requester,
    /// Volumes that workspaces of this host itself name.
    pub(super) local_volumes: BTreeSet<String>,
    seen: BTreeSet<WorkspaceId>,
}

impl<'a> Admission<'a> {
    /// Begins with what is there.
    pub(super) fn new(host: &'a DescribedHost, document: &'a Document) -> Self {
        let (own, former, requester, local_volumes) = (None, None, Requester::Manager, BTreeSet::new());
        Self {
            host,
            document,
            running: host.running.clone(),
            own,
            former,
            requester,
            local_volumes,
            seen: BTreeSet::new(),
        }
    }

    /// Begins the turn of a workspace: it is not counted beside itself.
    pub(super) fn begin(&mut self, id: &WorkspaceId, requester: Requester) {
        let is_it = |one: &RunningWorkspace| one.workspace_id == id.as_str();
        self.own = self.running.iter().position(is_it).map(|at| self.running.remove(at));
        self.former = self.host.stopped.iter().find(|one| is_it(one)).cloned();
        self.requester = requester;
    }

    /// It has this unit already, or had it while it ran.
    pub(super) fn has_or_had(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let container = self.own.as_ref().or(self.former.as_ref());
        container.is_some_and(|one| one.gpus.iter().chain(&one.vfio).any(|name| is_it(name)))
    }

    /// Ends it without a plan: what is there stays there.
    pub(super) fn give_up(&mut self) {
        self.running.extend(self.own.take());
    }

    /// A manager's workspace does not see the files of one that people on this host have created.
    pub(super) fn may_mount(&self, container: &WorkspaceContainer) -> Result<(), WorkspaceRefused> {
        let mut volumes = container.mounts.iter().filter(|mount| mount.is_volume);
        match volumes.find(|mount| self.local_volumes.contains(&mount.source)) {
            Some(mount) if self.requester == Requester::Manager => {
                let why = format!("the volume {} is of a workspace that was created on this host", mount.source);
                Err(WorkspaceRefused::denied("volumes", why))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses an id that the document has twice.
    pub(super) fn is_alone(&mut self, id: &WorkspaceId) -> Result<(), WorkspaceRefused> {
        if self.seen.insert(id.clone()) {
            return Ok(());
        }
        Err(WorkspaceRefused::Conflict { workspace_id: id.to_string() })
    }
}
