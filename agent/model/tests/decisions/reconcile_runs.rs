//! Runs of documents, files, crashes, outages, locks and policies in any order over the pure parts of the desired state: acceptance,
//! items and pacing. However a run goes, in the end the host is what the last valid document wishes within the policy, nothing else
//! has moved, and what was reported was so. Mutants of the order that the daemon keeps are found.

use crate::world::{at, judged, nvidia, raw};
use model::change::Change;
use model::desired::{
    Accepted, Desired, DesiredDocument, DesiredSections, DesiredState, DesiredUse, DocumentId, Epoch, GpuEntry,
    GpuMatch, HeldDocument, InForceDocument, accept,
};
use model::enrol::CheckinState;
use model::observation::{GpuUse, HostObservation};
use model::policy::{Policy, Requester, read};
use model::reconcile::{Applied, AtOnce, Deed, Item, ItemKey, ItemState, Pacer, Start, Why, WishSource, World, items};
use model::settings::{HostSetting, Settings};
use model::time::{BootMillis, UnixMillis};

const GPUS: [&str; 3] = ["0000:41:00.0", "0000:61:00.0", "0000:81:00.0"];
/// No document of a run names it.
const NEVER: usize = 2;
/// Runs of each test; the seed is the number of the run.
const RUNS: u64 = 100_000;
/// Events of one run.
const EVENTS: usize = 40;

/// What the daemon could do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// Nothing.
    None,
    /// A document is in force before it is on disk.
    ApplyBeforeSave,
    /// A ledger that cannot be read is an empty document.
    EmptyOnMissing,
    /// What a manager wishes is done as this host's own.
    LocalAuthority,
    /// What fails is tried again at once.
    NoBackOff,
    /// An item that fails holds up the others.
    OneItemBlocks,
}

/// Numbers that depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(u64::try_from(all.len()).unwrap())).unwrap()]
    }

    fn truth(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// What outlives the daemon: its disk, and the host itself.
struct Outside {
    ledger: Option<DesiredDocument>,
    /// The ledger cannot be read until another document is saved.
    is_damaged: bool,
    epochs_left: Vec<Epoch>,
    settings: Settings,
    host: HostObservation,
    /// A process has the GPU open.
    held: [bool; 3],
}

/// What a crash loses.
#[derive(Default)]
struct Inside {
    pacer: Pacer,
    applied: Applied,
    jobs: Vec<Start>,
    /// A document that is believed to be in force: equals the ledger, but for a mutant.
    in_force: Option<DesiredDocument>,
}

struct Run {
    dice: Dice,
    mutant: Mutant,
    outside: Outside,
    inside: Inside,
    local: DesiredSections,
    policy: Policy,
    is_locked: bool,
    checkin: CheckinState,
    now: u64,
    newest: (u64, u64),
    began: Vec<(ItemKey, u64)>,
}

type Found = Result<(), String>;

impl Run {
    fn new(seed: u64, mutant: Mutant) -> Self {
        let gpus = GPUS.iter().zip(1..).map(|(gpu, group)| nvidia(gpu, "nvidia", group)).collect();
        let host = judged(raw(gpus, &GPUS));
        let settings = Settings::default();
        let outside =
            Outside { ledger: None, is_damaged: false, epochs_left: Vec::new(), settings, host, held: [false; 3] };
        Self {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            mutant,
            outside,
            inside: Inside::default(),
            local: DesiredSections::default(),
            policy: open(),
            is_locked: false,
            checkin: CheckinState::Ok,
            now: 1,
            newest: (1, 0),
            began: Vec::new(),
        }
    }

    fn state(&self) -> DesiredState {
        let manager = match &self.inside.in_force {
            _ if self.outside.is_damaged && self.mutant != Mutant::ApplyBeforeSave => {
                InForceDocument::Unreadable { why: "damaged".to_owned() }
            }
            Some(document) => InForceDocument::InForce(Box::new(document.clone())),
            None => InForceDocument::None,
        };
        let mut state = DesiredState { manager, ..DesiredState::default() };
        state.local.wishes = self.local.clone();
        state
    }

    fn items(&self) -> Vec<Item> {
        let is_trusted = self.mutant == Mutant::LocalAuthority;
        let open = open();
        items(&World {
            nvidia: &model::nvidia_container::NvidiaState::not_looked(),
            workspaces: &model::workspace_life::WorkspacesState::default(),
            proxy: &model::proxy_cert::ProxyState::default(),
            desired: &self.state(),
            host: &self.outside.host,
            known: &[],
            settings: &self.outside.settings,
            policy: if is_trusted { &open } else { &self.policy },
            is_locked: self.is_locked && !is_trusted,
            checkin: self.checkin,
            wall: UnixMillis(i64::try_from(self.now).unwrap()),
        })
    }

    fn event(&mut self) -> Found {
        match self.dice.below(16) {
            0..=3 => self.offer(),
            4 => self.local_file(),
            5 => self.crash(),
            6 => self.policy = if self.dice.truth() { open() } else { Policy::default() },
            7 => self.is_locked = self.dice.truth(),
            8 => self.checkin = self.dice.of(&[CheckinState::Ok, CheckinState::Unreachable, CheckinState::Forgotten]),
            9 => {
                let gpu = usize::try_from(self.dice.below(2)).unwrap();
                self.outside.held[gpu] = self.dice.truth();
            }
            10 => self.outside.is_damaged |= self.outside.ledger.is_some() && self.dice.below(4) == 0,
            11 => self.a_person_changes_a_gpu(),
            _ => self.now += self.dice.below(20_000),
        }
        self.lose_what_a_damaged_ledger_means();
        self.turn()?;
        while self.dice.truth() && !self.inside.jobs.is_empty() {
            self.end_one();
            self.turn()?;
        }
        Ok(())
    }

    fn lose_what_a_damaged_ledger_means(&mut self) {
        if self.mutant == Mutant::EmptyOnMissing && self.outside.is_damaged {
            self.outside.settings.desired = Default::default();
        }
    }

    /// A manager sends a document: a new one, one that it sent before, one of another epoch, or one that cannot be accepted.
    fn offer(&mut self) {
        let (mut epoch, mut revision) = self.newest;
        match self.dice.below(8) {
            0 => epoch += 1,
            1 => revision = revision.saturating_sub(1).max(1),
            2 => revision = revision.max(1),
            _ => revision += 1,
        }
        let revision = revision.max(1);
        let mut document = self.document(epoch, revision);
        if self.dice.below(8) == 0 {
            document.requires = vec!["teleport.v1".to_owned()];
        }
        let before = if self.outside.is_damaged { None } else { self.outside.ledger.clone() };
        let held = HeldDocument {
            server_id: "me",
            in_force: before.as_ref(),
            epochs_left: &self.outside.epochs_left,
            now: UnixMillis(0),
        };
        let is_same = |known: &DesiredDocument| *known == document;
        let Ok(Accepted::New { epochs_left }) = accept(&document, held, || before.as_ref().is_some_and(is_same)) else {
            return;
        };
        // The disk may refuse, or the power may go.
        let is_saved = self.dice.below(6) != 0;
        if is_saved {
            self.newest = (epoch, revision);
            (self.outside.ledger, self.outside.is_damaged) = (Some(document.clone()), false);
            self.outside.epochs_left = epochs_left;
        }
        if is_saved || self.mutant == Mutant::ApplyBeforeSave {
            self.inside.in_force = Some(document);
        }
    }

    fn document(&mut self, epoch: u64, revision: u64) -> DesiredDocument {
        let mut wishes = DesiredSections::default();
        self.some_wishes(&mut wishes);
        let epoch = format!("e{epoch}").try_into().unwrap();
        let id = DocumentId { epoch, revision: revision.try_into().unwrap() };
        DesiredDocument { id, issued_at: None, server_id: None, not_after: None, requires: Vec::new(), wishes }
    }

    fn some_wishes(&mut self, wishes: &mut DesiredSections) {
        if self.dice.truth() {
            wishes.agent.zone = Desired::Value(format!("z{}", self.dice.below(3)));
        }
        if self.dice.truth() {
            wishes.agent.enabled = if self.dice.truth() { Desired::Value(false) } else { Desired::LocalDefault };
        }
        for gpu in &GPUS[..NEVER] {
            if self.dice.truth() {
                let all = [DesiredUse::Passthrough, DesiredUse::Containers, DesiredUse::Off, DesiredUse::Auto];
                let usage = Desired::Value(self.dice.of(&all));
                let of = GpuMatch { bdf: Some(at(gpu)), ..GpuMatch::default() };
                wishes.gpus.push(GpuEntry { of, usage, ..GpuEntry::default() });
            }
        }
    }

    fn local_file(&mut self) {
        let mut wishes = DesiredSections::default();
        if self.dice.truth() {
            self.some_wishes(&mut wishes);
        }
        self.local = wishes;
    }

    /// The daemon is killed. What it had begun is done or undone by the journal; what it knew is read again.
    fn crash(&mut self) {
        for start in std::mem::take(&mut self.inside.jobs) {
            if self.dice.truth() {
                let _end = self.effect(&start);
            }
        }
        self.inside = Inside::default();
        self.inside.in_force = self.outside.ledger.clone();
    }

    fn a_person_changes_a_gpu(&mut self) {
        let gpu = usize::try_from(self.dice.below(2)).unwrap();
        let usage = if self.dice.truth() { GpuUse::Passthrough } else { GpuUse::Host };
        self.outside.host.gpus[gpu].usage = usage;
    }

    fn turn(&mut self) -> Found {
        let all = self.items();
        if self.mutant == Mutant::NoBackOff && self.inside.jobs.is_empty() {
            self.inside.pacer = Pacer::default();
        }
        if self.mutant == Mutant::OneItemBlocks && self.is_one_failing(&all) {
            return Ok(());
        }
        let turn = self.inside.pacer.turn(BootMillis(self.now), &all);
        for start in turn.start {
            self.may_begin(&start)?;
            self.inside.jobs.push(start);
        }
        let in_force = self.inside.in_force.as_ref().map(|document| document.id.clone());
        self.inside.applied.follow(in_force.as_ref());
        if let Some(id) = self.inside.applied.needs_a_look().cloned() {
            self.inside.applied.looked(&id);
        }
        let before = self.inside.applied.applied().cloned();
        self.inside.applied.judge(&all);
        let is_news = self.inside.applied.applied() != before.as_ref();
        let is_met = |item: &Item| item.source == WishSource::Local || item.state == ItemState::Met;
        if is_news && !self.items().iter().all(is_met) {
            return Err("a revision is reported as applied and is not".to_owned());
        }
        Ok(())
    }

    fn is_one_failing(&self, all: &[Item]) -> bool {
        let gpu = |item: &Item| match &item.state {
            ItemState::ToDo(Deed::Change(change)) => change.subject().gpu(),
            ItemState::ToDo(Deed::Set(_))
            | ItemState::Met
            | ItemState::Waiting(_)
            | ItemState::Held(_)
            | ItemState::Refused(_) => None,
        };
        let is_held = |address| GPUS.iter().zip(self.outside.held).any(|(gpu, held)| held && at(gpu) == address);
        all.iter().filter_map(gpu).any(is_held)
    }

    /// Holds what is begun against the rules.
    fn may_begin(&mut self, start: &Start) -> Found {
        let wished_by_manager = start.source == WishSource::Manager;
        let is_denied = match &start.deeds {
            AtOnce::Change(change) => {
                !self.policy.explain(change.act(), Requester::Manager, change.subject().gpu()).allowed
            }
            AtOnce::Settings(settings) => {
                settings.iter().any(|one| !self.policy.explain_setting(one.act(), Requester::Manager).allowed)
            }
        };
        if wished_by_manager && self.outside.ledger.as_ref().map(|known| &known.id) != self.in_force_id().as_ref() {
            return Err("what a document wishes is done before it is on disk".to_owned());
        }
        if wished_by_manager && self.outside.is_damaged {
            return Err("a ledger that cannot be read is obeyed".to_owned());
        }
        if wished_by_manager && (self.is_locked || is_denied || self.checkin == CheckinState::Forgotten) {
            return Err("a manager's wish is begun that is denied".to_owned());
        }
        for path in &start.paths {
            let key = (start.source, path.clone());
            let recent = self.began.iter().filter(|(known, when)| *known == key && self.now - when < 1_000).count();
            // A crash may lose when it was tried.
            if recent > 8 {
                return Err("an item is tried again without a pause".to_owned());
            }
            self.began.push((key, self.now));
        }
        Ok(())
    }

    fn in_force_id(&self) -> Option<DocumentId> {
        self.inside.in_force.as_ref().map(|document| document.id.clone())
    }

    fn end_one(&mut self) {
        let start = self.inside.jobs.remove(0);
        let end = self.effect(&start);
        let keys: Vec<ItemKey> = start.paths.iter().map(|path| (start.source, path.clone())).collect();
        self.inside.pacer.ended(BootMillis(self.now), &keys, &end);
    }

    /// What the host makes of a job.
    fn effect(&mut self, start: &Start) -> Result<(), Why> {
        match &start.deeds {
            AtOnce::Settings(settings) => {
                settings.iter().for_each(|one: &HostSetting| self.outside.settings.desired.set(one.clone()));
                Ok(())
            }
            AtOnce::Change(change) => {
                let address = change.subject().gpu().unwrap();
                let number = GPUS.iter().position(|gpu| at(gpu) == address).unwrap();
                if self.outside.held[number] {
                    return Err(Why::new("in_use", "a process has it open"));
                }
                self.outside.host.gpus[number].usage = match change {
                    Change::PassthroughBind(_) => GpuUse::Passthrough,
                    Change::PassthroughRelease(_) => GpuUse::Host,
                    Change::MigLayout(_) | Change::MigMode(_) | Change::MigReturn(_) | Change::MigTakeBack(_) => {
                        panic!("nothing wishes {change:?}")
                    }
                };
                Ok(())
            }
        }
    }

    /// Everything calms down: nothing is locked, no GPU is held but one, jobs end, time passes.
    fn settle(&mut self) -> Found {
        (self.is_locked, self.checkin) = (false, CheckinState::Ok);
        self.outside.held = [true, false, false];
        for _ in 0..12 {
            self.lose_what_a_damaged_ledger_means();
            self.turn()?;
            while !self.inside.jobs.is_empty() {
                self.end_one();
                self.turn()?;
            }
            self.now += 400_000;
        }
        let left = |item: &&Item| matches!(&item.state, ItemState::ToDo(_)) && !item.path.as_str().contains(GPUS[0]);
        if let Some(item) = self.items().iter().find(left) {
            return Err(format!("{} is never done: {:?}", item.path, item.state));
        }
        self.outside.held = [false; 3];
        for _ in 0..12 {
            self.turn()?;
            while !self.inside.jobs.is_empty() {
                self.end_one();
                self.turn()?;
            }
            self.now += 400_000;
        }
        match self.items().iter().find(|item| matches!(item.state, ItemState::ToDo(_))) {
            Some(item) => Err(format!("{} is never done: {:?}", item.path, item.state)),
            None => Ok(()),
        }
    }

    fn whole(&mut self) -> Found {
        for _ in 0..EVENTS {
            let before = (self.outside.is_damaged, self.outside.settings.desired.clone());
            self.event()?;
            let has_local = self.local != DesiredSections::default();
            if before.0 && self.outside.is_damaged && !has_local && self.inside.jobs.is_empty() {
                self.nothing_is_undone(&before.1)?;
            }
        }
        self.settle()?;
        let untouched = &self.outside.host.gpus[NEVER];
        let is_set = self.outside.settings.desired.gpus.contains_key(&at(GPUS[NEVER]));
        if untouched.usage != GpuUse::Host || is_set || self.outside.settings.desired.pool.is_some() {
            return Err("something moved that nobody named".to_owned());
        }
        Ok(())
    }

    fn nothing_is_undone(&self, before: &model::settings::SettingsOverlay) -> Found {
        let lost = before.zone.is_some() && self.outside.settings.desired.zone.is_none();
        if lost { Err("a ledger that cannot be read undoes a setting".to_owned()) } else { Ok(()) }
    }
}

fn open() -> Policy {
    read("p", "[manager]\npassthrough = true\nchanges_per_minute = 60").unwrap()
}

/// The first fault of runs of these seeds.
fn fault(mutant: Mutant, mut seeds: std::ops::Range<u64>) -> Option<String> {
    seeds.find_map(|seed| Some(format!("seed {seed}: {}", Run::new(seed, mutant).whole().err()?)))
}

#[test]
fn however_a_run_goes_the_end_is_what_is_wished_and_nothing_else_moved() {
    let found = std::thread::scope(|scope| {
        let halves = [0..RUNS / 2, RUNS / 2..RUNS];
        let threads = halves.map(|seeds| scope.spawn(|| fault(Mutant::None, seeds)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(found, [None, None]);
}

#[test]
fn each_mutant_of_the_order_is_found() {
    for (mutant, words) in [
        (Mutant::ApplyBeforeSave, "before it is on disk"),
        (Mutant::EmptyOnMissing, "undoes a setting"),
        (Mutant::LocalAuthority, "that is denied"),
        (Mutant::NoBackOff, "without a pause"),
        (Mutant::OneItemBlocks, "is never done"),
    ] {
        let found = fault(mutant, 0..RUNS);
        assert!(found.as_ref().is_some_and(|fault| fault.contains(words)), "{mutant:?}: {found:?}");
    }
}
