//! What is never done, whatever went wrong before: judged for each deed, before it is done, from the wishes in force and what was seen.

use crate::host_seen::policy;
use crate::life::Life;
use model::nvidia_container::ContainerRun;
use model::policy::WorkspaceRepair;
use model::workspace::{DesiredRun, Document, Planned, WorkspaceAction, WorkspaceId, plan};
use model::workspace_life::{WorkspaceDeed, WorkspaceSeen};
use sim::workspace_docker::SimWorkspace;
use std::collections::{BTreeMap, BTreeSet};

/// What has to be remembered for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Never {
    /// Volumes of workspaces whose container was removed because they were to be deleted.
    deleted_volumes: BTreeSet<String>,
    /// Volumes of each workspace, as its container had them when it was last seen.
    volumes: BTreeMap<WorkspaceId, Vec<String>>,
    /// Containers that a person wants created again.
    pub(crate) recreated: BTreeSet<WorkspaceId>,
}

fn of<'a>(planned: &'a [Planned], id: &WorkspaceId) -> Option<&'a Planned> {
    planned.iter().find(|one| one.head.as_ref().is_some_and(|head| head.id == *id))
}

impl Never {
    /// Judges a deed.
    pub(crate) fn judge(&self, life: &Life, deed: &WorkspaceDeed) -> Result<(), String> {
        let planned = life.planned();
        match deed {
            WorkspaceDeed::Pull { image, .. } => match image.digest() {
                Some(_) => Ok(()),
                None => Err("an image is pulled by its digest alone".to_owned()),
            },
            WorkspaceDeed::Create(container) => {
                container.check(&policy().host).map_err(|refused| format!("the hand would refuse it: {refused}"))?;
                match of(&planned, &container.workspace_id).map(|one| &one.action) {
                    Some(WorkspaceAction::Create(request))
                        if request.container.spec_digest == container.spec_digest =>
                    {
                        Ok(())
                    }
                    other => Err(format!("no such container is wished: {other:?}")),
                }
            }
            WorkspaceDeed::RemoveVolume { name } if self.deleted_volumes.contains(name) => Ok(()),
            WorkspaceDeed::RemoveVolume { name } if self.was_of_deleted(&planned, name) => Ok(()),
            WorkspaceDeed::RemoveVolume { .. } => Err("it is not of a workspace that was deleted".to_owned()),
            WorkspaceDeed::Start { workspace_id, id }
            | WorkspaceDeed::Stop { workspace_id, id, .. }
            | WorkspaceDeed::Pause { workspace_id, id }
            | WorkspaceDeed::Unpause { workspace_id, id }
            | WorkspaceDeed::Remove { workspace_id, id } => {
                let seen = life.look.containers.iter().find(|one| one.id == *id);
                let seen = seen.ok_or("nothing of that id was seen")?;
                if seen.foreign.is_some() || seen.workspace_id.as_ref() != Some(workspace_id) {
                    return Err("it is not the container of that workspace".to_owned());
                }
                self.judge_container(life, deed, seen, of(&planned, workspace_id))
            }
        }
    }

    /// Docker shows this.
    pub(crate) fn saw(&mut self, seen: &[WorkspaceSeen]) {
        for one in seen.iter().filter(|one| one.foreign.is_none()) {
            let id = one.workspace_id.clone().unwrap();
            self.volumes.insert(id, one.volumes.clone());
        }
    }

    /// The container was removed by another program, and its workspace is to be deleted.
    fn was_of_deleted(&self, planned: &[Planned], name: &str) -> bool {
        let is_deleted = |id: &WorkspaceId| {
            let head = of(planned, id).and_then(|one| one.head.as_ref());
            head.is_some_and(|head| head.desired == DesiredRun::Deleted)
        };
        self.volumes.iter().any(|(id, all)| all.iter().any(|one| one == name) && is_deleted(id))
    }

    fn judge_container(
        &self,
        life: &Life,
        deed: &WorkspaceDeed,
        seen: &WorkspaceSeen,
        wished: Option<&Planned>,
    ) -> Result<(), String> {
        let wished_digest = wished.and_then(|one| match &one.action {
            WorkspaceAction::Create(request) => Some(&request.container.spec_digest),
            WorkspaceAction::Nothing | WorkspaceAction::Refusal(_) => None,
        });
        let is_same = wished_digest.is_some() && wished_digest == seen.spec_digest.as_ref();
        let is_recreated = seen.workspace_id.as_ref().is_some_and(|id| self.recreated.contains(id));
        let desired = wished.and_then(|one| one.head.as_ref()).map(|head| head.desired);
        let is_refused = wished.is_some_and(|one| matches!(one.action, WorkspaceAction::Refusal(_)));
        let gives_way = desired == Some(DesiredRun::Running) && wished_digest.is_some() && (!is_same || is_recreated);
        if is_refused {
            return Err("its wish is refused: nothing of it is touched".to_owned());
        }
        let fits = match deed {
            WorkspaceDeed::Start { .. } => is_same && desired == Some(DesiredRun::Running),
            WorkspaceDeed::Stop { .. } => {
                let lost = |one: &&SimWorkspace| one.id == seen.id && one.has_lost_gpus;
                let is_repaired =
                    life.repair == WorkspaceRepair::Restart && life.docker.containers.iter().any(|one| lost(&one));
                is_repaired || gives_way || matches!(desired, None | Some(DesiredRun::Stopped | DesiredRun::Deleted))
            }
            WorkspaceDeed::Pause { .. } => desired == Some(DesiredRun::Paused) && seen.run == ContainerRun::Running,
            WorkspaceDeed::Unpause { .. } => seen.run == ContainerRun::Paused && desired != Some(DesiredRun::Paused),
            WorkspaceDeed::Remove { .. } => !seen.is_live() && (gives_way || desired == Some(DesiredRun::Deleted)),
            WorkspaceDeed::Pull { .. } | WorkspaceDeed::Create(_) | WorkspaceDeed::RemoveVolume { .. } => true,
        };
        if fits { Ok(()) } else { Err(format!("it is wished {desired:?} and {:?}, and it is {seen:?}", wished_digest)) }
    }

    /// A deed was begun: what it means for later ones.
    pub(crate) fn done(&mut self, seen: &[WorkspaceSeen], document: &Document, deed: &WorkspaceDeed) {
        let WorkspaceDeed::Remove { workspace_id, id } = deed else { return };
        let planned = plan(&crate::host_seen::described_host(seen, &BTreeSet::new()), document);
        let head = of(&planned, workspace_id).and_then(|one| one.head.as_ref());
        if head.is_some_and(|head| head.desired == DesiredRun::Deleted) {
            let volumes = seen.iter().filter(|one| one.id == *id).flat_map(|one| one.volumes.clone());
            self.deleted_volumes.extend(volumes);
        }
        self.recreated.remove(workspace_id);
    }
}
