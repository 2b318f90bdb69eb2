//! What is done to the simulated Docker, by Docker's rules and those of the container hand before it.

use super::created_facts::facts_of;
use super::engine_state::EngineState;
use super::gpu_rules::conflict;
use super::sim_engine::SimEngine;
use super::sim_workspace::{SimWorkspace, SimWorkspaceRun};
use model::ids::ContainerId;
use model::workspace::{GpuInjection, PublishedPort, WorkspaceContainer, WorkspaceId};
use model::workspace_life::WorkspaceDeed;

/// What goes wrong with a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeedFault {
    /// Docker refuses, and nothing happens.
    Refused,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// Docker does not answer before the deadline, and nothing happens.
    Hangs,
    /// Docker does not answer before the deadline, and does it all the same.
    HangsAndDoesIt,
    /// Docker is killed before it begins.
    KilledBefore,
    /// Docker is killed when it is done.
    KilledAfter,
}

impl DeedFault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::AnswerLost, Self::Hangs, Self::HangsAndDoesIt, Self::KilledBefore, Self::KilledAfter];

    const fn does_it(self) -> bool {
        matches!(self, Self::AnswerLost | Self::HangsAndDoesIt | Self::KilledAfter)
    }
}

impl SimEngine {
    /// Does one thing with what is to go wrong with it.
    ///
    /// # Errors
    /// Docker refuses it, does not answer, or the fault wants it.
    pub fn act_with(&mut self, deed: &WorkspaceDeed, fault: DeedFault) -> Result<(), String> {
        self.answers()?;
        if fault.does_it() {
            // The answer is lost, whatever it was.
            let _lost = self.act(deed);
        }
        match fault {
            DeedFault::Refused => Err("error response from daemon: internal error".to_owned()),
            DeedFault::Hangs | DeedFault::HangsAndDoesIt => Err("Docker did not answer within 30 s".to_owned()),
            DeedFault::AnswerLost => Err("error reading from server: EOF".to_owned()),
            DeedFault::KilledBefore | DeedFault::KilledAfter => {
                self.kill();
                Err("error reading from server: EOF".to_owned())
            }
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// Docker refuses it, or does not answer.
    pub fn act(&mut self, deed: &WorkspaceDeed) -> Result<(), String> {
        self.answers()?;
        let before = (self.containers.clone(), self.volumes.clone());
        let result = self.deed(deed);
        if before != (self.containers.clone(), self.volumes.clone()) || matches!(deed, WorkspaceDeed::Pull { .. }) {
            self.announce();
        }
        result
    }

    fn deed(&mut self, deed: &WorkspaceDeed) -> Result<(), String> {
        match deed {
            WorkspaceDeed::Pull { image, .. } => {
                self.images.pull(image, self.now);
                Ok(())
            }
            WorkspaceDeed::Create(container) => self.create(container),
            WorkspaceDeed::Start { workspace_id, id } => self.start(workspace_id, id),
            WorkspaceDeed::Stop { workspace_id, id, grace_s } => self.end(workspace_id, id, *grace_s),
            WorkspaceDeed::Pause { workspace_id, id } => self.pause(workspace_id, id),
            WorkspaceDeed::Unpause { workspace_id, id } => self.unpause(workspace_id, id),
            WorkspaceDeed::Remove { workspace_id, id } => self.remove(workspace_id, id),
            WorkspaceDeed::RemoveVolume { name } => self.remove_volume(name),
        }
    }

    /// `POST /containers/create`: the image, the name, the cores, the runtime and folders that are mounted are judged here; devices,
    /// ports and networks only at the start. Volumes come into being.
    fn create(&mut self, container: &WorkspaceContainer) -> Result<(), String> {
        if !self.images.has(&container.image) {
            return Err(format!("No such image: {}", container.image));
        }
        let name = container.name();
        if let Some(other) = self.containers.iter().find(|one| one.facts.name == name) {
            return Err(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\"",
                other.id.as_str()
            ));
        }
        let cores = self.rules.cores;
        if container.nano_cpus > u64::from(cores).saturating_mul(1_000_000_000) {
            return Err(format!("range of CPUs is from 0.01 to {cores}.00, as there are only {cores} CPUs available"));
        }
        if matches!(container.way, GpuInjection::Runtime { .. }) && !self.rules.has_nvidia_runtime {
            return Err("unknown or invalid runtime name: nvidia".to_owned());
        }
        let mut folders = container.mounts.iter().filter(|mount| !mount.is_volume);
        if let Some(mount) = folders.find(|mount| self.missing.contains(&mount.source)) {
            return Err(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                mount.source
            ));
        }
        for volume in container.mounts.iter().filter(|mount| mount.is_volume) {
            self.volumes.entry(volume.source.clone()).or_insert(true);
        }
        let id = self.next_id();
        self.containers.push(SimWorkspace {
            id,
            facts: facts_of(container),
            wanted: Some(Box::new(container.clone())),
            program: self.images.program(&container.image),
            run: SimWorkspaceRun::Created,
            pid: 0,
            starts: 0,
            started_at: None,
            ended_at: None,
            has_lost_gpus: false,
        });
        Ok(())
    }

    /// `POST /containers/ID/start`: 304 where it runs. What it lacks comes out here, and it stays what it was; one that ran before
    /// is shown with the status 128.
    fn start(&mut self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), String> {
        let (run, wanted) = {
            let one = self.ours(workspace_id, id)?;
            (one.run, one.wanted.clone())
        };
        match run {
            SimWorkspaceRun::Running(_) => return Ok(()),
            SimWorkspaceRun::Paused => return Err("cannot start a paused container, try unpause instead".to_owned()),
            SimWorkspaceRun::Removing(_) => {
                return Err("container is marked for removal and cannot be started".to_owned());
            }
            SimWorkspaceRun::Created | SimWorkspaceRun::Ended { .. } => {}
        }
        let Some(wanted) = wanted else { return Err("it is not ours".to_owned()) };
        if self.state == EngineState::Deaf {
            return Err(
                "connection error: dial unix /run/containerd/containerd.sock: connect: connection refused".to_owned()
            );
        }
        let broken = self.what_a_start_lacks(id, &wanted);
        let others = self.containers.iter().filter(|one| one.is_live() && one.id != *id);
        let others = others.filter_map(|one| one.wanted.as_ref());
        let forbidden: Vec<String> = others.filter_map(|other| conflict(&wanted, other, &self.card_of)).collect();
        let (now, wall, pid) = (self.now, self.wall, self.next_pid());
        let one = self.ours(workspace_id, id)?;
        if let Some(broken) = broken {
            if matches!(one.run, SimWorkspaceRun::Ended { .. }) {
                one.run = SimWorkspaceRun::Ended { exit: 128, oom: false };
            }
            return Err(broken);
        }
        one.run = SimWorkspaceRun::Running(now);
        (one.pid, one.starts, one.has_lost_gpus) = (pid, one.starts.saturating_add(1), false);
        (one.started_at, one.ended_at) = (Some(wall), None);
        self.violations.extend(forbidden);
        Ok(())
    }

    /// Errors of devices, ports and networks come at the start, never at the create (seen with CDI on 26.1 and 28.5).
    fn what_a_start_lacks(&self, id: &ContainerId, wanted: &WorkspaceContainer) -> Option<String> {
        let is_missing = |name: &&String| self.missing.contains(*name);
        if let GpuInjection::Cdi { devices } = &wanted.way
            && let Some(device) = devices.iter().find(is_missing)
        {
            return Some(format!(
                "could not select device driver: CDI device injection failed: unresolvable CDI devices {device}"
            ));
        }
        if let GpuInjection::Runtime { visible, .. } = &wanted.way
            && let Some(device) = visible.iter().find(is_missing)
        {
            return Some(format!("nvidia-container-cli: device error: {device}: unknown device"));
        }
        let nodes = wanted.nodes.iter().map(|node| &node.on_host);
        if let Some(node) = nodes.into_iter().find(is_missing) {
            let gathering = "error gathering device information while adding custom device";
            return Some(format!("{gathering} \"{node}\": no such file or directory"));
        }
        if let Some(network) = wanted.networks.iter().find(is_missing) {
            return Some(format!("network {network} not found"));
        }
        let others = self.containers.iter().filter(|one| one.is_live() && one.id != *id);
        let others: Vec<&PublishedPort> =
            others.filter_map(|one| one.wanted.as_ref()).flat_map(|one| &one.ports).collect();
        let clashes = |port: &&PublishedPort| {
            let taken = port.host.is_some_and(|number| self.ports_taken.contains(&number));
            taken || others.iter().any(|other| are_one_port(port, other))
        };
        let port = wanted.ports.iter().find(clashes)?;
        let number = port.host.map_or_else(String::new, |number| number.to_string());
        Some(format!(
            "driver failed programming external connectivity: Bind for {}:{number} failed: port is already allocated",
            port.listen
        ))
    }

    /// `POST /containers/ID/stop`: 304 where it does not run, 404 where it is gone; both are what was wanted.
    fn end(&mut self, workspace_id: &WorkspaceId, id: &ContainerId, grace_s: u32) -> Result<(), String> {
        if !self.is_there(id) {
            return Ok(());
        }
        let (wall, deaf, stops_paused) = (self.wall, self.state == EngineState::Deaf, self.rules.stops_paused);
        let one = self.ours(workspace_id, id)?;
        if !one.is_live() {
            return Ok(());
        }
        if deaf || one.program.unkillable {
            return Err("tried to kill container, but did not receive an exit event".to_owned());
        }
        if one.run == SimWorkspaceRun::Paused && !stops_paused {
            return Err("can only stop running containers: it is paused: container state improper".to_owned());
        }
        one.end(if one.program.ignores_term || grace_s == 0 { 137 } else { 143 }, false, wall);
        Ok(())
    }

    /// `POST /containers/ID/pause`: 409 where it does not run or is frozen already.
    fn pause(&mut self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), String> {
        let one = self.ours(workspace_id, id)?;
        match one.run {
            SimWorkspaceRun::Running(_) => one.run = SimWorkspaceRun::Paused,
            SimWorkspaceRun::Paused => return Err(format!("container {} is already paused", id.short())),
            SimWorkspaceRun::Created | SimWorkspaceRun::Ended { .. } | SimWorkspaceRun::Removing(_) => {
                return Err(format!("container {} is not running", id.short()));
            }
        }
        Ok(())
    }

    /// `POST /containers/ID/unpause`: 409 where it is not frozen.
    fn unpause(&mut self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), String> {
        let now = self.now;
        let one = self.ours(workspace_id, id)?;
        if one.run != SimWorkspaceRun::Paused {
            return Err(format!("container {} is not paused", id.short()));
        }
        one.run = SimWorkspaceRun::Running(now);
        Ok(())
    }

    /// `DELETE /containers/ID`, never by force: 409 where it runs; 404 and "removal is already in progress" are what was wanted.
    fn remove(&mut self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<(), String> {
        if !self.is_there(id) {
            return Ok(());
        }
        let (until, deaf) = (self.now.plus(self.rules.removal_takes_ms), self.state == EngineState::Deaf);
        let one = self.ours(workspace_id, id)?;
        if matches!(one.run, SimWorkspaceRun::Removing(_)) {
            return Ok(());
        }
        if one.is_live() {
            self.violations.push(format!("a running container was to be removed: {workspace_id}"));
            return Err(format!("cannot remove container {}: container is running", id.short()));
        }
        if deaf {
            return Err("could not kill container: did not receive an exit event".to_owned());
        }
        one.run = SimWorkspaceRun::Removing(until);
        let now = self.now;
        self.containers.retain(|one| !matches!(one.run, SimWorkspaceRun::Removing(until) if until <= now));
        Ok(())
    }

    /// `DELETE /volumes/NAME`, never by force: 409 where any container has it, running or not.
    fn remove_volume(&mut self, name: &str) -> Result<(), String> {
        match self.volumes.get(name) {
            None => return Ok(()),
            Some(true) => {}
            Some(false) => {
                self.violations.push(format!("a volume of another user was to be removed: {name}"));
                return Err(format!("the volume {name} is not ours"));
            }
        }
        if let Some(user) = self.containers.iter().find(|one| one.facts.volumes.iter().any(|volume| volume == name)) {
            return Err(format!("remove {name}: volume is in use - [{}]", user.id.as_str()));
        }
        self.volumes.remove(name);
        Ok(())
    }

    fn is_there(&self, id: &ContainerId) -> bool {
        self.containers.iter().any(|one| one.id == *id)
    }

    /// The container hand looks before it touches: name, labels and devices have to be those of this workspace.
    fn ours(&mut self, workspace_id: &WorkspaceId, id: &ContainerId) -> Result<&mut SimWorkspace, String> {
        let found = self.containers.iter_mut().find(|one| one.id == *id);
        let one = found.ok_or_else(|| format!("No such container: {}", id.as_str()))?;
        let fits =
            one.seen().is_some_and(|seen| seen.foreign.is_none() && seen.workspace_id.as_ref() == Some(workspace_id));
        if fits && one.is_ours() {
            return Ok(one);
        }
        self.violations
            .push(format!("a container that is not of {workspace_id} was to be touched: {}", one.facts.name));
        Err(format!("container {} is not the one of workspace {workspace_id}", id.short()))
    }
}

/// Two containers cannot have both: the number and the address agree, or one listens on all addresses.
fn are_one_port(one: &PublishedPort, other: &PublishedPort) -> bool {
    let is_any = one.listen.is_unspecified() || other.listen.is_unspecified();
    one.host.is_some()
        && one.host == other.host
        && one.protocol == other.protocol
        && (is_any || one.listen == other.listen)
}
