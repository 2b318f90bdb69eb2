//! The simulated Docker: what it shows, what is done to it, and what its rules forbid.

use super::sim_containers::{SimContainer, SimContainerRun};
use super::sim_docker_cdi::SimDockerCdi;
use super::sim_driver_host::SimDriverHost;
use super::sim_gpu_access::SimGpuAccess;
use super::sim_images::{SimImage, SimImages};
use model::cdi::{CdiHost, CdiLook};
use model::docker::DockerFacts;
use model::docker_config::{DockerConfigLook, DockerConfigSeen, DockerConfigStep, EntrySeen, FeatureSeen};
use model::driver_host::DriverHostStep;
use model::ids::ContainerId;
use model::image_ref::{ImageDigest, ImageRef};
use model::nvidia_container::{
    DriverHostSeen, NvidiaAct, NvidiaActAnswer, NvidiaDeed, NvidiaLook, NvidiaRole, NvidiaSpec, ToolkitWay, WhyForeign,
};
use model::time::BootMillis;
use std::collections::BTreeSet;

/// What the configuration file has of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimDockerFile {
    /// Nothing.
    Absent,
    /// An empty object `runtimes`.
    Emptied,
    /// The entry that is wanted.
    AsWanted,
    /// Another one of that name.
    Other,
}

/// What is asked of this Docker through a port, in one word for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimPort {
    /// It answers.
    Up,
    /// It does not.
    Away,
}

/// Docker, its registry, its configuration file, and the driver of the host.
#[derive(Debug, Clone)]
pub struct SimDocker {
    /// Now.
    pub now: BootMillis,
    /// Whether it answers.
    pub port: SimPort,
    /// All containers, in the order of creation.
    pub containers: Vec<SimContainer>,
    /// What the file has.
    pub file: SimDockerFile,
    /// What concerns CDI in an engine that has it disabled.
    pub cdi: SimDockerCdi,
    /// Docker takes runtimes from its file.
    pub takes_runtimes: bool,
    /// So long it takes until a reload is answered.
    pub reload_takes_ms: u64,
    /// So long after it Docker still reports the runtimes of before.
    pub shows_after_ms: u64,
    /// The host around the driver container.
    pub driver_host: SimDriverHost,
    /// The ways of GPUs into containers.
    pub gpu_access: SimGpuAccess,
    /// The host refuses every step around the driver container with these words.
    pub host_refuses: Option<String>,
    /// Who uses the driver.
    pub holders: Vec<String>,
    /// Containers with the runtime.
    pub runtime_users: Vec<String>,
    /// Versions of the driver whose libraries every workspace that runs has mounted.
    pub libraries: BTreeSet<String>,
    /// The toolkit's programs are installed; they outlive its container.
    pub installed: bool,
    /// The registry has every image: the first pull of a name gives it a digest, and its containers work.
    pub has_every_image: bool,
    /// What was done that must never be: a test looks here.
    pub violations: Vec<String>,
    /// How often something was asked through a port.
    pub asked: u64,
    images: SimImages,
    runtimes: Vec<String>,
    shown_before: Vec<String>,
    read_at: BootMillis,
    writes: u64,
    created: u64,
}

impl Default for SimDocker {
    fn default() -> Self {
        Self {
            now: BootMillis(1_000),
            port: SimPort::Up,
            containers: Vec::new(),
            file: SimDockerFile::Absent,
            cdi: SimDockerCdi::default(),
            takes_runtimes: true,
            reload_takes_ms: 0,
            shows_after_ms: 0,
            driver_host: SimDriverHost::default(),
            gpu_access: SimGpuAccess::default(),
            host_refuses: None,
            holders: Vec::new(),
            runtime_users: Vec::new(),
            libraries: BTreeSet::new(),
            installed: false,
            has_every_image: false,
            violations: Vec::new(),
            asked: 0,
            images: SimImages::pulling_for(20_000),
            runtimes: vec!["runc".to_owned()],
            shown_before: Vec::new(),
            read_at: BootMillis(0),
            writes: 0,
            created: 0,
        }
    }
}

impl SimDocker {
    /// One whose registry has every image.
    #[must_use]
    pub fn with_every_image() -> Self {
        Self { has_every_image: true, ..Self::default() }
    }

    /// A registry gets an image.
    pub fn publish(&mut self, tag: &ImageRef, digest: &ImageDigest, image: SimImage) {
        self.images.publish(tag, digest, image);
    }

    /// Somebody loads an image from a file, which has no digest of a registry then.
    pub fn load(&mut self, image: &ImageRef) {
        self.images.load(image);
    }

    /// The registry answers, or does not.
    pub const fn set_registry_away(&mut self, away: bool) {
        self.images.registry_away = away;
    }

    /// Whatever is being pulled is cut.
    pub fn cut_pulls(&mut self) {
        self.images.cut();
    }

    /// Somebody removes every image.
    pub fn prune_images(&mut self) {
        self.images.prune();
    }

    /// Docker is started again, without live-restore: what ran has ended.
    pub fn restart(&mut self) {
        self.images.forget_pulls();
        if !self.cdi.live_restore {
            self.end_all();
        }
        self.read_file();
        self.cdi.restarts += 1;
        self.cdi.in_force = self.cdi.in_file && self.cdi.takes;
    }

    fn end_all(&mut self) {
        self.cdi.others = 0;
        for container in self.containers.iter_mut().filter(|one| one.is_running()) {
            container.run = SimContainerRun::Ended(255);
        }
    }

    /// Containers of anyone that run.
    fn running(&self) -> u32 {
        let own = self.containers.iter().filter(|one| one.is_running()).count();
        self.cdi.others.saturating_add(u32::try_from(own).unwrap_or(u32::MAX))
    }

    /// This engine reads CDI specifications.
    fn has_cdi(&self) -> bool {
        self.cdi.in_force || !model::daemon_json::needs_cdi_feature(self.cdi.version)
    }

    fn cdi_restart(&mut self) -> Result<(), String> {
        if self.cdi.others > 0 && !self.cdi.live_restore {
            self.violations.push("containers of others were ended by a restart of Docker".to_owned());
        }
        if self.driver_runs() && !self.cdi.live_restore {
            self.violations.push("the driver container was ended by a restart of Docker".to_owned());
        }
        if self.cdi.refuses_restart {
            return Err("KillMode=mixed of its unit would end containers".to_owned());
        }
        if self.cdi.does_not_start {
            // As the hand does it: taken out again, and Docker started once more.
            self.cdi.in_file = false;
            self.restart();
            return Err("Docker did not start with it; it was taken out again".to_owned());
        }
        self.restart();
        Ok(())
    }

    /// The host is started again: its clock too.
    pub fn reboot(&mut self) {
        self.restart();
        self.end_all();
        self.now = BootMillis(1_000);
        self.holders.clear();
        (self.gpu_access.spec, self.gpu_access.is_linked) = (None, false);
        self.driver_host = SimDriverHost { is_run_shared: self.driver_host.is_run_shared, ..SimDriverHost::default() };
    }

    /// Somebody creates a container with our label.
    pub fn add_foreign(&mut self, role: NvidiaRole, run: SimContainerRun) {
        let id = self.next_id();
        let container = SimContainer {
            id,
            role,
            name: "somebodys".to_owned(),
            label: None,
            digest: None,
            foreign: Some(WhyForeign::Command),
            run,
            starts: 0,
        };
        self.containers.push(container);
    }

    /// Time passes.
    pub fn advance_to(&mut self, now: BootMillis) {
        self.now = self.now.max(now);
        self.images.advance(self.now);
        for container in &mut self.containers {
            container.advance(self.images.behaviour(container.digest.as_ref()), self.now);
        }
        self.installed |= self.is_up(NvidiaRole::Toolkit);
    }

    fn is_up(&self, role: NvidiaRole) -> bool {
        self.containers.iter().filter(|one| one.role == role).any(|one| {
            let ready = one.ready_at(self.images.behaviour(one.digest.as_ref()));
            ready.is_some_and(|at| at <= self.now)
        })
    }

    /// The driver can be used.
    ///
    /// # Errors
    /// What it lacks.
    pub fn driver_ready(&self) -> Result<(), String> {
        if self.is_up(NvidiaRole::Driver) { Ok(()) } else { Err("the module nvidia is not loaded".to_owned()) }
    }

    /// The runtime can be used.
    ///
    /// # Errors
    /// What it lacks.
    pub fn runtime_answers(&self) -> Result<(), String> {
        if self.installed { Ok(()) } else { Err("the runtime is not installed".to_owned()) }
    }

    /// Looks at a role.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn look(&self, role: NvidiaRole, image: Option<&ImageRef>) -> Result<NvidiaLook, String> {
        self.answers()?;
        let containers = self.containers.iter().filter(|one| one.role == role).map(SimContainer::seen).collect();
        Ok(NvidiaLook { containers, image: self.images.seen(image) })
    }

    /// What Docker reports about itself.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn facts(&self) -> Result<DockerFacts, String> {
        self.answers()?;
        let is_late = self.shows_after_ms > 0 && self.now < self.read_at.plus(self.shows_after_ms);
        Ok(DockerFacts {
            version: Some(self.cdi.version.to_owned()),
            live_restore: Some(self.cdi.live_restore),
            containers_running: Some(self.running()),
            runtimes: if is_late { self.shown_before.clone() } else { self.runtimes.clone() },
            default_runtime: Some("runc".to_owned()),
            cdi_spec_dirs: if self.has_cdi() { self.gpu_access.directories() } else { Vec::new() },
            cdi_devices: self.gpu_access.devices(),
            cdi_files: self.gpu_access.files(),
            ..DockerFacts::default()
        })
    }

    /// Looks at its configuration file.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn config(&self) -> Result<DockerConfigLook, String> {
        self.answers()?;
        let entry = match self.file {
            SimDockerFile::Absent => EntrySeen::Absent,
            SimDockerFile::Emptied => EntrySeen::Emptied,
            SimDockerFile::AsWanted => EntrySeen::AsWanted,
            SimDockerFile::Other => EntrySeen::Refused(model::daemon_json::Refused::Unreadable {
                said: "the runtime nvidia is another one".to_owned(),
            }),
        };
        let file = "/etc/docker/daemon.json".to_owned();
        let sha256 = Some(format!("{:064x}", self.writes));
        let cdi = if self.cdi.in_file { FeatureSeen::Enabled } else { FeatureSeen::Absent };
        let seen = DockerConfigSeen {
            real_file: file.clone(),
            file,
            unit: self.cdi.is_service.then(|| "docker.service".to_owned()),
            sha256,
            entry,
            cdi,
        };
        Ok(DockerConfigLook::File(seen))
    }

    fn answers(&self) -> Result<(), String> {
        match self.port {
            SimPort::Up => Ok(()),
            SimPort::Away => Err("cannot connect to the Docker daemon".to_owned()),
        }
    }

    /// Does one thing, wholly.
    ///
    /// # Errors
    /// Docker refuses it, or does not answer.
    pub fn act(&mut self, act: &NvidiaAct) -> Result<NvidiaActAnswer, String> {
        match act {
            NvidiaAct::DriverHost(_) | NvidiaAct::Cdi(_) => {}
            NvidiaAct::Container(_) | NvidiaAct::DockerConfig(_) | NvidiaAct::Probe { .. } => self.answers()?,
        }
        let done = match act {
            NvidiaAct::Container(deed) => self.deed(deed),
            NvidiaAct::DockerConfig(step) => self.config_step(step),
            NvidiaAct::DriverHost(step) => self.host_step(step),
            NvidiaAct::Cdi(step) => {
                // A whole simulated host has its GPUs elsewhere.
                let now = (!self.gpu_access.gpus.is_empty()).then(|| self.cdi_host());
                self.gpu_access.act(step, now.as_ref())
            }
            NvidiaAct::Probe { image, way } => return self.probe(image, *way),
        };
        done.map(|()| NvidiaActAnswer::Done)
    }

    fn probe(&mut self, image: &ImageRef, way: ToolkitWay) -> Result<NvidiaActAnswer, String> {
        if !self.images.has(image) {
            return Err(format!("no such image: {image}"));
        }
        self.gpu_access.probes.push(way);
        Ok(NvidiaActAnswer::Probed(self.gpu_access.probe.clone()))
    }

    /// The GPUs and the driver as an observation has them: while no driver answers, nothing is known of them.
    #[must_use]
    pub fn cdi_host(&self) -> CdiHost {
        let driver = self.containers.iter().find(|one| one.role == NvidiaRole::Driver && one.is_running());
        let version = driver.and_then(|one| one.digest.as_ref()).map(|digest| digest.to_string()[..12].to_owned());
        match (self.driver_ready(), version) {
            (Ok(()), Some(version)) => CdiHost { driver: Some(version), gpus: self.gpu_access.gpus.clone() },
            _ => CdiHost::default(),
        }
    }

    /// A look at CDI.
    #[must_use]
    pub fn cdi_look(&self) -> CdiLook {
        self.gpu_access.look(self.driver_ready().is_ok(), self.installed)
    }

    fn host_step(&mut self, step: &DriverHostStep) -> Result<(), String> {
        if let Some(why) = &self.host_refuses {
            return Err(why.clone());
        }
        let (runs, ready) = (self.driver_runs(), self.driver_ready().is_ok());
        self.driver_host.act(step, runs, ready)
    }

    /// The host around the driver container, as a look shows it.
    #[must_use]
    pub fn driver_host_seen(&self) -> DriverHostSeen {
        self.driver_host.seen(self.driver_runs())
    }

    fn driver_runs(&self) -> bool {
        self.containers.iter().any(|one| one.role == NvidiaRole::Driver && one.is_running())
    }

    fn deed(&mut self, deed: &NvidiaDeed) -> Result<(), String> {
        let now = self.now;
        match deed {
            NvidiaDeed::Pull { image, .. } => {
                if self.has_every_image {
                    self.images.publish_unknown(image);
                }
                self.images.pull(image, now);
                Ok(())
            }
            NvidiaDeed::Create(spec) => self.create(spec),
            NvidiaDeed::Start { role, id } => {
                let other = self.containers.iter().any(|one| one.role == *role && one.is_running() && one.id != *id);
                if other {
                    self.violations.push(format!("a second {role} container was started"));
                }
                let container = self.of(id)?;
                if !container.is_running() {
                    container.run = SimContainerRun::Running(now);
                    container.starts += 1;
                    if *role == NvidiaRole::Driver {
                        self.gpu_access.is_linked = false;
                        self.violations.extend(self.driver_host.driver_starts().map(str::to_owned));
                    }
                }
                Ok(())
            }
            NvidiaDeed::Stop { role, id } => {
                let used = *role == NvidiaRole::Driver && !self.holders.is_empty();
                let container = self.of(id)?;
                if container.is_running() {
                    container.run = SimContainerRun::Ended(0);
                    if used {
                        self.violations.push("the driver was stopped while it was in use".to_owned());
                    }
                }
                Ok(())
            }
            NvidiaDeed::Remove { id, .. } => {
                if self.of(id)?.is_running() {
                    self.violations.push("a running container was to be removed".to_owned());
                    return Err("cannot remove a running container".to_owned());
                }
                self.containers.retain(|one| one.id != *id);
                Ok(())
            }
        }
    }

    fn of(&mut self, id: &ContainerId) -> Result<&mut SimContainer, String> {
        let found = self.containers.iter_mut().find(|one| one.id == *id);
        let container = found.ok_or_else(|| format!("no such container: {}", id.short()))?;
        if container.foreign.is_some() {
            self.violations.push("a container of another program was touched".to_owned());
            return Err("it is not ours".to_owned());
        }
        Ok(container)
    }

    fn create(&mut self, spec: &NvidiaSpec) -> Result<(), String> {
        if !self.images.has(&spec.image) {
            return Err(format!("no such image: {}", spec.image));
        }
        let name = spec.container_name();
        if self.containers.iter().any(|one| one.name == name) {
            return Err(format!("the container name {name} is already in use"));
        }
        let id = self.next_id();
        self.containers.push(SimContainer {
            id,
            role: spec.role(),
            name,
            label: Some(spec.digest()),
            digest: spec.image.digest().cloned(),
            foreign: None,
            run: SimContainerRun::Created,
            starts: 0,
        });
        Ok(())
    }

    fn config_step(&mut self, step: &DockerConfigStep) -> Result<(), String> {
        match step {
            DockerConfigStep::PutRuntime { .. } => match self.file {
                SimDockerFile::Other => return Err("another runtime has the name".to_owned()),
                SimDockerFile::Absent | SimDockerFile::Emptied | SimDockerFile::AsWanted => {
                    self.file = SimDockerFile::AsWanted;
                }
            },
            DockerConfigStep::PutCdi { .. } => self.cdi.in_file = true,
            DockerConfigStep::TakeCdi { .. } => self.cdi.in_file = false,
            DockerConfigStep::Restart { .. } => return self.cdi_restart(),
            DockerConfigStep::TakeRuntime { .. } => {
                if !self.runtime_users.is_empty() {
                    self.violations.push("the runtime was removed while a container uses it".to_owned());
                }
                self.file = match self.file {
                    SimDockerFile::AsWanted => SimDockerFile::Emptied,
                    SimDockerFile::Emptied | SimDockerFile::Absent => SimDockerFile::Absent,
                    SimDockerFile::Other => return Err("it is not ours".to_owned()),
                };
            }
            // Without runtimes in its file a reload leaves Docker those that it has.
            DockerConfigStep::Reload if self.file == SimDockerFile::Absent => {}
            DockerConfigStep::Reload => {
                self.now = self.now.plus(self.reload_takes_ms);
                (self.shown_before, self.read_at) = (self.runtimes.clone(), self.now);
                self.read_file();
            }
        }
        self.writes += 1;
        Ok(())
    }

    fn read_file(&mut self) {
        let has = self.takes_runtimes && matches!(self.file, SimDockerFile::AsWanted | SimDockerFile::Other);
        self.runtimes = if has { vec!["nvidia".to_owned(), "runc".to_owned()] } else { vec!["runc".to_owned()] };
    }

    fn next_id(&mut self) -> ContainerId {
        loop {
            self.created += 1;
            if let Ok(id) = format!("{:064x}", self.created).parse() {
                return id;
            }
        }
    }
}
