//! The simulated Docker of workspaces: what it holds, what it shows, and what happens to it from outside.

use super::engine_state::{EngineRules, EngineState};
use super::pull_state::{PullState, RegistryImage};
use super::sim_workspace::{SimProgram, SimWorkspace, SimWorkspaceRun};
use model::ids::ContainerId;
use model::image_ref::{ImageDigest, ImageRef};
use model::registry_login::RegistryLoginsSeen;
use model::time::{BootMillis, Now, UnixMillis};
use model::workspace_life::{WorkspaceFacts, WorkspaceLook};
use std::collections::{BTreeMap, BTreeSet};

/// Docker, its containers, volumes and images, and the devices of the host as far as a start needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimEngine {
    /// Now, on both clocks.
    pub now: BootMillis,
    /// The wall clock.
    pub wall: UnixMillis,
    /// How it answers.
    pub state: EngineState,
    /// In what it differs from others.
    pub rules: EngineRules,
    /// All containers, in the order of creation.
    pub containers: Vec<SimWorkspace>,
    /// All volumes; true: it was created for a workspace.
    pub volumes: BTreeMap<String, bool>,
    /// CDI devices (`nvidia.com/gpu=…`), device nodes, folders and networks of the host that are missing.
    pub missing: BTreeSet<String>,
    /// Ports of the host that another process has.
    pub ports_taken: BTreeSet<u16>,
    /// The PCI address of each GPU and MIG device, by name.
    pub card_of: BTreeMap<String, String>,
    /// The container of each process that uses a GPU.
    pub gpu_processes: BTreeMap<u32, ContainerId>,
    /// What was done that must never be: a test looks here.
    pub violations: Vec<String>,
    /// The logins to registries that its administrator has put there.
    pub logins: RegistryLoginsSeen,
    pub(super) images: PullState,
    events: u64,
    events_at_look: u64,
    created: u64,
    pids: u32,
}

impl Default for SimEngine {
    fn default() -> Self {
        Self {
            now: BootMillis(1_000),
            wall: UnixMillis(1_790_000_000_000),
            state: EngineState::Up,
            rules: EngineRules::default(),
            containers: Vec::new(),
            volumes: BTreeMap::new(),
            missing: BTreeSet::new(),
            ports_taken: BTreeSet::new(),
            gpu_processes: BTreeMap::new(),
            card_of: BTreeMap::new(),
            violations: Vec::new(),
            logins: RegistryLoginsSeen::default(),
            images: PullState::default(),
            events: 0,
            events_at_look: 0,
            created: 0,
            pids: 1_000,
        }
    }
}

impl SimEngine {
    /// One whose registries have every image.
    #[must_use]
    pub fn with_every_image() -> Self {
        let mut engine = Self::default();
        engine.images.has_every_image = true;
        engine
    }

    /// A registry gets an image, or another one of that digest.
    pub fn publish(&mut self, digest: ImageDigest, image: RegistryImage) {
        self.images.publish(digest, image);
    }

    /// Docker has an image already.
    pub fn have(&mut self, digest: ImageDigest) {
        self.images.have(digest);
    }

    /// The registries answer, or do not.
    pub const fn set_registry_away(&mut self, away: bool) {
        self.images.registry_away = away;
    }

    /// A pull that works takes so long.
    pub const fn set_pull_takes_ms(&mut self, takes_ms: u64) {
        self.images.pull_takes_ms = takes_ms;
    }

    /// Whatever is being pulled is cut.
    pub fn cut_pulls(&mut self) {
        self.images.cut();
        self.announce();
    }

    /// The container hand is started again: it has forgotten its pulls.
    pub fn forget_pulls(&mut self) {
        self.images.forget();
    }

    /// Another user removes every image, by force.
    pub fn prune_images(&mut self) {
        self.images.prune();
        self.announce();
    }

    /// Most pulls that went on at once.
    #[must_use]
    pub const fn most_pulls_at_once(&self) -> usize {
        self.images.most_at_once
    }

    /// Another user of this Docker creates a container, whatever its labels are.
    pub fn add_stranger(&mut self, facts: WorkspaceFacts, run: SimWorkspaceRun) -> ContainerId {
        let id = self.next_id();
        let pid = self.next_pid();
        self.containers.push(SimWorkspace {
            id: id.clone(),
            facts,
            wanted: None,
            program: SimProgram::SERVES,
            run,
            pid,
            starts: 1,
            started_at: Some(self.wall),
            ended_at: None,
            has_lost_gpus: false,
        });
        self.announce();
        id
    }

    /// Another user renames a container, as `docker rename` does; a running one too.
    pub fn rename(&mut self, id: &ContainerId, name: &str) {
        let found = self.containers.iter_mut().find(|one| one.id == *id);
        found.into_iter().for_each(|one| name.clone_into(&mut one.facts.name));
        self.announce();
    }

    /// Another user removes every container of a workspace, by force.
    pub fn remove_ours(&mut self) {
        self.containers.retain(|one| !one.is_ours());
        self.announce();
    }

    /// What runs for workspaces exits with this status.
    pub fn exit_ours(&mut self, exit: i64) {
        let wall = self.wall;
        self.containers.iter_mut().filter(|one| one.is_ours()).for_each(|one| one.end(exit, false, wall));
        self.announce();
    }

    /// `systemctl stop docker`: without live-restore it stops its containers first, which take SIGTERM.
    pub fn stop(&mut self) {
        if !self.rules.live_restore {
            let wall = self.wall;
            self.containers.iter_mut().for_each(|one| one.end(143, false, wall));
        }
        self.images.cut();
        self.state = EngineState::Away;
    }

    /// dockerd is killed: its containers go on under their shims.
    pub fn kill(&mut self) {
        self.images.cut();
        self.state = EngineState::Killed;
    }

    /// It is started again, after whatever. Without live-restore it ends what it finds running after it was killed. Events are not
    /// replayed (seen on 20.10, 28.5 and 29.7), so a caller that waits has to list again.
    pub fn come_up(&mut self) {
        let (wall, exit) = (self.wall, self.rules.invented_exit);
        if matches!(self.state, EngineState::Killed | EngineState::Deaf | EngineState::Hangs)
            && !self.rules.live_restore
        {
            self.containers.iter_mut().for_each(|one| one.end(exit, false, wall));
        }
        if self.state != EngineState::Up {
            self.images.cut();
        }
        self.containers.retain(|one| !matches!(one.run, SimWorkspaceRun::Removing(_)));
        self.state = EngineState::Up;
        self.announce();
    }

    /// `systemctl restart docker`.
    pub fn restart(&mut self) {
        self.stop();
        self.come_up();
    }

    /// The host is started again: everything has ended, with an exit status that Docker makes up, and CLOCK_BOOTTIME is at its
    /// beginning. No container has a restart policy.
    pub fn reboot(&mut self) {
        let (wall, exit) = (self.wall, self.rules.invented_exit);
        self.containers.iter_mut().for_each(|one| one.end(exit, false, wall));
        self.images.forget();
        self.state = EngineState::Up;
        self.now = BootMillis(1_000);
        self.come_up();
    }

    /// So many milliseconds pass.
    pub fn pass(&mut self, millis: u64) {
        let wall = UnixMillis(self.wall.0.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)));
        self.advance_to(Now { boot: self.now.plus(millis), wall });
    }

    /// Time passes.
    pub fn advance_to(&mut self, now: Now) {
        (self.now, self.wall) = (self.now.max(now.boot), now.wall);
        let before = self.containers.clone();
        for one in &mut self.containers {
            if let (SimWorkspaceRun::Running(since), Some((after, exit))) = (one.run, one.program.exits)
                && since.plus(after) <= self.now
            {
                let (exit, oom) = if self.state == EngineState::Killed {
                    (self.rules.invented_exit, false)
                } else {
                    (exit, one.program.oom)
                };
                one.end(exit, oom, now.wall);
            }
        }
        let now = self.now;
        self.containers.retain(|one| !matches!(one.run, SimWorkspaceRun::Removing(until) if until <= now));
        if self.images.advance(now) || self.containers != before {
            self.announce();
        }
    }

    /// Something changes with time alone.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.state == EngineState::Up
            && (self.images.is_pulling() || self.containers.iter().any(SimWorkspace::is_moving))
    }

    /// Looks at all workspaces and at these images.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn look(&mut self, images: &[ImageRef]) -> Result<WorkspaceLook, String> {
        self.answers()?;
        self.events_at_look = self.events;
        let containers = self.containers.iter().filter_map(SimWorkspace::seen).collect();
        let images: BTreeSet<&ImageRef> = images.iter().collect();
        let images = images.into_iter().map(|image| (image.clone(), self.images.seen(image, self.now))).collect();
        Ok(WorkspaceLook { containers, images })
    }

    /// Whether something changed since the last look, or is about to.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn has_event(&self) -> Result<bool, String> {
        self.answers()?;
        Ok(self.events > self.events_at_look || self.is_moving())
    }

    pub(super) fn answers(&self) -> Result<(), String> {
        match self.state {
            EngineState::Up | EngineState::Deaf => Ok(()),
            EngineState::Away | EngineState::Killed => {
                Err("cannot connect to the Docker daemon at unix:///var/run/docker.sock".to_owned())
            }
            EngineState::Hangs => Err("Docker did not answer within 30 s".to_owned()),
        }
    }

    pub(super) const fn announce(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    pub(super) fn next_id(&mut self) -> ContainerId {
        loop {
            self.created += 1;
            // Ids are random: the order of creation does not show in them.
            let scattered = self.created.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if let Ok(id) = format!("{scattered:016x}{:048x}", self.created).parse() {
                return id;
            }
        }
    }

    pub(super) const fn next_pid(&mut self) -> u32 {
        self.pids = self.pids.saturating_add(1);
        self.pids
    }
}
