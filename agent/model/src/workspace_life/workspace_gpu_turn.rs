//! Which workspaces' GPUs are looked at next, and what is done about a workspace that has lost them.

use super::workspace_gpu_look::{GpuVerdict, WorkspaceGpuLook};
use super::workspace_gpu_probe::{WorkspaceGpuProbe, WorkspaceStart};
use super::workspace_look::WorkspaceSeen;
use super::workspace_memory::{WorkspaceMemory, WorkspacesMemory};
use super::workspace_pace::WorkspaceGate;
use super::workspace_status::{WorkspaceReason, WorkspaceState as S};
use super::workspace_step::{WorkspaceStep, stop};
use super::workspace_world::WorkspacesWorld;
use crate::event::{EventKind, EventSeverity, Occurrence};
use crate::nvidia_container::ContainerRun;
use crate::policy::WorkspaceRepair;
use crate::time::BootMillis;
use crate::workspace::WorkspaceId;
use std::collections::BTreeMap;

/// The code of the reason.
pub(super) const GPU_LOST: &str = "gpu_lost";
/// So many are looked at at once.
const AT_ONCE: usize = 4;

/// The looks that are due, and when the next one is.
pub(super) fn probes(
    world: &WorkspacesWorld,
    memory: &mut WorkspacesMemory,
) -> (Vec<WorkspaceGpuProbe>, Option<BootMillis>) {
    let (mut due, mut next) = (Vec::new(), None::<BootMillis>);
    let mut room = AT_ONCE.saturating_sub(world.doing.probes.len());
    for seen in &world.look.containers {
        // A frozen one would freeze what looks: it is looked at when it goes on.
        let (Some(id), None, ContainerRun::Running, Some(pid)) =
            (&seen.workspace_id, seen.foreign, &seen.run, seen.pid)
        else {
            continue;
        };
        let Some(needs) = world.gpu_needs.get(id).filter(|needs| !needs.is_empty()) else { continue };
        let known = &mut memory.workspaces.entry(id.clone()).or_default().gpu;
        known.meet(seen);
        if world.doing.probes.contains(id) || world.doing.workspaces.contains(id) {
            continue;
        }
        let at = known.due_at(world.now.boot, needs);
        if at > world.now.boot {
            next = Some(next.map_or(at, |next| next.min(at)));
            continue;
        }
        // What is due without room for it wakes at no time of its own: the end of a look makes room, and wakes.
        if room == 0 {
            continue;
        }
        room = room.saturating_sub(1);
        known.look(world.now.boot, needs);
        let (workspace_id, start, needs) = (id.clone(), WorkspaceStart::of(seen), needs.clone());
        due.push(WorkspaceGpuProbe { workspace_id, start, pid, needs });
    }
    (due, next)
}

/// It runs as it is wished. Where its GPUs are lost, it is started again as far as the policy of this host wants that.
pub(super) fn runs(
    world: &WorkspacesWorld,
    id: &WorkspaceId,
    seen: &WorkspaceSeen,
    memory: &WorkspaceMemory,
) -> WorkspaceStep {
    let Some(GpuVerdict::Lost { why }) = memory.gpu.verdict(seen) else { return WorkspaceStep::met(S::Running) };
    let waits = |next: &str| WorkspaceStep::waits(S::Running, GPU_LOST, format!("{why}; {next}"));
    let is_idle = world.gpu_needs.get(id).is_some_and(|needs| needs.is_idle);
    match world.repair {
        WorkspaceRepair::Never => return waits("stopped and started again it gets them back (host.workspaces.repair)"),
        WorkspaceRepair::WhenIdle if !is_idle => {
            return waits("it is started again when the driver shows that no process computes on them");
        }
        WorkspaceRepair::WhenIdle | WorkspaceRepair::Restart => {}
    }
    if let Some(held) = not_now(world) {
        return waits(held);
    }
    if !memory.gpu.is_confirmed() {
        return waits("it is looked at once more before it is started again");
    }
    if let WorkspaceGate::Shut { reason, until } = memory.gpu.repair.gate(world.now.boot) {
        let next =
            if until.is_some() { "it is started again after a pause" } else { "it is not started again any more" };
        let reason = WorkspaceReason::new(GPU_LOST, format!("{why}; {}; {next}", reason.message));
        return WorkspaceStep { reason: Some(reason), retry_at: until, ..WorkspaceStep::met(S::Running) };
    }
    let deed = stop(id, seen, world.limits.grace_s);
    let message = format!("{why}; it is started again (host.workspaces.repair): {deed}");
    WorkspaceStep { deed: Some(deed), ..WorkspaceStep::waits(S::Stopping, GPU_LOST, message) }
}

/// Why what is stopped now would not be started again.
fn not_now(world: &WorkspacesWorld) -> Option<&'static str> {
    if world.driver_changing.is_some() {
        return Some("it is started again when the driver's change is over");
    }
    let agent = &world.document.agent;
    let takes_none = !agent.enabled || agent.draining || world.host.policy.forbidden;
    takes_none.then_some("this host takes no work now, so that it is not started again")
}

impl WorkspacesMemory {
    /// A look at the GPUs of a workspace has ended. Returns what happened, where it has lost them since.
    pub fn gpus_found(
        &mut self,
        probe: &WorkspaceGpuProbe,
        look: &Result<WorkspaceGpuLook, String>,
    ) -> Option<Occurrence> {
        let id = &probe.workspace_id;
        let lost = self.workspaces.get_mut(id)?.gpu.found(&probe.start, look)?;
        Some(Occurrence {
            kind: EventKind::WorkspaceGpuLost,
            subject: id.to_string(),
            severity: EventSeverity::Error,
            code: Some(GPU_LOST.to_owned()),
            message: format!("workspace {id} has lost its GPUs: {lost}"),
            data: BTreeMap::from([("container".to_owned(), probe.start.container.as_str().to_owned())]),
        })
    }

    /// Workspaces that are being started again because their GPUs were lost: they have what they had.
    pub fn repairing(&self) -> impl Iterator<Item = &WorkspaceId> {
        self.workspaces.iter().filter(|(_, one)| one.gpu.is_repairing).map(|(id, _)| id)
    }
}
