//! What is there when a workspace is looked at, and what was planned before it.

use super::document::Document;
use super::host::{DescribedHost, RunningWorkspace};
use super::refused::WorkspaceRefused;

/// What is there, and what was planned so far.
pub(super) struct Admission<'a> {
    pub(super) host: &'a DescribedHost,
    pub(super) document: &'a Document,
    /// All others: those that have a container keep what they have until their own turn comes.
    pub(super) running: Vec<RunningWorkspace>,
    /// The workspace whose turn it is, where it has a container: it is given the same GPUs again if it can be.
    pub(super) own: Option<RunningWorkspace>,
    seen: Vec<String>,
}

impl<'a> Admission<'a> {
    /// Begins with what is there.
    pub(super) fn new(host: &'a DescribedHost, document: &'a Document) -> Self {
        Self { host, document, running: host.running.clone(), own: None, seen: Vec::new() }
    }

    /// Begins the turn of a workspace: it is not counted beside itself.
    pub(super) fn begin(&mut self, id: &str) {
        let at = self.running.iter().position(|running| running.workspace_id == id);
        self.own = at.map(|at| self.running.remove(at));
    }

    /// Ends it without a plan: what is there stays there.
    pub(super) fn give_up(&mut self) {
        self.running.extend(self.own.take());
    }

    /// Refuses an id that the document has twice.
    pub(super) fn is_alone(&mut self, id: &str) -> Result<(), WorkspaceRefused> {
        if self.seen.iter().any(|seen| seen == id) {
            return Err(WorkspaceRefused::Conflict { workspace_id: id.to_owned() });
        }
        self.seen.push(id.to_owned());
        Ok(())
    }
}
