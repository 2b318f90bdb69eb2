//! CDI in an engine that has it disabled (Docker 25.0 to 28.1): `features.cdi` goes into its configuration, and Docker is restarted when no
//! container ends with it; a reload does not take it up. Judged by what Docker reports afterwards.

use super::docker_cdi_memory::DockerCdiMemory;
use super::nvidia_failures::{NvidiaFailures, NvidiaGate};
use super::nvidia_look::NvidiaContainerSeen;
use super::nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
use super::nvidia_record::RuntimeMemory;
use super::nvidia_role::NvidiaRole;
use super::nvidia_role_view::{RoleStep, RoleView, Wake, is_up};
use super::nvidia_runtime::RuntimeStep;
use super::nvidia_turn::{NvidiaAct, NvidiaRoleTurn};
use super::nvidia_world::{NvidiaActEnd, NvidiaWorld};
use crate::daemon_json::needs_cdi_feature;
use crate::docker::{ContainerEngine, DockerFacts};
use crate::docker_config::{
    DockerConfigLook, DockerConfigSeen, DockerConfigStep, DockerRestart, DockerRunning, FeatureSeen,
};
use crate::time::BootMillis;

/// So long Docker has to report directories for CDI specifications after it was restarted.
const TAKEN_WITHIN_MS: u64 = 30_000;
/// How often it is looked at meanwhile.
const LOOK_EVERY_MS: u64 = 5_000;

/// What runs in Docker besides NVIDIA's containers of ours.
#[must_use]
pub fn docker_running(world: &NvidiaWorld, docker: &DockerFacts) -> DockerRunning {
    let ours = |role: NvidiaRole| {
        let look = world.look(role).as_ref().ok()?;
        let is_ours = |one: &&NvidiaContainerSeen| one.foreign.is_none() && is_up(one);
        u32::try_from(look.containers.iter().filter(is_ours).count()).ok()
    };
    let (driver, toolkit) = (ours(NvidiaRole::Driver), ours(NvidiaRole::Toolkit));
    let own = driver.zip(toolkit).map(|(driver, toolkit)| driver.saturating_add(toolkit));
    DockerRunning {
        live_restore: docker.live_restore,
        others: docker.containers_running.zip(own).map(|(all, own)| all.saturating_sub(own)),
        is_driver_up: driver != Some(0),
    }
}

/// Settles what the last step answered.
pub(super) fn settle(world: &NvidiaWorld, memory: &mut DockerCdiMemory) {
    if !std::mem::take(&mut memory.begun) {
        return;
    }
    let Some(NvidiaActEnd { act: NvidiaAct::DockerConfig(step), result }) = &world.last else {
        // An earlier run of the daemon began it, and whether it was done is not known.
        memory.restarted = None;
        return;
    };
    match (step, result) {
        (DockerConfigStep::Restart { .. }, Ok(_)) => {
            (memory.restarted, memory.refusals) = (Some(world.now.boot), NvidiaFailures::default());
        }
        (DockerConfigStep::Restart { .. }, Err(why)) => {
            // A build that runs ends some time; what the file shows afterwards tells it from a Docker that did not start.
            memory.refusals.wait(world.now.boot, NvidiaFault::DockerConfig, why);
            memory.restarted = None;
        }
        (
            DockerConfigStep::PutRuntime { .. }
            | DockerConfigStep::TakeRuntime { .. }
            | DockerConfigStep::Reload
            | DockerConfigStep::PutCdi { .. }
            | DockerConfigStep::TakeCdi { .. },
            result,
        ) => {
            if let Err(why) = result {
                memory.failures.fail(world.now.boot, NvidiaFault::DockerConfig, why);
            }
        }
    }
}

/// When the toolkit is not wished any more: what was put in last goes first, so that the file is as before byte for byte. The Docker
/// that runs keeps CDI until it is started again.
pub(super) fn take_out(view: &RoleView<'_>, toolkit: &RoleStep, memory: &mut RuntimeMemory) -> Option<RuntimeStep> {
    let world = view.world;
    let is_claimed = !matches!(toolkit.turn.hold, Some(NvidiaHold::Unclaimed { .. } | NvidiaHold::UnclaimedOnHost));
    let is_over = toolkit.turn.phase == NvidiaPhase::Disabled && !world.wish.deploy_toolkit && is_claimed;
    let is_unused = world.host.runtime_users.as_ref().is_ok_and(Vec::is_empty);
    if !(memory.cdi.ours && is_over && is_unused && world.policy.docker_config) {
        return None;
    }
    let Ok(DockerConfigLook::File(file)) = &world.docker_config else { return None };
    let (FeatureSeen::Enabled, Some(sha256)) = (&file.cdi, file.sha256.clone()) else {
        memory.cdi = DockerCdiMemory::default();
        return None;
    };
    let step = DockerConfigStep::TakeCdi { sha256 };
    if let Some(failed) = view.failed(memory.cdi.failures.gate(view.now())) {
        return Some(RuntimeStep {
            turn: NvidiaRoleTurn { phase: failed.turn.phase, ..toolkit.turn.clone() },
            step: None,
            wake: failed.wake,
        });
    }
    memory.cdi.begun = true;
    let phase = NvidiaPhase::Stopping { step: step.to_string() };
    Some(RuntimeStep { turn: NvidiaRoleTurn { phase, ..toolkit.turn.clone() }, step: Some(step), wake: Wake::Soon })
}

/// Behind the part about the runtime, once that is as wished.
pub(super) fn enable(view: &RoleView<'_>, toolkit: RuntimeStep, memory: &mut DockerCdiMemory) -> RuntimeStep {
    let world = view.world;
    let is_ready = world.wish.deploy_toolkit && toolkit.turn.phase == NvidiaPhase::Ready && toolkit.step.is_none();
    let allowed = world.policy.cdi && world.policy.docker_config;
    let (true, Ok(docker), Ok(DockerConfigLook::File(file))) =
        (is_ready && allowed, &world.docker, &world.docker_config)
    else {
        return toolkit;
    };
    if !docker.cdi_spec_dirs.is_empty() {
        (memory.restarted, memory.not_taken) = (None, None);
        (memory.failures, memory.refusals) = (NvidiaFailures::default(), NvidiaFailures::default());
        return toolkit;
    }
    let is_concerned =
        docker.engine == ContainerEngine::Docker && docker.version.as_deref().is_some_and(needs_cdi_feature);
    if !is_concerned {
        return toolkit;
    }
    Part { view, docker, toolkit, memory }.decide(file)
}

struct Part<'a, 'w> {
    view: &'a RoleView<'w>,
    docker: &'a DockerFacts,
    toolkit: RuntimeStep,
    memory: &'a mut DockerCdiMemory,
}

impl Part<'_, '_> {
    fn decide(self, file: &DockerConfigSeen) -> RuntimeStep {
        let allowed = self.view.world.wish.docker_restart.min(self.view.world.policy.docker_restart);
        if file.cdi == FeatureSeen::Absent {
            self.memory.seen_absent();
        }
        match (&file.cdi, file.sha256.clone()) {
            (FeatureSeen::Absent, Some(_)) if self.memory.not_taken.is_some() => {
                self.memory.ours = false;
                self.not_taken()
            }
            (FeatureSeen::Absent, Some(_)) if file.unit.is_none() => {
                self.waits("dockerd is not the main process of a service of systemd, so restart it yourself")
            }
            (FeatureSeen::Absent, Some(sha256)) => {
                // Not before the restart may follow: until then the file would be another one than Docker runs with.
                let step = DockerConfigStep::PutCdi { sha256 };
                self.if_idle(allowed, step, |memory, _| (memory.ours, memory.restarted) = (true, None))
            }
            // Who has put it in restarts Docker too.
            (FeatureSeen::Enabled, _) if !self.memory.ours => self.toolkit,
            (FeatureSeen::Enabled, Some(sha256)) => self.restart(allowed, sha256),
            // Set by an administrator in another way, or a file that is left as it is: the runtime serves.
            (FeatureSeen::LeftAlone, _) | (FeatureSeen::Absent | FeatureSeen::Enabled, None) => self.toolkit,
        }
    }

    /// The file has it, and Docker reports no CDI.
    fn restart(mut self, allowed: DockerRestart, sha256: String) -> RuntimeStep {
        let now = self.view.now();
        let is_given_up = match self.memory.failures.gate(now) {
            NvidiaGate::Shut { reason, until: None, .. } => Some(reason),
            NvidiaGate::Shut { .. } | NvidiaGate::Open => None,
        };
        let why = match (self.memory.not_taken.clone(), is_given_up, self.memory.restarted) {
            (Some(why), ..) | (None, Some(why), _) => why,
            (None, None, None) => {
                if let NvidiaGate::Shut { reason, until: Some(until), .. } = self.memory.refusals.gate(now) {
                    self.toolkit.wake = Wake::At(until);
                    return self.waits(&reason);
                }
                let step = DockerConfigStep::Restart { allowed };
                return self.if_idle(allowed, step, |memory, now| memory.restarted = Some(now));
            }
            (None, None, Some(at)) if now.since(at) < TAKEN_WITHIN_MS => {
                self.toolkit.wake = Wake::At(now.plus(LOOK_EVERY_MS));
                return self.toolkit;
            }
            (None, None, Some(_)) => {
                "Docker was restarted with `features.cdi` and reports no directory for CDI specifications: \
                                      `journalctl -u docker` has why; `features.cdi` is removed"
                    .to_owned()
            }
        };
        if self.memory.not_taken.is_none() {
            (self.memory.not_taken, self.memory.failures) = (Some(why), NvidiaFailures::default());
        }
        self.does(DockerConfigStep::TakeCdi { sha256 }, |_, _| {})
    }

    fn not_taken(mut self) -> RuntimeStep {
        let reason = self.memory.not_taken.clone().unwrap_or_default();
        self.toolkit.turn.hold = self.toolkit.turn.hold.take().or(Some(NvidiaHold::CdiNotTaken { reason }));
        self.toolkit
    }

    fn if_idle(
        self,
        allowed: DockerRestart,
        step: DockerConfigStep,
        remember: impl FnOnce(&mut DockerCdiMemory, BootMillis),
    ) -> RuntimeStep {
        match docker_running(self.view.world, self.docker).may_restart(allowed) {
            Ok(()) => self.does(step, remember),
            Err(why) => self.waits(&why.to_string()),
        }
    }

    fn waits(mut self, why: &str) -> RuntimeStep {
        let hold = NvidiaHold::DockerRestartWaits { why: why.to_owned() };
        self.toolkit.turn.hold = self.toolkit.turn.hold.take().or(Some(hold));
        self.toolkit
    }

    fn does(mut self, step: DockerConfigStep, remember: impl FnOnce(&mut DockerCdiMemory, BootMillis)) -> RuntimeStep {
        let now = self.view.now();
        if let Some(failed) = self.view.failed(self.memory.failures.gate(now)) {
            let reason =
                if let NvidiaPhase::Failed { reason, .. } = failed.turn.phase { reason } else { String::new() };
            self.toolkit.turn.hold = self.toolkit.turn.hold.take().or(Some(NvidiaHold::CdiNotTaken { reason }));
            self.toolkit.wake = failed.wake;
            return self.toolkit;
        }
        remember(self.memory, now);
        self.memory.begun = true;
        let phase = NvidiaPhase::Starting { lacks: step.to_string() };
        RuntimeStep { turn: NvidiaRoleTurn { phase, ..self.toolkit.turn }, step: Some(step), wake: Wake::Soon }
    }
}
