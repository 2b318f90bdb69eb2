//! One host with its keeper of workspaces: turns, deeds, faults, and what must hold at every moment.

use crate::host_seen::{described_host, gpu_needs};
use crate::life_faults::{Fault, LASTS};
use crate::never::Never;
use crate::wishes::{digest, revision};
use model::event::Occurrence;
use model::image_ref::ImageRef;
use model::nvidia_container::{ContainerRun, ImageSeen};
use model::policy::WorkspaceRepair;
use model::time::Now;
use model::workspace::{DescribedHost, Document, Planned, WorkspaceAction, WorkspaceId, plan};
use model::workspace_life::{
    WorkspaceDeed, WorkspaceGpuProbe, WorkspaceLimits, WorkspaceLists, WorkspaceLook, WorkspaceReason, WorkspaceSeen,
    WorkspaceState, WorkspacesDoing, WorkspacesMemory, WorkspacesRecord, WorkspacesTurn, WorkspacesWorld,
    decide_workspaces,
};
use serde_json::{Value, json};
use sim::workspace_docker::{
    EngineState, PullFate, RegistryImage, SimEngine, SimProgram, SimWorkspace, SimWorkspaceRun,
};

/// Between two looks there is at least so much time.
const LOOKS_APART_MS: u64 = 100;
/// While an image is pulled, or a container is about to exit, it is looked at so often.
const MOVING_MS: u64 = 2_000;
/// A look although nothing was reported.
const LOOK_AGAIN_MS: u64 = 300_000;
/// After Docker did not answer it is asked again so soon.
const DOCKER_AGAIN_MS: u64 = 5_000;

/// The host.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) docker: SimEngine,
    /// The entries of `workspaces`; `None` = the document has no such list.
    pub(crate) wishes: Option<Vec<Value>>,
    pub(crate) agent: Value,
    pub(crate) revision: u64,
    pub(crate) manager_held: Option<WorkspaceReason>,
    pub(crate) driver_changing: Option<String>,
    pub(crate) repair: WorkspaceRepair,
    /// What happened that no state shows.
    pub(crate) occurred: Vec<Occurrence>,
    pub(crate) max_removals: u64,
    pub(crate) memory: WorkspacesMemory,
    pub(crate) look: WorkspaceLook,
    kept: Vec<u8>,
    crashes: usize,
    /// Faults that are still on, with the turns that they have left.
    pub(crate) lasting: Vec<(Fault, usize)>,
    /// Turns of the last call of [`Life::settle`] in which something was done or had just changed.
    pub(crate) moments: Vec<usize>,
    /// Every deed that was begun.
    pub(crate) deeds: Vec<String>,
    pub(crate) shown: Option<WorkspacesTurn>,
    never: Never,
}

impl Life {
    /// With images a, b and c (which serve), x (whose containers exit at once) and none other.
    pub(crate) fn new(wishes: &[Value]) -> Self {
        let mut docker = SimEngine::default();
        for letter in ['a', 'b', 'c'] {
            docker.publish(digest(letter), RegistryImage::SERVES);
        }
        docker.publish(digest('e'), RegistryImage::EXITS);
        docker.publish(digest('0'), RegistryImage { fate: PullFate::Unknown, ..RegistryImage::SERVES });
        let stubborn = SimProgram { ignores_term: true, ..SimProgram::SERVES };
        docker.publish(digest('d'), RegistryImage { program: stubborn, ..RegistryImage::SERVES });
        docker.set_pull_takes_ms(4_000);
        docker.card_of = crate::host_seen::cards();
        Self {
            docker,
            wishes: Some(wishes.to_vec()),
            agent: json!({}),
            revision: 1,
            manager_held: None,
            driver_changing: None,
            repair: WorkspaceRepair::Restart,
            occurred: Vec::new(),
            max_removals: 4,
            memory: WorkspacesMemory::default(),
            look: WorkspaceLook::default(),
            kept: WorkspacesRecord::default().encode(),
            crashes: 0,
            lasting: Vec::new(),
            moments: Vec::new(),
            deeds: Vec::new(),
            shown: None,
            never: Never::default(),
        }
    }

    /// Another revision of the document.
    pub(crate) fn wish(&mut self, wishes: &[Value]) {
        self.wishes = Some(wishes.to_vec());
        self.revision += 1;
    }

    pub(crate) fn document(&self) -> Document {
        let workspaces = self.wishes.clone().unwrap_or_default();
        serde_json::from_value(json!({ "agent": self.agent, "workspaces": workspaces })).unwrap()
    }

    fn host(&self) -> DescribedHost {
        described_host(&self.look.containers, &self.memory.repairing().cloned().collect())
    }

    /// What is planned from the last look.
    pub(crate) fn planned(&self) -> Vec<Planned> {
        plan(&self.host(), &self.document())
    }

    fn now(&self) -> Now {
        Now { boot: self.docker.now, wall: self.docker.wall }
    }

    fn world(&self) -> WorkspacesWorld {
        WorkspacesWorld {
            mig_leaves: std::collections::BTreeMap::new(),
            document: self.document(),
            document_id: Some(revision(self.revision)),
            images: Vec::new(),
            room: None,
            is_store_doubled: false,
            lists: WorkspaceLists { local: false, manager: self.wishes.is_some() },
            manager_held: self.manager_held.clone(),
            driver_changing: self.driver_changing.clone(),
            host: self.host(),
            look: self.look.clone(),
            memory: self.memory.clone(),
            doing: WorkspacesDoing::default(),
            gpu_needs: gpu_needs(&self.look.containers),
            repair: self.repair,
            limits: WorkspaceLimits::default(),
            max_removals: self.max_removals,
            now: self.now(),
        }
    }

    fn look(&mut self) -> Result<(), String> {
        let wished = self.planned().into_iter().filter_map(|one| match one.action {
            WorkspaceAction::Create(request) => Some(request.container.image),
            WorkspaceAction::Nothing | WorkspaceAction::Refusal(_) => None,
        });
        let images: Vec<ImageRef> = wished.chain(self.memory.pulls().cloned()).collect();
        self.look = self.docker.look(&images)?;
        self.never.saw(&self.look.containers);
        Ok(())
    }

    /// The daemon is killed: only the record on disk is left.
    fn crash(&mut self) {
        self.crashes += 1;
        let record = WorkspacesRecord::decode(&self.kept).unwrap();
        self.memory = WorkspacesMemory { record, ..WorkspacesMemory::default() };
    }

    /// One turn, with what goes wrong in it. Returns in how many milliseconds to look again.
    pub(crate) fn turn(&mut self, fault: Option<Fault>) -> u64 {
        self.before(fault);
        if self.look().is_err() {
            self.memory.docker_was_away = true;
            return DOCKER_AGAIN_MS;
        }
        let turn = decide_workspaces(&self.world());
        if fault == Some(Fault::CrashBeforeRecord) {
            self.crash();
            return LOOKS_APART_MS;
        }
        self.kept = turn.memory.record.encode();
        assert_eq!(WorkspacesRecord::decode(&self.kept).unwrap(), turn.memory.record, "it is read as it was written");
        self.memory = turn.memory.clone();
        let (deeds, probes) = (turn.deeds.clone(), turn.probes.clone());
        let wake = turn.wake_at.into_iter().chain(turn.probe_at).min();
        self.shown = Some(turn);
        if fault == Some(Fault::CrashBeforeDeeds) {
            self.crash();
            return LOOKS_APART_MS;
        }
        for (number, deed) in deeds.iter().enumerate() {
            self.never
                .judge(self, deed)
                .unwrap_or_else(|why| panic!("{deed}: {why}\n{:#?}\n{}", self.shown, self.story()));
            let result = match fault {
                Some(Fault::Deed(fault)) if number == 0 => self.docker.act_with(deed, fault),
                Some(_) | None => self.docker.act(deed),
            };
            self.deeds.push(format!("{deed}: {result:?}"));
            self.never.done(&self.look.containers, &self.document(), deed);
            if fault == Some(Fault::CrashAfterFirstDeed) {
                self.crash();
                return LOOKS_APART_MS;
            }
            self.ended(deed, result);
        }
        self.look_at_gpus(&probes);
        if fault == Some(Fault::CrashAfterDeeds) {
            self.crash();
        }
        if !deeds.is_empty() || !probes.is_empty() {
            return LOOKS_APART_MS;
        }
        let wake = wake.map_or(LOOK_AGAIN_MS, |wake| wake.since(self.docker.now).clamp(LOOKS_APART_MS, LOOK_AGAIN_MS));
        if self.docker.is_moving() { wake.min(MOVING_MS) } else { wake }
    }

    fn look_at_gpus(&mut self, probes: &[WorkspaceGpuProbe]) {
        for probe in probes {
            let look = self.docker.look_at_gpus(probe);
            self.occurred.extend(self.memory.gpus_found(probe, &look));
        }
    }

    /// As the keeper takes the end of a deed.
    fn ended(&mut self, deed: &WorkspaceDeed, result: Result<(), String>) {
        let now = self.docker.now;
        match (deed, result) {
            (WorkspaceDeed::Pull { image, .. }, Err(fault)) => {
                let known = self.memory.images.entry(image.clone()).or_default();
                known.is_begun = false;
                known.pace.fail(now, "pull_failed", &fault, false);
            }
            (WorkspaceDeed::RemoveVolume { name }, Ok(())) => drop(self.memory.record.doomed_volumes.remove(name)),
            (WorkspaceDeed::RemoveVolume { name }, Err(fault)) => self.memory.volume_failed(name, now, &fault),
            (_, Err(fault)) => self.memory.ended(deed, now, Err(&fault)),
            (_, Ok(())) => self.memory.ended(deed, now, Ok(())),
        }
    }

    fn before(&mut self, fault: Option<Fault>) {
        self.lasting.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
        let over: Vec<Fault> = self.lasting.iter().filter(|(_, left)| *left == 0).map(|(fault, _)| *fault).collect();
        self.lasting.retain(|(_, left)| *left > 0);
        over.into_iter().for_each(|fault| self.lift(fault));
        let Some(fault) = fault else { return };
        match fault {
            Fault::DockerStopped => self.docker.stop(),
            Fault::DockerKilled => self.docker.kill(),
            Fault::DockerHangs => self.docker.state = EngineState::Hangs,
            Fault::ContainerdKilled => self.docker.state = EngineState::Deaf,
            Fault::RegistryAway => self.docker.set_registry_away(true),
            Fault::GpusLost => self.docker.lose_gpus(),
            Fault::DriverChanges => self.driver_changing = Some("the driver container is being changed".to_owned()),
            Fault::DockerRestarted => {
                self.docker.restart();
                // The stream of events has ended.
                self.memory.docker_was_away = true;
            }
            Fault::Reboot => {
                self.docker.reboot();
                self.crash();
            }
            Fault::ContainersRemoved => self.docker.remove_ours(),
            Fault::ContainersExit => self.docker.exit_ours(1),
            Fault::ImagesPruned => self.docker.prune_images(),
            Fault::PullsCut => self.docker.cut_pulls(),
            Fault::HandRestarted => self.docker.forget_pulls(),
            Fault::RecordLost => {
                self.kept = WorkspacesRecord::default().encode();
                self.crash();
            }
            Fault::CrashBeforeRecord
            | Fault::CrashBeforeDeeds
            | Fault::CrashAfterFirstDeed
            | Fault::CrashAfterDeeds => {}
            Fault::Deed(_) => {}
        }
        if fault.lasts() {
            self.lasting.push((fault, LASTS));
        }
    }

    fn lift(&mut self, fault: Fault) {
        match fault {
            Fault::RegistryAway => self.docker.set_registry_away(false),
            Fault::DriverChanges => self.driver_changing = None,
            Fault::Deed(_)
            | Fault::DockerStopped
            | Fault::DockerKilled
            | Fault::DockerHangs
            | Fault::ContainerdKilled => self.docker.come_up(),
            Fault::CrashBeforeRecord
            | Fault::CrashBeforeDeeds
            | Fault::CrashAfterFirstDeed
            | Fault::CrashAfterDeeds
            | Fault::DockerRestarted
            | Fault::Reboot
            | Fault::ContainersRemoved
            | Fault::ContainersExit
            | Fault::ImagesPruned
            | Fault::PullsCut
            | Fault::HandRestarted
            | Fault::GpusLost
            | Fault::RecordLost => {}
        }
    }

    /// Whatever lasts is over.
    pub(crate) fn lift_all(&mut self) {
        for (fault, _) in std::mem::take(&mut self.lasting) {
            self.lift(fault);
        }
        if self.docker.state != EngineState::Up {
            self.docker.come_up();
        }
    }

    /// All that a quiet host does not change.
    fn state(&self) -> String {
        let containers = self.docker.containers.iter().map(|one| (one.id.as_str(), one.run, one.pid));
        let shown = self.shown.iter().flat_map(|turn| &turn.state.workspaces).map(|one| one.state.code());
        let (containers, shown): (Vec<_>, Vec<_>) = (containers.collect(), shown.collect());
        format!("{containers:?} {:?} {} {shown:?}", self.docker.volumes, self.deeds.len())
    }

    /// Goes on until nothing changes any more. `faults` says what goes wrong in which turn, counted from the beginning of this call.
    pub(crate) fn settle(&mut self, faults: &[(usize, Fault)]) {
        let mut quiet = 0;
        for turn in 0..600 {
            let fault = faults.iter().find(|(at, _)| *at == turn).map(|(_, fault)| *fault);
            let before = self.state();
            let millis = self.judged_turn(fault);
            let is_same = before == self.state();
            if !is_same {
                self.moments.push(turn);
            }
            let is_last = faults.iter().all(|(at, _)| *at < turn) && self.lasting.is_empty();
            let is_busy = |turn: &WorkspacesTurn| !turn.deeds.is_empty() || self.waits_for_gpus(turn);
            let waits = self.shown.as_ref().is_none_or(|turn| turn.wake_at.is_some() || is_busy(turn));
            quiet = if is_same && is_last && !waits && !self.docker.is_moving() { quiet + 1 } else { 0 };
            if quiet > 2 {
                return;
            }
            self.docker.pass(millis);
        }
        panic!("it never settles: {faults:?}\n{:#?}\n{}", self.shown, self.story());
    }

    /// Its GPUs were not looked at since its start, or are lost and come back by another one.
    fn waits_for_gpus(&self, turn: &WorkspacesTurn) -> bool {
        turn.state.workspaces.iter().any(|one| {
            let has_gpus = !one.gpus.is_empty() || !one.vfio.is_empty();
            let is_repaired = one.gpu_ok == Some(false) && self.repair == WorkspaceRepair::Restart;
            one.state == WorkspaceState::Running && has_gpus && (one.gpu_ok.is_none() || is_repaired)
        })
    }

    /// Goes on for so many turns, where something is tried for ever.
    pub(crate) fn go_on(&mut self, turns: usize) {
        for _ in 0..turns {
            let millis = self.judged_turn(None);
            self.docker.pass(millis);
        }
    }

    fn judged_turn(&mut self, fault: Option<Fault>) -> u64 {
        let millis = self.turn(fault);
        if let (Some(Fault::Deed(fault)), EngineState::Killed) = (fault, self.docker.state) {
            self.lasting.push((Fault::Deed(fault), LASTS));
        }
        self.check();
        millis
    }

    /// One turn, and the time until the next.
    pub(crate) fn step(&mut self, fault: Option<Fault>) {
        let millis = self.judged_turn(fault);
        self.docker.pass(millis);
    }

    /// So many turns, whatever they do.
    pub(crate) fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| self.step(None));
    }

    pub(crate) fn story(&self) -> String {
        let last = self.deeds.len().saturating_sub(60);
        self.deeds[last..].join("\n")
    }

    /// What holds at every moment.
    fn check(&self) {
        assert!(self.docker.violations.is_empty(), "{:?}\n{:#?}\n{}", self.docker.violations, self.shown, self.story());
        // A daemon that was killed does not know of pulls that nothing wants any more.
        let most = 2 + 2 * self.crashes;
        assert!(self.docker.most_pulls_at_once() <= most, "{} pulls at once", self.docker.most_pulls_at_once());
    }

    pub(crate) fn seen(&self, id: &str) -> Option<WorkspaceSeen> {
        let mut docker = self.docker.clone();
        let look = docker.look(&[]).ok()?;
        look.containers.into_iter().find(|one| one.workspace_id.as_ref().is_some_and(|own| own.as_str() == id))
    }

    pub(crate) fn run(&self, id: &str) -> Option<ContainerRun> {
        self.seen(id).map(|seen| seen.run)
    }

    /// As the daemon shows it: its state and the code of its reason.
    pub(crate) fn shows(&self, id: &str) -> (WorkspaceState, String) {
        let id: WorkspaceId = id.parse().unwrap();
        let turn = self.shown.as_ref().expect("a turn was taken");
        let one = turn.state.find(&id).unwrap_or_else(|| panic!("{id} is not shown"));
        (one.state, one.reason.as_ref().map_or_else(String::new, |reason| reason.code.clone()))
    }

    pub(crate) fn has_image(&self, letter: char) -> bool {
        let image: ImageRef = crate::wishes::image(letter).parse().unwrap();
        let look = self.docker.clone().look(std::slice::from_ref(&image)).unwrap();
        matches!(look.image(&image), ImageSeen::Present { .. })
    }

    /// Every workspace is as it is wished, or waits for what a document or a person has to give, with its reason.
    pub(crate) fn unmet(&self) -> Vec<String> {
        let mut unmet = Vec::new();
        let planned = self.planned();
        for one in &planned {
            let Some(head) = &one.head else { continue };
            let id = head.id.as_str();
            let (run, shown) = (self.run(id), self.shows(id));
            let fits = match (head.desired.code(), &one.action) {
                ("running", WorkspaceAction::Create(request)) => {
                    let is_same = self
                        .seen(id)
                        .is_some_and(|seen| seen.spec_digest.as_ref() == Some(&request.container.spec_digest));
                    let waits = shown.1 == "gpu_unavailable" && !request.container.gpus.is_empty();
                    (run == Some(ContainerRun::Running) && is_same && shown.0 == WorkspaceState::Running) || waits
                }
                ("running", _) => !shown.1.is_empty(),
                ("stopped", _) => {
                    !matches!(run, Some(ContainerRun::Running | ContainerRun::Paused))
                        && shown.0 == WorkspaceState::Stopped
                }
                ("paused", _) => run != Some(ContainerRun::Running),
                _ => run.is_none() && shown.0 == WorkspaceState::Deleted,
            };
            if !fits {
                unmet.push(format!("{id} is to be {}: {run:?}, shown as {shown:?}", head.desired.code()));
            }
        }
        let is_listed =
            |id: &WorkspaceId| planned.iter().any(|one| one.head.as_ref().is_some_and(|head| head.id == *id));
        for one in self.docker.containers.iter().filter(|one| one.is_live()) {
            let Some(wanted) = &one.wanted else { continue };
            let has_gpus = !wanted.gpus.is_empty() || !wanted.vfio.is_empty();
            if self.repair == WorkspaceRepair::Restart && one.has_lost_gpus && has_gpus && is_running(one) {
                unmet.push(format!("{} has lost its GPUs", wanted.workspace_id));
            }
            if self.wishes.is_some() && !is_listed(&wanted.workspace_id) {
                unmet.push(format!("{} is listed by nothing and runs", wanted.workspace_id));
            }
        }
        unmet
    }
}

const fn is_running(one: &SimWorkspace) -> bool {
    matches!(one.run, SimWorkspaceRun::Running(_))
}
