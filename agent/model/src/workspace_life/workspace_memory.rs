//! What is remembered of workspaces while the daemon runs. All of it can be lost: then something is tried once more.

use super::workspace_deed::WorkspaceDeed;
use super::workspace_gpu_memory::WorkspaceGpuMemory;
use super::workspace_pace::WorkspacePace;
use super::workspace_record::WorkspacesRecord;
use crate::desired::DocumentId;
use crate::image_ref::ImageRef;
use crate::time::BootMillis;
use crate::workspace::WorkspaceId;
use std::collections::BTreeMap;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspacesMemory {
    /// Of each workspace.
    pub workspaces: BTreeMap<WorkspaceId, WorkspaceMemory>,
    /// Of each image that is pulled.
    pub images: BTreeMap<ImageRef, ImageMemory>,
    /// Of removals.
    pub removals: RemovalMemory,
    /// What is kept on disk.
    pub record: WorkspacesRecord,
    /// Docker did not answer since the last look: what has ended meanwhile has not ended by itself.
    pub docker_was_away: bool,
    /// Of each volume whose removal has failed.
    pub volumes: BTreeMap<String, WorkspacePace>,
}

/// What is remembered of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceMemory {
    /// Its failures to be created, started or to stay running.
    pub pace: WorkspacePace,
    /// Its failures to be stopped, frozen or removed: they say nothing about its next start, and are never given up.
    pub ending: WorkspacePace,
    /// Of which specification they are: those of another one do not count.
    pub spec_digest: Option<String>,
    /// It was started, or seen running, and nobody stopped it: if it has ended, it has by itself.
    pub is_started: bool,
    /// Somebody wants its container created again.
    pub recreate: bool,
    /// Volumes that its container has, or had when it was last seen: another program may remove the container first.
    pub volumes: Vec<String>,
    /// Of its GPUs.
    pub gpu: WorkspaceGpuMemory,
}

/// What is remembered of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageMemory {
    /// Its failures.
    pub pace: WorkspacePace,
    /// A pull was begun, and its end was not seen yet.
    pub is_begun: bool,
}

/// What is remembered of removals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemovalMemory {
    /// The revision whose removals were the first that waited.
    pub held: Option<DocumentId>,
    /// The revision whose removals may be done.
    pub allowed: Option<DocumentId>,
    /// A person has confirmed them.
    pub is_confirmed: bool,
}

impl WorkspacesMemory {
    /// A deed for a workspace has ended. What Docker refuses is tried for ever, with pauses: it can be its own fault, at a boot for
    /// example, and a workspace that nobody starts again is down for ever.
    pub fn ended(&mut self, deed: &WorkspaceDeed, now: BootMillis, result: Result<(), &str>) {
        let Some(id) = deed.workspace_id() else { return };
        let memory = self.workspaces.entry(id.clone()).or_default();
        match (is_ending(deed), result) {
            (true, Ok(())) => memory.ending = WorkspacePace::default(),
            (true, Err(message)) => memory.ending.fail(now, "docker_refused", message, false),
            (false, Ok(())) => {}
            (false, Err(message)) => {
                (memory.is_started, memory.gpu.is_repairing) = (false, false);
                memory.pace.fail(now, "docker_refused", message, false);
            }
        }
    }

    /// Images whose pull was begun, and whose end was not seen yet.
    pub fn pulls(&self) -> impl Iterator<Item = &ImageRef> {
        self.images.iter().filter(|(_, image)| image.is_begun).map(|(image, _)| image)
    }

    /// The removal of a volume has failed: it is tried again, for as long as it is to go.
    pub fn volume_failed(&mut self, name: &str, now: BootMillis, message: &str) {
        self.volumes.entry(name.to_owned()).or_default().fail(now, "volume_kept", message, false);
    }

    /// Somebody wants what has failed tried again now.
    pub fn try_again(&mut self, id: &WorkspaceId) {
        if let Some(memory) = self.workspaces.get_mut(id) {
            (memory.pace, memory.ending) = (WorkspacePace::default(), WorkspacePace::default());
            memory.gpu.repair = WorkspacePace::default();
        }
    }
}

/// It takes something back.
pub(super) const fn is_ending(deed: &WorkspaceDeed) -> bool {
    match deed {
        WorkspaceDeed::Stop { .. }
        | WorkspaceDeed::Pause { .. }
        | WorkspaceDeed::Unpause { .. }
        | WorkspaceDeed::Remove { .. }
        | WorkspaceDeed::RemoveVolume { .. } => true,
        WorkspaceDeed::Pull { .. } | WorkspaceDeed::Create(_) | WorkspaceDeed::Start { .. } => false,
    }
}
