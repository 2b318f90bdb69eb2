//! One role's part of the world, and the pieces that its turns are made of.

use super::nvidia_deed::NvidiaDeed;
use super::nvidia_failures::NvidiaGate;
use super::nvidia_look::{ContainerRun, ImageSeen, NvidiaContainerSeen, NvidiaLook};
use super::nvidia_memory::{NvidiaBegun, NvidiaMemory};
use super::nvidia_phase::{NvidiaHold, NvidiaPhase};
use super::nvidia_role::NvidiaRole;
use super::nvidia_spec::NvidiaSpec;
use super::nvidia_turn::NvidiaRoleTurn;
use super::nvidia_world::{NvidiaRefused, NvidiaWorld};
use crate::image_ref::ImageRef;
use crate::time::{BootMillis, UnixMillis};

/// How often something that is under way is looked at.
const WHILE_UNDER_WAY_MS: u64 = 5_000;
/// How often something that is to stay as it is is looked at.
const WHILE_STEADY_MS: u64 = 30_000;
/// How often that is looked at which is as it is wished: who changes it is seen by the observation, which wakes the task.
const WHILE_AT_REST_MS: u64 = 5 * 60 * 1_000;
/// A driver is built on a small machine in ten minutes; the GPU Operator gives it twenty.
const DRIVER_READY_WITHIN_MS: u64 = 20 * 60 * 1_000;
/// The toolkit copies files and waits for the driver's root.
const TOOLKIT_READY_WITHIN_MS: u64 = 5 * 60 * 1_000;

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// At once: the turn has changed what is aimed at.
    Now,
    /// Something is under way.
    Soon,
    /// At this instant, or when the host is looked at anyhow.
    At(BootMillis),
    /// As often as what stays as it is is looked at.
    Steady,
    /// Not before something changes.
    Never,
}

impl Wake {
    /// The instant, where everything is as it is wished.
    pub(super) fn at_rest(self, now: BootMillis) -> Option<BootMillis> {
        if self == Self::Steady { Some(now.plus(WHILE_AT_REST_MS)) } else { self.at(now) }
    }

    /// The instant.
    pub(super) fn at(self, now: BootMillis) -> Option<BootMillis> {
        match self {
            Self::Now => Some(now),
            Self::Soon => Some(now.plus(WHILE_UNDER_WAY_MS)),
            Self::At(when) => Some(when.min(now.plus(WHILE_STEADY_MS)).max(now)),
            Self::Steady => Some(now.plus(WHILE_STEADY_MS)),
            Self::Never => None,
        }
    }
}

/// What a turn comes to for one role.
#[derive(Debug, Clone)]
pub(super) struct RoleStep {
    /// What is shown.
    pub(super) turn: NvidiaRoleTurn,
    /// What is to be done, if it is this role's turn.
    pub(super) deed: Option<NvidiaDeed>,
    /// When to look again.
    pub(super) wake: Wake,
}

impl RoleStep {
    /// Nothing is done.
    pub(super) const fn shows(phase: NvidiaPhase, wake: Wake) -> Self {
        let turn = NvidiaRoleTurn { phase, hold: None, digest_wanted: None, container: None, log_of: None };
        Self { turn, deed: None, wake }
    }

    /// This is done.
    pub(super) fn does(phase: NvidiaPhase, deed: NvidiaDeed) -> Self {
        let step = Self::shows(phase, Wake::Soon);
        Self { deed: Some(deed), ..step }
    }

    /// With what keeps it from being as it is wished; the first one stays.
    pub(super) fn with(mut self, hold: Option<NvidiaHold>) -> Self {
        self.turn.hold = self.turn.hold.or(hold);
        self
    }
}

/// One role's part of the world.
pub(super) struct RoleView<'a> {
    /// Which one.
    pub(super) role: NvidiaRole,
    /// Everything.
    pub(super) world: &'a NvidiaWorld,
    /// What Docker shows.
    pub(super) look: &'a NvidiaLook,
    /// The image that the look reports about; `None` = none was asked for.
    pub(super) asked: Option<ImageRef>,
    /// What has to be there before a container of this role is started.
    pub(super) waits: Option<String>,
}

/// Whether an image is here.
pub(super) enum ImageHere {
    /// It is.
    Yes,
    /// It is being pulled.
    Pulling(u64, u64),
    /// It is not.
    No,
    /// The look was about another image.
    NotLookedAt,
}

impl RoleView<'_> {
    /// Now.
    pub(super) const fn now(&self) -> BootMillis {
        self.world.now.boot
    }

    /// The containers that are ours.
    pub(super) fn ours(&self) -> impl DoubleEndedIterator<Item = &NvidiaContainerSeen> {
        self.look.containers.iter().filter(|one| one.foreign.is_none())
    }

    /// A container with our label that is not.
    pub(super) fn foreign(&self) -> Option<(String, super::WhyForeign)> {
        self.look.containers.iter().find_map(|one| Some((one.name.clone(), one.foreign?)))
    }

    /// What the role is for can be used.
    pub(super) const fn ready(&self) -> &Result<(), String> {
        match self.role {
            NvidiaRole::Driver => &self.world.host.driver_ready,
            NvidiaRole::Toolkit => &self.world.host.runtime_answers,
        }
    }

    /// How long a start may take.
    pub(super) const fn ready_within_ms(&self) -> u64 {
        match self.role {
            NvidiaRole::Driver => DRIVER_READY_WITHIN_MS,
            NvidiaRole::Toolkit => TOOLKIT_READY_WITHIN_MS,
        }
    }

    /// What speaks against starting one on this host.
    pub(super) fn preflight(&self) -> Option<&NvidiaRefused> {
        self.preflights().next()
    }

    /// All that does.
    pub(super) fn preflights(&self) -> impl Iterator<Item = &NvidiaRefused> {
        let applies = match self.role {
            NvidiaRole::Driver => true,
            NvidiaRole::Toolkit => false,
        };
        self.world.host.preflight.iter().filter(move |_| applies)
    }

    /// What keeps a running container from being stopped. The toolkit's programs outlive its container, which nobody uses.
    pub(super) fn in_use(&self) -> Option<NvidiaHold> {
        match (self.role, &self.world.host.holders) {
            (NvidiaRole::Toolkit, _) => None,
            (NvidiaRole::Driver, Err(why)) => Some(NvidiaHold::HoldersUnknown { why: why.clone() }),
            (NvidiaRole::Driver, Ok(holders)) if holders.is_empty() => None,
            (NvidiaRole::Driver, Ok(holders)) => Some(NvidiaHold::DriverBusy { holders: holders.clone() }),
        }
    }

    /// Whether the image of a specification is here.
    pub(super) fn image_here(&self, spec: &NvidiaSpec) -> ImageHere {
        let digest = spec.image.digest();
        match &self.look.image {
            ImageSeen::Present { digests } if digest.is_some_and(|digest| digests.contains(digest)) => ImageHere::Yes,
            _ if self.asked.as_ref().is_none_or(|asked| asked.digest() != digest) => ImageHere::NotLookedAt,
            ImageSeen::Pulling { done_bytes, total_bytes } => ImageHere::Pulling(*done_bytes, *total_bytes),
            ImageSeen::Present { .. } | ImageSeen::Absent | ImageSeen::PullFailed { .. } => ImageHere::No,
        }
    }

    /// A phase of something that fails, until when it is left alone.
    pub(super) fn failed(&self, gate: NvidiaGate) -> Option<RoleStep> {
        let NvidiaGate::Shut { fault, reason, until } = gate else { return None };
        let wall = |until: BootMillis| {
            let wait = i64::try_from(until.since(self.now())).unwrap_or(i64::MAX);
            UnixMillis(self.world.now.wall.0.saturating_add(wait))
        };
        let phase = NvidiaPhase::Failed { fault, reason, retry_at: until.map(wall) };
        Some(RoleStep::shows(phase, until.map_or(Wake::Steady, Wake::At)))
    }

    /// How far the container that runs is.
    pub(super) fn running_phase(&self) -> NvidiaPhase {
        match self.ready() {
            Ok(()) => NvidiaPhase::Ready,
            Err(lacks) => NvidiaPhase::Starting { lacks: lacks.clone() },
        }
    }

    /// The start of this container is remembered.
    pub(super) fn start_of<'m>(
        &self,
        memory: &'m mut NvidiaMemory,
        container: &NvidiaContainerSeen,
    ) -> Option<&'m mut super::NvidiaStart> {
        let is_known = matches!(&memory.begun, Some(NvidiaBegun::Start(start)) if start.id == container.id);
        if !is_known {
            memory.begun = Some(NvidiaBegun::Start(super::NvidiaStart {
                id: container.id.clone(),
                at: self.now(),
                before: None,
                ready: false,
                lost: None,
                docker_was_away: false,
            }));
        }
        match &mut memory.begun {
            Some(NvidiaBegun::Start(start)) => Some(start),
            _ => None,
        }
    }
}

/// It runs, or would as soon as it is thawed.
pub(super) const fn is_up(container: &NvidiaContainerSeen) -> bool {
    matches!(container.run, ContainerRun::Running | ContainerRun::Paused)
}
