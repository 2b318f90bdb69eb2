//! The entry of NVIDIA's runtime in Docker's configuration: added once the runtime is installed, judged by what Docker reports, and
//! removed when the toolkit is not wished any more.

use super::nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
use super::nvidia_record::{RuntimeMemory, RuntimeOurs};
use super::nvidia_role_view::{RoleStep, RoleView, Wake};
use super::nvidia_spec::NvidiaSpec;
use super::nvidia_turn::NvidiaRoleTurn;
use super::nvidia_world::NvidiaWorld;
use crate::daemon_json::RuntimeEntry;
use crate::docker::DockerFacts;
use crate::docker_config::{DockerConfigLook, DockerConfigSeen, DockerConfigStep, EntrySeen};

/// So long Docker has to show a runtime after it was asked to read its file again.
const TAKEN_WITHIN_MS: u64 = 5_000;
/// How often it is looked at meanwhile.
const LOOK_EVERY_MS: u64 = 500;

/// What the part about Docker's configuration comes to.
pub(super) struct RuntimeStep {
    /// What the toolkit shows.
    pub(super) turn: NvidiaRoleTurn,
    /// What is to be done.
    pub(super) step: Option<DockerConfigStep>,
    /// When to look again.
    pub(super) wake: Wake,
}

/// The entry that workspaces use.
///
/// # Errors
/// Never: name and path are known to be right.
pub fn nvidia_runtime_entry() -> Result<RuntimeEntry, crate::daemon_json::BadEntry> {
    RuntimeEntry::new("nvidia".parse()?, NvidiaSpec::TOOLKIT_RUNTIME)
}

/// Settles what the last step answered.
pub(super) fn settle(world: &NvidiaWorld, memory: &mut RuntimeMemory) {
    if !std::mem::take(&mut memory.begun) {
        return;
    }
    match &world.last {
        Some(super::NvidiaActEnd { act: super::NvidiaAct::DockerConfig(_), result: Err(why) }) => {
            memory.failures.fail(world.now.boot, NvidiaFault::DockerConfig, why);
            memory.reloaded = None;
        }
        Some(super::NvidiaActEnd { act: super::NvidiaAct::DockerConfig(DockerConfigStep::Reload), result: Ok(_) })
            if memory.reloaded.is_some() =>
        {
            // Docker's time begins when the reload has been asked for, however long that took.
            memory.reloaded = Some(world.now.boot);
        }
        Some(_) => {}
        // An earlier run of the daemon began it, and whether it was done is not known.
        None => memory.reloaded = None,
    }
}

/// The part about Docker's configuration, behind what the toolkit container comes to.
pub(super) fn runtime(view: &RoleView<'_>, toolkit: RoleStep, wished: bool, memory: &mut RuntimeMemory) -> RuntimeStep {
    let plain = |toolkit: RoleStep| RuntimeStep { turn: toolkit.turn, step: None, wake: toolkit.wake };
    let is_claimed = !matches!(toolkit.turn.hold, Some(NvidiaHold::Unclaimed { .. } | NvidiaHold::UnclaimedOnHost));
    let is_over =
        toolkit.turn.phase == NvidiaPhase::Disabled && !wished && is_claimed && memory.ours != RuntimeOurs::No;
    let counts = is_over
        || toolkit.turn.phase == NvidiaPhase::Ready && wished
        || memory.ours == RuntimeOurs::Leaving && toolkit.deed.is_none();
    let (true, Ok(docker), Ok(entry)) = (counts, &view.world.docker, nvidia_runtime_entry()) else {
        return plain(toolkit);
    };
    let mut part = Part { view, docker, entry, toolkit, memory };
    let file = match &view.world.docker_config {
        Ok(DockerConfigLook::File(file)) => file,
        Ok(DockerConfigLook::Unusable(why)) => return part.refused(wished, why.code(), why.to_string()),
        Err(why) => return part.unread(why),
    };
    if part.memory.ours == RuntimeOurs::Leaving {
        return part.leave(file);
    }
    if wished { part.have(file) } else { part.take_out(file) }
}

/// What the part is decided from.
struct Part<'a, 'w> {
    view: &'a RoleView<'w>,
    docker: &'a DockerFacts,
    entry: RuntimeEntry,
    toolkit: RoleStep,
    memory: &'a mut RuntimeMemory,
}

impl Part<'_, '_> {
    fn shows(&self, phase: NvidiaPhase, wake: Wake) -> RuntimeStep {
        RuntimeStep { turn: NvidiaRoleTurn { phase, ..self.toolkit.turn.clone() }, step: None, wake }
    }

    fn as_it_is(&self, hold: Option<NvidiaHold>) -> RuntimeStep {
        let step = self.shows(self.toolkit.turn.phase.clone(), Wake::Steady);
        let hold = step.turn.hold.clone().or(hold);
        RuntimeStep { turn: NvidiaRoleTurn { hold, ..step.turn }, ..step }
    }

    /// This is done and remembered, unless it has failed and is not tried now.
    fn does(
        &mut self,
        phase: NvidiaPhase,
        step: DockerConfigStep,
        remember: impl FnOnce(&mut RuntimeMemory),
    ) -> RuntimeStep {
        if let Some(failed) = self.view.failed(self.memory.failures.gate(self.view.now())) {
            return self.shows(failed.turn.phase, failed.wake);
        }
        remember(self.memory);
        RuntimeStep { step: Some(step), ..self.shows(phase, Wake::Soon) }
    }

    /// The file is left as it is.
    fn refused(&self, wished: bool, code: &str, why: String) -> RuntimeStep {
        if !wished {
            return self.as_it_is(Some(NvidiaHold::Leftover { reason: why }));
        }
        self.shows(NvidiaPhase::Refused { code: code.to_owned(), why }, Wake::Steady)
    }

    fn unread(&self, why: &str) -> RuntimeStep {
        if self.docker.has_nvidia_runtime() && self.memory.ours != RuntimeOurs::Leaving {
            return self.as_it_is(None);
        }
        let (fault, reason) = (NvidiaFault::DockerConfig, why.to_owned());
        self.shows(NvidiaPhase::Failed { fault, reason, retry_at: None }, Wake::Steady)
    }

    /// It is to be there, and Docker is to show it.
    fn have(&mut self, file: &DockerConfigSeen) -> RuntimeStep {
        let shows = self.docker.has_nvidia_runtime();
        match &file.entry {
            EntrySeen::Refused(why) => self.refused(true, why.code(), format!("{}: {why}", file.file)),
            EntrySeen::AsWanted if shows => {
                self.memory.reloaded = None;
                self.as_it_is(None)
            }
            EntrySeen::AsWanted => self.taken(),
            EntrySeen::Absent | EntrySeen::Emptied => {
                if let Some(reason) = self.memory.not_taken.clone() {
                    return self.shows(not_taken(reason), Wake::Steady);
                }
                if !self.view.world.policy.docker_config {
                    return self.as_it_is((!shows).then_some(NvidiaHold::DockerConfigDenied));
                }
                let lacks = "the runtime is being added to Docker's configuration".to_owned();
                let step = DockerConfigStep::PutRuntime { entry: self.entry.clone(), sha256: file.sha256.clone() };
                self.does(NvidiaPhase::Starting { lacks }, step, |memory| {
                    (memory.ours, memory.reloaded) = (RuntimeOurs::Ours, None);
                })
            }
        }
    }

    /// The file has it, and Docker does not show it.
    fn taken(&mut self) -> RuntimeStep {
        if !self.view.world.policy.docker_config {
            return self.as_it_is(Some(NvidiaHold::DockerConfigDenied));
        }
        let now = self.view.now();
        let starting = || NvidiaPhase::Starting { lacks: "Docker does not show the runtime yet".to_owned() };
        match self.memory.reloaded {
            None => self.does(starting(), DockerConfigStep::Reload, |memory| memory.reloaded = Some(now)),
            Some(at) if now.since(at) < TAKEN_WITHIN_MS => self.shows(starting(), Wake::At(now.plus(LOOK_EVERY_MS))),
            Some(_) => {
                let reason = "Docker has read its configuration again and does not show the runtime: `journalctl -u docker` has why; \
                              the runtime is not added again before the wish changes"
                    .to_owned();
                if self.memory.ours == RuntimeOurs::Ours {
                    (self.memory.ours, self.memory.reloaded) = (RuntimeOurs::Leaving, None);
                    self.memory.not_taken = Some(reason.clone());
                    return self.shows(not_taken(reason), Wake::Now);
                }
                self.shows(not_taken(reason), Wake::Steady)
            }
        }
    }

    /// The toolkit is not wished any more: nothing that uses the runtime loses it.
    fn take_out(&mut self, file: &DockerConfigSeen) -> RuntimeStep {
        let mut users = match &self.view.world.host.runtime_users {
            Ok(users) => users.clone(),
            Err(why) => return self.as_it_is(Some(NvidiaHold::Leftover { reason: why.clone() })),
        };
        if self.docker.default_runtime.as_deref() == Some(self.entry.name.as_str()) {
            users.push("Docker, as its default runtime".to_owned());
        }
        match &file.entry {
            EntrySeen::Refused(why) => {
                let reason = format!("{}: {why}", file.file);
                self.as_it_is(Some(NvidiaHold::Leftover { reason }))
            }
            EntrySeen::Absent => self.gone(),
            EntrySeen::AsWanted if !users.is_empty() => self.as_it_is(Some(NvidiaHold::RuntimeInUse { users })),
            EntrySeen::AsWanted if !self.view.world.policy.docker_config => {
                let reason =
                    "`host.nvidia.docker_config` of the policy does not let gpuhostd remove its runtime".to_owned();
                self.as_it_is(Some(NvidiaHold::Leftover { reason }))
            }
            EntrySeen::AsWanted | EntrySeen::Emptied => {
                (self.memory.ours, self.memory.reloaded) = (RuntimeOurs::Leaving, None);
                self.leave(file)
            }
        }
    }

    /// It is being removed: from the file, then from the running Docker.
    fn leave(&mut self, file: &DockerConfigSeen) -> RuntimeStep {
        let stopping = |step: &DockerConfigStep| NvidiaPhase::Stopping { step: step.to_string() };
        let take = DockerConfigStep::TakeRuntime { entry: self.entry.clone(), sha256: file.sha256.clone() };
        match (&file.entry, self.memory.reloaded) {
            (EntrySeen::Refused(why), _) => {
                // It is not ours any more, or cannot be told from what is not.
                let reason = format!("{}: {why}", file.file);
                self.as_it_is(Some(NvidiaHold::Leftover { reason }))
            }
            (EntrySeen::AsWanted, _) => self.does(stopping(&take), take, |memory| memory.reloaded = None),
            (EntrySeen::Absent | EntrySeen::Emptied, None) => {
                let (reload, now) = (DockerConfigStep::Reload, self.view.now());
                self.does(stopping(&reload), reload, |memory| memory.reloaded = Some(now))
            }
            // Docker has forgotten it: what was left in the file for that goes too.
            (EntrySeen::Emptied, Some(_)) => self.does(stopping(&take), take, |_| {}),
            (EntrySeen::Absent, Some(_)) => self.gone(),
        }
    }

    fn gone(&mut self) -> RuntimeStep {
        (self.memory.ours, self.memory.reloaded) = (RuntimeOurs::No, None);
        match self.memory.not_taken.clone() {
            Some(reason) if self.toolkit.turn.phase == NvidiaPhase::Ready => {
                self.shows(not_taken(reason), Wake::Steady)
            }
            _ => RuntimeStep { wake: self.toolkit.wake, ..self.as_it_is(None) },
        }
    }
}

const fn not_taken(reason: String) -> NvidiaPhase {
    NvidiaPhase::Failed { fault: NvidiaFault::RuntimeNotTaken, reason, retry_at: None }
}
