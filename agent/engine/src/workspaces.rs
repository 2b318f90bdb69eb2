//! Keeps workspaces as they are wished: looks at their containers, has the next deeds decided, does them, and looks again.
//!
//! What is wished is in the documents, and what is there is in Docker: both are read again after every start. Only what people have
//! asked for on this host, and the volumes of what was deleted, are kept on disk, before anything is done for them.

use crate::fresh_host::FreshHost;
use crate::handle::Handle;
use crate::image_board::pull_ended;
use crate::named_images::NamedImages;
use crate::publish::{Publisher, WorkspaceQuestion};
use crate::pull_ends::pull_ends;
use crate::workspace_asks::obey;
use crate::workspace_notices::show;
use model::desired::DesiredState;
use model::docker::DockerFacts;
use model::driver::ProbeError;
use model::enrol::CheckinStatus;
use model::image_ref::ImageRef;
use model::message::Message;
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::pci::DrmNodes;
use model::policy::Policy;
use model::ports::{Clock, LedgerPort, WorkspacePort};
use model::reconcile::manager_held;
use model::refusal::Refusal;
use model::settings::Settings;
use model::time::{BootMillis, Now};
use model::workspace::{DescribedHost, WorkspaceAction, WorkspaceId, plan};
use model::workspace_life::{
    BadWorkspacesRecord, DiskRoom, WorkspaceDeed, WorkspaceGpuLook, WorkspaceGpuNeeds, WorkspaceGpuProbe,
    WorkspaceHostSide, WorkspaceLimits, WorkspaceLook, WorkspaceReason, WorkspaceSeen, WorkspaceWishes,
    WorkspacesDoing, WorkspacesMemory, WorkspacesRecord, WorkspacesState, WorkspacesTurn, WorkspacesWorld,
    decide_workspaces, described, without_leaving,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between two looks there is at least so much time: what happens at once is seen at once.
const LOOKS_APART_MS: u64 = 100;
/// Each look in a row that shows nothing new doubles that time, up to this: reports without end (a clock that was set back, a tenant
/// who causes them) must not keep Docker busy.
const LOOKS_APART_MOST_MS: u64 = 10_000;
/// A look asks Docker about each container: between two there are at least so many milliseconds for each, up to the bound that follows.
const LOOKS_APART_EACH_MS: u64 = 8;
/// The bound.
const LOOKS_APART_MANY_MS: u64 = 2_000;
/// A look although nothing was reported, since reports can be lost.
const LOOK_AGAIN_MS: u64 = 300_000;
/// While an image is pulled it is looked at so often.
const PULL_LOOK_MS: u64 = 2_000;
/// After Docker did not answer it is asked again so soon.
const DOCKER_AGAIN_MS: u64 = 5_000;
/// The same where nothing is wished of it.
const DOCKER_IDLE_MS: u64 = 60_000;
/// Nothing is tried for so long where the record could not be written.
const RECORD_AGAIN_MS: u64 = 30_000;
/// What the planner needs beside an observation is read again so soon.
const SIDE_AGAIN_MS: u64 = 600_000;
/// So long it is waited for the first facts of the host.
const FACTS_WITHIN_MS: u64 = 30_000;

/// What the keeper works with.
pub struct WorkspaceKeeperParts<P, L, K> {
    /// Docker.
    pub port: Arc<P>,
    /// Where the record is kept.
    pub ledger: Arc<L>,
    /// The clock.
    pub clock: Arc<K>,
    /// Where the host can be looked at again.
    pub handle: Handle,
    /// Where the state is shown, and where people ask.
    pub publisher: Arc<Publisher>,
    /// What is wished.
    pub desired: watch::Receiver<Arc<DesiredState>>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The policy in force.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// An administrator has frozen what a manager requests.
    pub locked: watch::Receiver<bool>,
    /// The state of the check-in with the manager.
    pub checkin: watch::Receiver<Arc<CheckinStatus>>,
}

/// The keeper.
pub struct WorkspaceKeeper<P, L, K> {
    parts: WorkspaceKeeperParts<P, L, K>,
    memory: WorkspacesMemory,
    /// Why nothing is kept: the record cannot be used.
    blocked: Option<String>,
    /// The record as it is on disk.
    kept: WorkspacesRecord,
    wishes: WorkspaceWishes,
    named: NamedImages,
    /// The last look that worked.
    look: WorkspaceLook,
    looked_at: Option<BootMillis>,
    /// What the planner needs beside an observation, and when and beside which DRM nodes it was read.
    side: WorkspaceHostSide,
    side_of: Option<(BootMillis, Vec<DrmNodes>)>,
    /// Something has happened since.
    is_stale: bool,
    /// So many looks in a row showed nothing new.
    unchanged: u32,
    doing: WorkspacesDoing,
    fresh: FreshHost,
    deeds: JoinSet<(WorkspaceDeed, Result<(), String>)>,
    events: JoinSet<Result<(), String>>,
    looks: JoinSet<(WorkspaceGpuProbe, Result<WorkspaceGpuLook, String>)>,
}

impl<P: WorkspacePort, L: LedgerPort, K: Clock> WorkspaceKeeper<P, L, K> {
    /// One that has not read its record yet.
    #[must_use]
    pub fn new(parts: WorkspaceKeeperParts<P, L, K>) -> Self {
        let fresh = FreshHost::new(parts.handle.clone());
        Self {
            parts,
            memory: WorkspacesMemory::default(),
            blocked: None,
            kept: WorkspacesRecord::default(),
            wishes: WorkspaceWishes::default(),
            named: NamedImages::default(),
            look: WorkspaceLook::default(),
            looked_at: None,
            side: WorkspaceHostSide::default(),
            side_of: None,
            is_stale: true,
            unchanged: 0,
            doing: WorkspacesDoing::default(),
            fresh,
            deeds: JoinSet::new(),
            events: JoinSet::new(),
            looks: JoinSet::new(),
        }
    }

    /// Works until it is cancelled. Deeds that are under way are left to the hand; the next start finds what became of them.
    pub async fn run(mut self, cancel: CancellationToken) {
        self.read_record().await;
        let mut seen = self.parts.publisher.seen();
        let first = seen.wait_for(|host| host.sequence > 0 && host.host.cores.known().is_some());
        let late = self.parts.clock.boot_now().plus(FACTS_WITHIN_MS);
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = first => {}
            () = self.parts.clock.sleep_until(late) => {}
        }
        let mut nvidia = self.parts.publisher.nvidia();
        let mut leaves = self.parts.publisher.mig_leaves();
        let (_nobody, none) = mpsc::channel(1);
        let mut questions = self.parts.publisher.take_workspace_questions().unwrap_or(none);
        loop {
            // Whatever wakes it at once and again and again, the other tasks of this thread have their turn.
            tokio::task::yield_now().await;
            if self.blocked.is_some() {
                self.read_record().await;
            }
            while let Ok(question) = questions.try_recv() {
                self.answer(question).await;
            }
            let wake = tokio::select! {
                () = cancel.cancelled() => return,
                wake = self.turn(&mut seen, &mut nvidia) => wake,
            };
            let clock = Arc::clone(&self.parts.clock);
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(ended) = self.deeds.join_next(), if !self.deeds.is_empty() => {
                    (self.is_stale, self.unchanged) = (true, 0);
                    self.ended(ended);
                }
                () = self.fresh.looked() => {}
                Some(looked) = self.looks.join_next(), if !self.looks.is_empty() => self.gpus_looked_at(looked),
                Some(event) = self.events.join_next(), if !self.events.is_empty() => {
                    self.is_stale = true;
                    if let Ok(Err(_)) = event {
                        self.memory.docker_was_away = true;
                        let again = clock.boot_now().plus(DOCKER_AGAIN_MS);
                        tokio::select! {
                            () = cancel.cancelled() => return,
                            () = clock.sleep_until(again) => {}
                        }
                    }
                }
                Ok(()) = self.parts.desired.changed() => {}
                Ok(()) = self.parts.settings.changed() => {}
                Ok(()) = self.parts.policy.changed() => {}
                Ok(()) = self.parts.locked.changed() => {}
                Ok(()) = self.parts.checkin.changed() => {}
                Ok(()) = seen.changed() => {}
                Ok(()) = nvidia.changed() => {}
                Ok(()) = leaves.changed() => {}
                Some(question) = questions.recv() => self.answer(question).await,
                () = at(&*clock, wake) => {}
            }
        }
    }

    fn ended(&mut self, ended: Result<(WorkspaceDeed, Result<(), String>), tokio::task::JoinError>) {
        let (deed, result) = match ended {
            Ok(end) => end,
            // A bug of ours: the daemon ends, as after every other panic, and begins again.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(_) => return,
        };
        if let Some(id) = deed.workspace_id() {
            self.doing.workspaces.remove(id);
            self.doing.starting.remove(id);
        }
        let now = self.parts.clock.boot_now();
        if let Err(fault) = &result {
            tracing::warn!(message_id = Message::WorkspaceDeedFailed.id(), "could not {deed}: {fault}");
        }
        match deed {
            WorkspaceDeed::Pull { image, .. } => {
                self.doing.images.remove(&image);
                if let Err(fault) = result {
                    self.parts.publisher.occur(pull_ended(&image, Err(&fault)));
                    let known = self.memory.images.entry(image).or_default();
                    known.is_begun = false;
                    known.pace.fail(now, "pull_failed", &fault, false);
                }
            }
            WorkspaceDeed::RemoveVolume { name } => {
                self.doing.volumes.remove(&name);
                match result {
                    Ok(()) => drop(self.memory.record.doomed_volumes.remove(&name)),
                    Err(fault) => self.memory.volume_failed(&name, now, &fault),
                }
            }
            WorkspaceDeed::Create(_)
            | WorkspaceDeed::Start { .. }
            | WorkspaceDeed::Stop { .. }
            | WorkspaceDeed::Pause { .. }
            | WorkspaceDeed::Unpause { .. }
            | WorkspaceDeed::Remove { .. } => {
                let failed = result.err();
                self.memory.ended(&deed, now, failed.as_deref().map_or(Ok(()), Err));
            }
        }
    }

    fn gpus_looked_at(
        &mut self,
        looked: Result<(WorkspaceGpuProbe, Result<WorkspaceGpuLook, String>), tokio::task::JoinError>,
    ) {
        let (probe, look) = match looked {
            Ok(looked) => looked,
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(_) => return,
        };
        self.doing.probes.remove(&probe.workspace_id);
        if let Some(lost) = self.memory.gpus_found(&probe, &look) {
            tracing::warn!(message_id = Message::WorkspaceGpuLost.id(), "{}", lost.message);
            self.parts.publisher.occur(lost);
        }
    }

    /// Reads the record. A damaged one is kept beside and never taken for an empty wish: what runs goes on running.
    async fn read_record(&mut self) {
        let before = self.blocked.take();
        let ledger = &self.parts.ledger;
        let damage = match ledger.read().await {
            Ok(None) => return,
            Ok(Some(bytes)) => match WorkspacesRecord::decode(&bytes) {
                Ok(record) => {
                    self.kept = record.clone();
                    self.memory.record = record;
                    return;
                }
                Err(damage @ BadWorkspacesRecord::Damaged(_)) => damage.to_string(),
                // Another version reads it, and nothing of it is lost.
                Err(other @ BadWorkspacesRecord::Schema(_)) => return self.block(&other.to_string(), before),
            },
            Err(fault) => return self.block(&fault.to_string(), before),
        };
        let place = ledger.place();
        let next = match ledger.set_aside().await {
            Ok(Some(name)) => format!("it is kept as {name}"),
            Ok(None) => "it is gone".to_owned(),
            Err(fault) => return self.block(&format!("{damage}; {fault}"), before),
        };
        // Known to the next start too: what was asked for here before is nobody's wish to stop.
        self.memory.record.is_lost = true;
        tracing::error!(
            message_id = Message::WorkspaceRecordUnusable.id(),
            "{place}: {damage}; {next}, and workspaces that people have created on this host go on running unlisted"
        );
    }

    /// Nothing is done until the record can be read: what it holds is somebody's wish. It is tried again each turn, and logged once.
    fn block(&mut self, why: &str, before: Option<String>) {
        let why = format!("{}: {why}", self.parts.ledger.place());
        if before.as_ref() != Some(&why) {
            tracing::error!(
                message_id = Message::WorkspaceRecordUnusable.id(),
                "{why}; it stays as it is, and nothing is done about workspaces until it can be read"
            );
        }
        self.blocked = Some(why);
    }

    /// Does what somebody asks, and writes it down before the answer.
    async fn answer(&mut self, question: WorkspaceQuestion) {
        let WorkspaceQuestion { ask, answer } = question;
        let before = self.memory.clone();
        let shown = Arc::clone(&self.parts.publisher.workspaces().borrow());
        let done = match &self.blocked {
            Some(why) => Err(Refusal::Unavailable { what: "the record of workspaces".to_owned(), why: why.clone() }),
            None => obey(&mut self.memory, &shown, ask),
        };
        let done = match done {
            Ok(()) => {
                let record = self.memory.record.clone();
                let attempted = format!("write {}", self.parts.ledger.place());
                self.save(&record).await.map_err(|said| Refusal::HostFault { attempted, said })
            }
            refused => refused,
        };
        if done.is_err() {
            self.memory = before;
        }
        // Nobody may be waiting for it any more.
        let _gone = answer.send(done);
    }

    /// Nothing is wished, and nothing is there.
    fn is_idle(&self) -> bool {
        let record = &self.memory.record;
        self.wishes.document.workspaces.is_empty()
            && self.wishes.images.is_empty()
            && record.local.is_empty()
            && record.doomed_volumes.is_empty()
            && self.look.containers.is_empty()
            && self.deeds.is_empty()
    }

    /// One turn. Returns when to look again.
    async fn turn(
        &mut self,
        seen: &mut watch::Receiver<Arc<HostObservation>>,
        nvidia: &mut watch::Receiver<Arc<NvidiaState>>,
    ) -> Option<BootMillis> {
        let host = Arc::clone(&seen.borrow_and_update());
        let nvidia = Arc::clone(&nvidia.borrow_and_update());
        let policy = Arc::clone(&self.parts.policy.borrow_and_update());
        self.read_wishes();
        let has_no_docker = matches!(host.docker, Err(ProbeError::Absent { .. }));
        if self.is_idle() && (self.looked_at.is_some() || has_no_docker) {
            self.events.abort_all();
            self.show(WorkspacesState {
                is_looked: true,
                document: self.wishes.document_id.clone(),
                ..WorkspacesState::default()
            });
            return None;
        }
        self.read_side(&host).await;
        // Before the question: what is seen later is at least as new.
        let mut now = self.now();
        let images = self.images(&host, &policy);
        let is_known = |image: &ImageRef| self.look.images.iter().any(|(known, _)| known == image);
        let is_due = self.looked_at.is_none_or(|looked| now.boot >= looked.plus(self.look_again_ms()));
        if self.is_stale || is_due || !images.iter().all(is_known) {
            if let Some(looked) = self.looked_at {
                let apart = self.looks_apart_ms().saturating_mul(1_u64 << self.unchanged.min(20));
                self.parts.clock.sleep_until(looked.plus(apart.min(LOOKS_APART_MOST_MS))).await;
                now = self.now();
            }
            match self.parts.port.look_at_workspaces(images).await {
                Ok(look) => {
                    self.unchanged = if self.look == look { self.unchanged.saturating_add(1) } else { 0 };
                    (self.look, self.looked_at, self.is_stale) = (look, Some(now.boot), false);
                }
                Err(why) => {
                    self.memory.docker_was_away = true;
                    let before = (*self.parts.publisher.workspaces().borrow()).clone();
                    self.show(WorkspacesState { unknown: Some(why), ..(*before).clone() });
                    let pause = if self.is_idle() { DOCKER_IDLE_MS } else { DOCKER_AGAIN_MS };
                    return Some(now.boot.plus(pause));
                }
            }
        }
        if self.events.is_empty() {
            let port = Arc::clone(&self.parts.port);
            self.events.spawn(async move { port.await_workspace_event(now.wall).await });
        }
        let world = self.world(&host, &policy, &nvidia, now);
        let turn = decide_workspaces(&world);
        self.take(turn, now).await
    }

    fn now(&self) -> Now {
        Now { boot: self.parts.clock.boot_now(), wall: self.parts.clock.wall_now() }
    }

    /// How old a look may become where nothing is reported.
    fn look_again_ms(&self) -> u64 {
        if self.memory.pulls().next().is_none() { LOOK_AGAIN_MS } else { PULL_LOOK_MS }
    }

    /// At least so much time is between two looks.
    fn looks_apart_ms(&self) -> u64 {
        let containers = u64::try_from(self.look.containers.len()).unwrap_or(u64::MAX);
        containers.saturating_mul(LOOKS_APART_EACH_MS).clamp(LOOKS_APART_MS, LOOKS_APART_MANY_MS)
    }

    fn read_wishes(&mut self) {
        let desired = Arc::clone(&self.parts.desired.borrow_and_update());
        let settings = Arc::clone(&self.parts.settings.borrow_and_update());
        let record = Some(&self.memory.record).filter(|_| self.blocked.is_none());
        self.named.show(self.parts.publisher.images(), &desired, record);
        self.wishes = WorkspaceWishes::of(&desired, &self.memory.record).with_host(&settings.desired);
    }

    /// The images of what is to run, and those whose pull was begun: it goes on also where nothing wants it any more.
    fn images(&self, host: &HostObservation, policy: &Policy) -> Vec<ImageRef> {
        let docker = host.docker.clone().unwrap_or_default();
        let described = self.described(host, &docker, policy);
        let planned = plan(&described, &self.wishes.document);
        let images = planned.into_iter().filter_map(|one| match one.action {
            WorkspaceAction::Create(request) => Some(request.container.image),
            WorkspaceAction::Nothing | WorkspaceAction::Refusal(_) => None,
        });
        let wished = self.wishes.images.iter().filter_map(|wish| wish.image.as_ref().ok().cloned());
        images.chain(wished).chain(self.memory.pulls().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The host for the planner: what gives way to a change of MIG gets no new workspace.
    fn described(&self, host: &HostObservation, docker: &DockerFacts, policy: &Policy) -> DescribedHost {
        let leaves = Arc::clone(&self.parts.publisher.mig_leaves().borrow());
        let seen = (self.look.containers.as_slice(), &self.starting());
        without_leaving(described(host, docker, seen, (&self.side, policy)), &leaves)
    }

    /// Reads what the planner needs beside an observation, where that can be another one: DRM nodes and their groups come with a driver.
    async fn read_side(&mut self, host: &HostObservation) {
        let (now, drm) =
            (self.parts.clock.boot_now(), host.gpus.iter().map(|gpu| gpu.pci.drm.clone()).collect::<Vec<_>>());
        let is_known = |(read_at, of): &(BootMillis, Vec<DrmNodes>)| *of == drm && now < read_at.plus(SIDE_AGAIN_MS);
        if !self.side_of.as_ref().is_some_and(is_known) {
            self.side = self.parts.port.read_host_side().await;
            self.side_of = Some((now, drm));
        }
    }

    /// Workspaces that are being started, or were stopped to be started again.
    fn starting(&self) -> BTreeSet<WorkspaceId> {
        self.doing.starting.iter().chain(self.memory.repairing()).cloned().collect()
    }

    fn gpu_needs(&self, host: &HostObservation) -> BTreeMap<WorkspaceId, WorkspaceGpuNeeds> {
        let ours = self.look.containers.iter().filter(|seen| seen.foreign.is_none() && seen.is_live());
        let needs = |seen: &WorkspaceSeen| {
            Some((seen.workspace_id.clone()?, WorkspaceGpuNeeds::of(host, &seen.gpus, &seen.vfio)))
        };
        ours.filter_map(needs).collect()
    }

    fn world(&mut self, host: &HostObservation, policy: &Policy, nvidia: &NvidiaState, now: Now) -> WorkspacesWorld {
        let docker = host.docker.clone().unwrap_or_default();
        let limit_pct = self.parts.settings.borrow().images.disk_usage_limit_pct;
        let locked = *self.parts.locked.borrow_and_update();
        let checkin = self.parts.checkin.borrow_and_update().state;
        let denied = || {
            let message = "a manager may not have workspaces here (manager.workspaces in policy.toml)";
            WorkspaceReason::new("denied_by_local_policy", message)
        };
        let held = manager_held(checkin, locked).map(|why| WorkspaceReason::new(&why.code, why.message));
        WorkspacesWorld {
            document: self.wishes.document.clone(),
            document_id: self.wishes.document_id.clone(),
            images: self.wishes.images.clone(),
            room: host.host.disk.known().filter(|_| host.docker.is_ok()).map(|disk| DiskRoom::of(disk, limit_pct)),
            is_store_doubled: docker.has_containerd_store,
            lists: self.wishes.lists,
            manager_held: held.or_else(|| (!policy.manager.workspaces).then(denied)),
            driver_changing: self.fresh.hold(nvidia),
            host: self.described(host, &docker, policy),
            look: self.look.clone(),
            memory: self.memory.clone(),
            doing: self.doing.clone(),
            gpu_needs: self.gpu_needs(host),
            repair: policy.host.workspaces.repair,
            mig_leaves: (**self.parts.publisher.mig_leaves().borrow()).clone(),
            limits: self.limits(),
            max_removals: policy.manager.max_removals,
            now,
        }
    }

    fn limits(&self) -> WorkspaceLimits {
        let pulls = usize::try_from(self.parts.settings.borrow().images.concurrent_pulls);
        let default = WorkspaceLimits::default();
        WorkspaceLimits { pulls: pulls.unwrap_or(default.pulls), ..default }
    }

    /// Writes down what has to be, begins what was decided, and shows it.
    async fn take(&mut self, turn: WorkspacesTurn, now: Now) -> Option<BootMillis> {
        let WorkspacesTurn { deeds, probes, probe_at, mut state, memory, wake_at } = turn;
        let saved = match &self.blocked {
            Some(why) => Err(why.clone()),
            None => self.save(&memory.record).await,
        };
        if let Err(why) = saved {
            state.unknown = Some(format!("nothing is done, because it cannot be written down: {why}"));
            self.show(state);
            return Some(now.boot.plus(RECORD_AGAIN_MS));
        }
        // What people had here and is over is shown as gone at once.
        for end in pull_ends(&self.memory, &memory, &self.look) {
            self.parts.publisher.occur(end);
        }
        let is_over = memory.record.local.len() < self.memory.record.local.len();
        self.memory = memory;
        self.show(state);
        for deed in deeds {
            self.begin(deed);
        }
        for probe in probes {
            self.doing.probes.insert(probe.workspace_id.clone());
            let port = Arc::clone(&self.parts.port);
            self.looks.spawn(async move {
                let look = port.look_at_workspace_gpus(&probe).await;
                (probe, look)
            });
        }
        if is_over {
            return Some(now.boot);
        }
        let again = self.looked_at.unwrap_or(now.boot).plus(self.look_again_ms());
        wake_at.into_iter().chain(probe_at).chain([again]).min()
    }

    async fn save(&mut self, record: &WorkspacesRecord) -> Result<(), String> {
        // Where nothing was ever kept nothing is written.
        if self.kept != *record {
            self.parts.ledger.write(record.encode()).await.map_err(|fault| fault.to_string())?;
            self.kept = record.clone();
        }
        Ok(())
    }

    fn begin(&mut self, deed: WorkspaceDeed) {
        if let Some(id) = deed.workspace_id() {
            self.doing.workspaces.insert(id.clone());
        }
        match &deed {
            WorkspaceDeed::Create(container) => drop(self.doing.starting.insert(container.workspace_id.clone())),
            WorkspaceDeed::Start { workspace_id, .. } => drop(self.doing.starting.insert(workspace_id.clone())),
            WorkspaceDeed::Pull { image, .. } => {
                self.parts.publisher.images().pull_begins(image);
                self.doing.images.insert(image.clone());
            }
            WorkspaceDeed::RemoveVolume { name } => drop(self.doing.volumes.insert(name.clone())),
            WorkspaceDeed::Stop { .. }
            | WorkspaceDeed::Pause { .. }
            | WorkspaceDeed::Unpause { .. }
            | WorkspaceDeed::Remove { .. } => {}
        }
        tracing::info!(message_id = Message::WorkspaceDeed.id(), "{deed}");
        let port = Arc::clone(&self.parts.port);
        self.deeds.spawn(async move {
            let result = port.act_on_workspace(&deed).await;
            (deed, result)
        });
    }

    fn show(&self, state: WorkspacesState) {
        show(&self.parts.publisher, self.parts.clock.wall_now(), state);
    }
}

/// Waits until the instant, or for ever where there is none.
async fn at(clock: &impl Clock, when: Option<BootMillis>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => std::future::pending().await,
    }
}
