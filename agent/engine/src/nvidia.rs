//! Keeps NVIDIA's driver and toolkit containers as they are wished: looks, has the next deed decided, does it, and looks again.
//!
//! One turn does one thing. What it begins is written down before; whatever is interrupted goes on from what Docker shows
//! (`model::nvidia_container::decide`).

use crate::image_board::pull_ended;
use crate::publish::Publisher;
use model::cdi::{CdiHost, CdiReader};
use model::change::UNKNOWN_BOOT;
use model::docker::DockerFacts;
use model::event::Occurrence;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::message::Message;
use model::nvidia_container::{ContainerRun, ImageSeen, NvidiaBegun, NvidiaDeed, NvidiaFault, NvidiaHold, NvidiaLook};
use model::nvidia_container::{
    DriverHostMemory, GpuAccessMemory, NVIDIA_CONDITIONS, NvidiaAct, NvidiaActEnd, NvidiaHostAsked, NvidiaHostSeen,
    NvidiaMemory, NvidiaPhase, NvidiaRecord, NvidiaRole, NvidiaRoleTurn, NvidiaState, NvidiaStatus, NvidiaTurn,
    NvidiaWish, NvidiaWorld, RuntimeMemory, decide, driver_config_planned, image_to_look_at, nvidia_conditions,
    nvidia_image, record_for,
};
use model::observation::HostObservation;
use model::pci::VENDOR_NVIDIA;
use model::policy::Policy;
use model::ports::{Clock, LedgerPort, NvidiaPort};
use model::settings::Settings;
use model::time::{BootMillis, Now};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// So long nothing is tried where the record could not be written.
const AGAIN_AFTER_MS: u64 = 30_000;

/// So long it is waited for the first facts of the host.
const FACTS_WITHIN_MS: u64 = 30_000;

/// What the keeper works with.
pub struct NvidiaKeeperParts<P, L, K> {
    /// Docker, and the host around it.
    pub port: Arc<P>,
    /// Where the record is kept.
    pub ledger: Arc<L>,
    /// The clock.
    pub clock: Arc<K>,
    /// Where the state and the conditions are shown.
    pub publisher: Arc<Publisher>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The policy in force.
    pub policy: watch::Receiver<Arc<Policy>>,
}

/// The keeper.
pub struct NvidiaKeeper<P, L, K> {
    parts: NvidiaKeeperParts<P, L, K>,
    record: NvidiaRecord,
    /// The record as it is on disk.
    saved: NvidiaRecord,
    /// Why nothing is done: the record cannot be used.
    blocked: Option<String>,
    last: Option<NvidiaActEnd>,
    doing: JoinSet<NvidiaActEnd>,
    logs: BTreeMap<NvidiaRole, Vec<String>>,
}

impl<P: NvidiaPort, L: LedgerPort, K: Clock> NvidiaKeeper<P, L, K> {
    /// One that has not read its record yet.
    #[must_use]
    pub fn new(parts: NvidiaKeeperParts<P, L, K>) -> Self {
        let (doing, logs) = (JoinSet::new(), BTreeMap::new());
        Self {
            parts,
            record: NvidiaRecord::default(),
            saved: NvidiaRecord::default(),
            blocked: None,
            last: None,
            doing,
            logs,
        }
    }

    /// Works until it is cancelled. A deed that is under way is left to the hand; the next start finds what became of it.
    pub async fn run(mut self, cancel: CancellationToken) {
        self.read_record().await;
        let mut seen = self.parts.publisher.seen();
        // The record is of a boot, and the names of images need the operating system.
        let first = seen.wait_for(|host| host.sequence > 0 && host.host.boot_id.known().is_some());
        let late = self.parts.clock.boot_now().plus(FACTS_WITHIN_MS);
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = first => {}
            () = self.parts.clock.sleep_until(late) => {}
        }
        let mut asked = self.parts.publisher.nvidia_asked();
        loop {
            asked.mark_unchanged();
            for role in self.parts.publisher.take_nvidia_asked() {
                self.record.try_again(role);
            }
            let noticed = Noticed::of(&seen.borrow_and_update());
            let wake = tokio::select! {
                () = cancel.cancelled() => return,
                wake = self.turn() => wake,
            };
            let clock = Arc::clone(&self.parts.clock);
            let timer = async move {
                match wake {
                    Some(when) => clock.sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            let is_busy = !self.doing.is_empty();
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(ended) = self.doing.join_next(), if is_busy => self.ended(ended),
                Ok(()) = self.parts.settings.changed(), if !is_busy => {}
                Ok(()) = self.parts.policy.changed(), if !is_busy => {}
                Ok(()) = asked.changed(), if !is_busy => {}
                // Where nothing has to be come back to nothing of the host matters.
                () = changed(&mut seen, &noticed), if !is_busy && wake.is_some() => {}
                () = timer, if !is_busy => {}
            }
        }
    }

    fn ended(&mut self, ended: Result<NvidiaActEnd, tokio::task::JoinError>) {
        match ended {
            Ok(end) => self.last = Some(end),
            // A bug of ours: the daemon ends, as after every other panic, and begins again.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(_) => {}
        }
    }

    /// Reads the record. A damaged one is kept beside and never taken for an empty wish: what runs is known by its label.
    async fn read_record(&mut self) {
        let ledger = &self.parts.ledger;
        let damage = match ledger.read().await {
            Ok(None) => return,
            Ok(Some(bytes)) => match NvidiaRecord::decode(&bytes) {
                Ok(record) => {
                    (self.record, self.saved) = (record.clone(), record);
                    return;
                }
                Err(damage) => damage.to_string(),
            },
            Err(fault) => fault.to_string(),
        };
        let place = ledger.place();
        let next = match ledger.set_aside().await {
            Ok(Some(name)) => format!("it is kept as {name}"),
            Ok(None) => "it is gone".to_owned(),
            Err(fault) => {
                self.blocked = Some(format!("{place}: {damage}; {fault}"));
                "nothing is changed".to_owned()
            }
        };
        tracing::error!(
            message_id = Message::NvidiaRecordUnusable.id(),
            "{place}: {damage}; {next}, and containers that are there are known by their label"
        );
    }

    /// Nothing is wished, and nothing was.
    fn is_idle(&self, wish: &NvidiaWish) -> bool {
        let nothing = |role: &NvidiaRole| !wish.deploys(*role) && *self.record.of(*role) == NvidiaMemory::default();
        NvidiaRole::ALL.iter().all(nothing)
            && self.record.runtime == RuntimeMemory::default()
            && self.record.driver_host == DriverHostMemory::default()
            && self.record.gpu_access == GpuAccessMemory::default()
    }

    async fn world(&mut self) -> NvidiaWorld {
        let settings = Arc::clone(&self.parts.settings.borrow_and_update());
        let policy = self.parts.policy.borrow_and_update().host.nvidia.clone();
        let wish = settings.nvidia.deployment.clone();
        let host = Arc::clone(&self.parts.publisher.seen().borrow());
        let boot_id = host.host.boot_id.known().map_or_else(|| UNKNOWN_BOOT.to_owned(), ToString::to_string);
        let record = record_for(&wish, &self.record, &boot_id);
        let images = |role| nvidia_image(role, &wish, &host.host);
        let asked = |role| Some(image_to_look_at(role, &wish, images(role)?.as_ref().ok()?, &record));
        let port = &*self.parts.port;
        // Before the first question: what is seen later is at least as new.
        let now = Now { boot: self.parts.clock.boot_now(), wall: self.parts.clock.wall_now() };
        let (driver, toolkit, docker) = tokio::join!(
            port.look_at_containers(NvidiaRole::Driver, asked(NvidiaRole::Driver)),
            port.look_at_containers(NvidiaRole::Toolkit, asked(NvidiaRole::Toolkit)),
            port.ask_docker(),
        );
        let version = docker.as_ref().ok().and_then(|docker| docker.version.clone());
        let is_idle = self.is_idle(&wish);
        let driver_image = images(NvidiaRole::Driver).and_then(Result::ok);
        let asked_of_host = NvidiaHostAsked {
            wish: wish.clone(),
            gpus: driver_gpus(&wish, &self.record, &host),
            cdi_reader: docker.as_ref().ok().map(|docker| CdiReader {
                directories: docker.cdi_spec_dirs.clone(),
                docker_version: docker.version.clone(),
            }),
            docker_root: docker.as_ref().ok().and_then(|docker| docker.root_dir.clone()),
            driver_config: driver_image.and_then(|image| driver_config_planned(&wish, &image, &record)),
            is_driver_pulled: driver.as_ref().is_ok_and(|look| matches!(look.image, ImageSeen::Present { .. })),
        };
        let config = async {
            if is_idle { Err("it was not looked at".to_owned()) } else { port.look_at_docker_config(version).await }
        };
        let around = async { if is_idle { not_looked_at() } else { port.look_at_nvidia_host(asked_of_host).await } };
        let (docker_config, around) = tokio::join!(config, around);
        NvidiaWorld {
            over_files: settings.desired.nvidia.clone(),
            driver_image: images(NvidiaRole::Driver),
            toolkit_image: images(NvidiaRole::Toolkit),
            policy,
            driver,
            toolkit,
            docker,
            docker_config,
            cdi_host: cdi_host(&host),
            host: around,
            record: self.record.clone(),
            last: self.last.clone(),
            boot_id,
            now,
            wish,
        }
    }

    /// One turn. Returns when to look again.
    async fn turn(&mut self) -> Option<BootMillis> {
        let world = self.world().await;
        let turn = decide(&world);
        for role in NvidiaRole::ALL {
            if let Some(id) = turn.of(*role).log_of.clone() {
                self.keep_log(*role, &id).await;
            }
        }
        let (mut act, mut wake) = (turn.act.clone(), turn.wake_at);
        let in_this_boot = NvidiaRecord { boot_id: turn.record.boot_id.clone(), ..self.record.clone() };
        let is_nothing = self.is_idle(&world.wish) && act.is_none() && turn.record == in_this_boot;
        let saved = match &self.blocked {
            // Where nothing is wished nothing is written.
            _ if is_nothing => Ok(()),
            Some(why) => Err(why.clone()),
            // What somebody asked for since is a change too.
            None if turn.record == self.saved => Ok(()),
            None => self.parts.ledger.write(turn.record.encode()).await.map_err(|fault| fault.to_string()),
        };
        match &saved {
            Ok(()) => (self.record, self.saved) = (turn.record.clone(), turn.record.clone()),
            Err(_) => (act, wake) = (None, Some(world.now.boot.plus(AGAIN_AFTER_MS))),
        }
        let board = self.parts.publisher.images();
        board.show_nvidia(self.record.images().chain(wanted(&world)).collect());
        for role in NvidiaRole::ALL {
            if let Some(end) = pull_end(*role, &world, &turn) {
                self.parts.publisher.occur(end);
            }
        }
        self.show(&world, &turn, act.as_ref(), saved.err());
        if let Some(act) = act {
            self.begin(act, &world);
        }
        wake
    }

    fn begin(&mut self, act: NvidiaAct, world: &NvidiaWorld) {
        if let NvidiaAct::Container(NvidiaDeed::Pull { image, .. }) = &act {
            self.parts.publisher.images().pull_begins(image);
        }
        let (port, version) =
            (Arc::clone(&self.parts.port), world.docker.as_ref().ok().and_then(|docker| docker.version.clone()));
        self.last = None;
        tracing::info!(message_id = Message::NvidiaDeed.id(), "{act}");
        self.doing.spawn(async move {
            let result = port.act_on_nvidia(&act, version).await;
            NvidiaActEnd { act, result }
        });
    }

    async fn keep_log(&mut self, role: NvidiaRole, id: &ContainerId) {
        let lines = self.parts.port.read_container_log(role, id).await;
        let lines = lines.unwrap_or_else(|fault| vec![format!("the log cannot be read: {fault}")]);
        self.logs.insert(role, lines);
    }

    fn show(&self, world: &NvidiaWorld, turn: &NvidiaTurn, act: Option<&NvidiaAct>, unsaved: Option<String>) {
        let publisher = &self.parts.publisher;
        let before = Arc::clone(&publisher.nvidia().borrow());
        let status = |role| self.status(world, turn.of(role), role, act, before.of(role), unsaved.as_deref());
        let state = NvidiaState { driver: status(NvidiaRole::Driver), toolkit: status(NvidiaRole::Toolkit) };
        for role in NvidiaRole::ALL {
            log_change(before.of(*role), state.of(*role));
        }
        let default_runtime = world.docker.as_ref().ok().and_then(|docker| docker.default_runtime.as_deref());
        // Where nothing is looked at again it would never be lifted.
        let default_runtime = default_runtime.filter(|_| turn.wake_at.is_some());
        let conditions = nvidia_conditions(&state, default_runtime, world.now.wall);
        let over = NVIDIA_CONDITIONS.iter().filter(|kind| !conditions.iter().any(|one| one.kind == **kind));
        over.for_each(|kind| publisher.lift(kind));
        conditions.into_iter().for_each(|condition| publisher.stand(condition));
        publisher.show_nvidia(state);
    }

    fn status(
        &self,
        world: &NvidiaWorld,
        turn: &NvidiaRoleTurn,
        role: NvidiaRole,
        act: Option<&NvidiaAct>,
        before: &NvidiaStatus,
        unsaved: Option<&str>,
    ) -> NvidiaStatus {
        let look = world.look(role).as_ref().ok();
        let container = look.and_then(|look| container_of(look, turn.container.as_ref()));
        let phase = match unsaved.filter(|_| turn.phase != NvidiaPhase::Disabled) {
            Some(why) => {
                let (fault, reason) = (NvidiaFault::RecordNotSaved, why.to_owned());
                NvidiaPhase::Failed { fault, reason, retry_at: None }
            }
            None => turn.phase.clone(),
        };
        let since = if before.phase.code() == phase.code() { before.since } else { None };
        let deed = act.filter(|act| act.role() == role);
        let pull = look.and_then(|look| match look.image {
            ImageSeen::Pulling { done_bytes, total_bytes } => Some((done_bytes, total_bytes)),
            ImageSeen::Absent | ImageSeen::Present { .. } | ImageSeen::PullFailed { .. } => None,
        });
        NvidiaStatus {
            role,
            wished: world.wish.deploys(role),
            phase,
            since: since.or(Some(world.now.wall)),
            hold: turn.hold.clone(),
            image_wanted: world.image(role).and_then(|image| image.as_ref().ok()).cloned(),
            digest_wanted: turn.digest_wanted.clone(),
            digest_running: container.and_then(|one| one.image_digests.first()).cloned(),
            container: container.map(|one| one.id.clone()),
            container_name: container.map(|one| one.name.clone()),
            is_running: container.is_some_and(|one| one.run == ContainerRun::Running),
            started_at: container.and_then(|one| one.started_at),
            pull_progress: pull,
            holders: match &turn.hold {
                Some(NvidiaHold::DriverBusy { holders }) => holders.clone(),
                _ => Vec::new(),
            },
            log_tail: self.logs.get(&role).cloned().unwrap_or_default(),
            deed: deed.map(ToString::to_string),
        }
    }
}

/// The images that are wanted now, by the digests that their tags stand for.
fn wanted(world: &NvidiaWorld) -> impl Iterator<Item = ImageRef> {
    NvidiaRole::ALL.iter().filter_map(|role| {
        let image = world.image(*role)?.as_ref().ok()?;
        let resolved = world.record.of(*role).resolved.clone().filter(|_| image.digest().is_none());
        Some(resolved.map_or_else(|| image.clone(), |digest| image.at(digest)))
    })
}

/// The end of a pull, where this turn has found it.
fn pull_end(role: NvidiaRole, world: &NvidiaWorld, turn: &NvidiaTurn) -> Option<Occurrence> {
    let before = world.record.of(role).begun.as_ref()?;
    let NvidiaBegun::Pull { image } = before else { return None };
    if turn.record.of(role).begun.as_ref() == Some(before) {
        return None;
    }
    match &world.look(role).as_ref().ok()?.image {
        ImageSeen::Present { .. } => Some(pull_ended(image, Ok(()))),
        ImageSeen::PullFailed { why } => Some(pull_ended(image, Err(why))),
        ImageSeen::Absent | ImageSeen::Pulling { .. } => None,
    }
}

fn container_of<'a>(
    look: &'a NvidiaLook,
    id: Option<&ContainerId>,
) -> Option<&'a model::nvidia_container::NvidiaContainerSeen> {
    look.containers.iter().find(|one| Some(&one.id) == id)
}

/// The GPUs whose users matter: those of NVIDIA that the driver could have.
fn driver_gpus(wish: &NvidiaWish, record: &NvidiaRecord, host: &HostObservation) -> Vec<model::PciAddress> {
    if !wish.deploy_driver && *record.of(NvidiaRole::Driver) == NvidiaMemory::default() {
        return Vec::new();
    }
    let of_nvidia = host.gpus.iter().filter(|gpu| gpu.pci.id.vendor == VENDOR_NVIDIA);
    of_nvidia.map(|gpu| gpu.pci.address).collect()
}

/// What a CDI specification has to fit.
fn cdi_host(host: &HostObservation) -> CdiHost {
    CdiHost::of(&host.gpus, host.host.stack.module_loaded.known().map(String::as_str))
}

/// What of an observation is news for NVIDIA's containers.
#[derive(PartialEq)]
struct Noticed {
    /// GPUs that were bound, plugged in or cut into MIG instances, or another driver.
    cdi_host: CdiHost,
    /// Docker, with its runtimes, CDI files and the number of running containers; `None` if it did not answer.
    docker: Option<DockerFacts>,
}

impl Noticed {
    fn of(host: &HostObservation) -> Self {
        Self { cdi_host: cdi_host(host), docker: host.docker.as_ref().ok().cloned() }
    }
}

/// Returns when an observation shows something else.
async fn changed(seen: &mut watch::Receiver<Arc<HostObservation>>, before: &Noticed) {
    if seen.wait_for(|host| Noticed::of(host) != *before).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn not_looked_at() -> NvidiaHostSeen {
    let why = || "it was not looked at".to_owned();
    NvidiaHostSeen {
        preflight: Vec::new(),
        driver_ready: Err(why()),
        runtime_answers: Err(why()),
        holders: Err(why()),
        runtime_users: Err(why()),
        cdi: Err(why()),
        driver_host: Err(why()),
    }
}

/// What an administrator looks for later.
fn log_change(before: &NvidiaStatus, now: &NvidiaStatus) {
    let role = now.role;
    let is_rolled_back = |status: &NvidiaStatus| matches!(status.hold, Some(NvidiaHold::RolledBack { .. }));
    if let (Some(hold), false) = (now.hold.as_ref().filter(|_| is_rolled_back(now)), is_rolled_back(before)) {
        tracing::warn!(message_id = Message::NvidiaRolledBack.id(), "{role} container: {hold}");
    }
    if before.phase.code() == now.phase.code() {
        return;
    }
    if let NvidiaPhase::Failed { fault, reason, .. } = &now.phase {
        tracing::warn!(
            message_id = Message::NvidiaFailed.id(),
            "the {role} container does not work ({fault}): {reason}"
        );
    }
    if now.phase == NvidiaPhase::Ready {
        let image = now.digest_running.as_ref().map_or_else(String::new, |digest| format!(" ({digest})"));
        tracing::info!(message_id = Message::NvidiaReady.id(), "the {role} container is ready{image}");
    }
}
