//! What became of the deed that was begun: read from what Docker shows, and only then from what the deed answered.

use super::nvidia_look::{ContainerRun, ImageSeen, NvidiaContainerSeen, NvidiaLook};
use super::nvidia_memory::{FailedNvidiaSpec, NvidiaBegun, NvidiaMemory, NvidiaStart};
use super::nvidia_phase::NvidiaFault;
use super::nvidia_spec::NvidiaSpec;
use super::nvidia_world::NvidiaActAnswer;
use crate::ids::ContainerId;
use crate::time::BootMillis;

/// What a deed is settled with.
pub(super) struct Settling<'a> {
    /// What Docker shows.
    pub(super) look: &'a NvidiaLook,
    /// What the deed answered; `None` where this run of the daemon has done none.
    pub(super) answered: Option<&'a Result<NvidiaActAnswer, String>>,
    /// Now.
    pub(super) now: BootMillis,
}

impl Settling<'_> {
    /// Settles it. Returns the container whose last lines are worth keeping.
    pub(super) fn settle(&self, memory: &mut NvidiaMemory) -> Option<ContainerId> {
        match memory.begun.take()? {
            NvidiaBegun::Pull { image } => self.pulled(memory, NvidiaBegun::Pull { image }),
            NvidiaBegun::Create { spec } => self.created(memory, &spec),
            NvidiaBegun::Start(start) => return self.started(memory, start),
            NvidiaBegun::Stop { id } => {
                let runs = |one: &NvidiaContainerSeen| matches!(one.run, ContainerRun::Running | ContainerRun::Paused);
                self.ended(memory, self.container(&id).is_some_and(runs), "it still runs");
            }
            NvidiaBegun::Remove { id } => self.ended(memory, self.container(&id).is_some(), "it is still there"),
        }
        None
    }

    fn container(&self, id: &ContainerId) -> Option<&NvidiaContainerSeen> {
        self.look.containers.iter().find(|one| one.id == *id)
    }

    /// Why it failed, where this run of the daemon knows that it was tried.
    fn refused(&self, otherwise: &str) -> Option<String> {
        match self.answered? {
            Ok(_) => Some(otherwise.to_owned()),
            Err(why) => Some(why.clone()),
        }
    }

    fn pulled(&self, memory: &mut NvidiaMemory, begun: NvidiaBegun) {
        let why = match &self.look.image {
            ImageSeen::Pulling { .. } => {
                memory.begun = Some(begun);
                return;
            }
            ImageSeen::Present { digests } if !digests.is_empty() => {
                memory.pull_again = false;
                return;
            }
            ImageSeen::Present { .. } => {
                let why = "Docker has the image without a digest of its repository (docker load, docker tag): remove it, or push it \
                           to a registry and name it with its digest";
                Some(why.to_owned())
            }
            ImageSeen::PullFailed { why } => Some(why.clone()),
            ImageSeen::Absent => self.refused("the pull ended, and the image is not there"),
        };
        if let Some(why) = why {
            memory.failures.fail(self.now, NvidiaFault::PullFailed, &why);
        }
    }

    fn created(&self, memory: &mut NvidiaMemory, spec: &NvidiaSpec) {
        let label = Some(spec.digest());
        if !self.look.containers.iter().any(|one| one.spec_digest == label && one.foreign.is_none())
            && let Some(why) = self.refused("Docker reports no such container")
        {
            self.fail(memory, Some(spec.clone()), NvidiaFault::CreateFailed, &why);
        }
    }

    fn started(&self, memory: &mut NvidiaMemory, start: NvidiaStart) -> Option<ContainerId> {
        let Some(seen) = self.container(&start.id) else {
            memory.failures.fail(self.now, NvidiaFault::Removed, "the container was removed by another program");
            return None;
        };
        let spec = memory.spec_of(seen).cloned();
        match &seen.run {
            ContainerRun::Running => {
                memory.begun = Some(NvidiaBegun::Start(NvidiaStart { docker_was_away: false, ..start }))
            }
            ContainerRun::Paused | ContainerRun::Other(_) => memory.begun = Some(NvidiaBegun::Start(start)),
            // Without a newer start it is as it was before: the deed did not reach Docker, or Docker refused.
            ContainerRun::Created | ContainerRun::Ended { .. } if seen.started_at == start.before && !start.ready => {
                if let Some(why) = self.refused("Docker reports no start") {
                    memory.rebuild = Some(start.id);
                    self.fail(memory, spec, NvidiaFault::StartFailed, &why);
                }
            }
            ContainerRun::Created | ContainerRun::Ended { .. } if start.docker_was_away => {}
            ContainerRun::Created => self.fail(memory, spec, NvidiaFault::StartFailed, "it was not started"),
            ContainerRun::Ended { exit, oom } => {
                let memory_short = if *oom { ", ended by the kernel for want of memory" } else { "" };
                self.fail(memory, spec, NvidiaFault::Exited, &format!("it exited with status {exit}{memory_short}"));
                return Some(start.id);
            }
        }
        None
    }

    fn ended(&self, memory: &mut NvidiaMemory, is_there: bool, otherwise: &str) {
        if is_there && let Some(why) = self.refused(otherwise) {
            memory.failures.fail(self.now, NvidiaFault::StopFailed, &why);
        }
    }

    /// What replaced a good one is not tried twice: until the good one runs again nothing can use the GPUs.
    pub(super) fn fail(&self, memory: &mut NvidiaMemory, spec: Option<NvidiaSpec>, fault: NvidiaFault, reason: &str) {
        match spec {
            Some(spec) if memory.way_back_from(&spec).is_some() => {
                memory.failed =
                    Some(FailedNvidiaSpec { spec, fault, reason: crate::printable::printable(reason, 400) });
            }
            _ => memory.failures.fail(self.now, fault, reason),
        }
    }
}
