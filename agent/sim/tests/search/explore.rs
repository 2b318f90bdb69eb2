//! Walks every branch of a change: at each point it goes well, goes wrong in each way, or the daemon dies before or after it.

use crate::broken::{ended_restored, spoil, undo_by_inverses};
use crate::shown::{Other, Shown, hash_host, identities};
use crate::wide_hasher::WideHasher;
use crate::worlds::{BOOT, GPU, World, at, functions, look, take};
use model::PciAddress;
use model::change::{AtStart, ChangeMachine, Effect, Entry, Event, Outcome, Phase, at_start, decode, encode, sort_out};
use model::os_cause::OsCause;
use model::plan::{Look, PlanStep, Target};
use model::policy::Act;
use model::ports::JournalError;
use model::ports::{ActError, JournalDocument};
use model::time::BootMillis;
use sim::state::HostState;
use sim::step_faults::StepFault;
use std::collections::HashMap;
use std::hash::Hash;

const NOW: BootMillis = BootMillis(1_000_000);
const ENTRY: &str = "change-7.group-23.json";

/// How much may go wrong in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Steps, looks and journal writes that go wrong.
    pub(crate) faults: u32,
    /// Times that the daemon dies, or the machine reboots.
    pub(crate) crashes: u32,
    /// Times that somebody else does something to the target.
    pub(crate) others: u32,
    /// Crashes that damage the journal's entry so that nobody can read it.
    pub(crate) damages: u32,
}

/// Ways in which the code is broken on purpose, to see that the search finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The code as it is.
    None,
    /// Believe the steps, and do not look whether they worked.
    NoVerify,
    /// Undo by the inverses of what was done, last first.
    UndoStack,
    /// Write the journal after the first step.
    JournalLate,
    /// Restore, and do not look whether that worked.
    RestoreNotVerified,
    /// Set the overrides after unbinding.
    OverrideAfterUnbind,
    /// Take an entry that cannot be read for none.
    ForgetUnread,
    /// Plan without looking whether anything is in use.
    DestroyUsed,
    /// Create before what is in the way is destroyed.
    CreateFirst,
    /// Undo whatever is not as it was, whoever did it.
    UndoEverything,
}

/// What the search has seen.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) runs: u128,
    pub(crate) states: usize,
    pub(crate) done: u64,
    pub(crate) restored: u64,
    pub(crate) untouched: u64,
    pub(crate) quarantined: u64,
    pub(crate) rebooted: u64,
    /// Refused, since the record cannot be read.
    pub(crate) held: u64,
    /// The first violations, in words.
    pub(crate) violations: Vec<String>,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.states += other.states;
        self.done += other.done;
        self.restored += other.restored;
        self.untouched += other.untouched;
        self.quarantined += other.quarantined;
        self.rebooted += other.rebooted;
        self.held += other.held;
        self.violations.extend(other.violations);
    }

    pub(crate) fn assert_clean(&self) {
        assert!(
            self.violations.is_empty(),
            "{} violations, the first: {:#?}",
            self.violations.len(),
            self.violations.first()
        );
    }
}

/// One run at one instant.
#[derive(Debug, Clone)]
struct Run {
    host: HostState,
    machine: Option<ChangeMachine>,
    /// The one document on disk.
    disk: Option<Vec<u8>>,
    /// What was on disk when a daemon started and could not be read.
    unread: Option<Vec<u8>>,
    left: Budget,
    /// A step hung at some time.
    hung: bool,
    /// Journal writes that went wrong.
    unwritten: u32,
    /// What a mutant remembers: steps taken, the restoring look has been made, the entry not yet written.
    taken: Vec<PlanStep>,
    planned: bool,
    late: Option<Vec<u8>>,
    /// What somebody else has done.
    others: Vec<Other>,
}

/// The search goes deep, and a run is large: its copies are no part of the stack.
fn copy(run: &Run) -> Box<Run> {
    Box::new(run.clone())
}

/// The search from one world.
pub(crate) struct Search<'a> {
    world: &'a World,
    mutant: Mutant,
    /// The host after the change, where everything went well: for mutants, which take it for what they see.
    after: HostState,
    known: HashMap<u128, u128>,
    path: Vec<String>,
    pub(crate) verdict: Verdict,
}

impl<'a> Search<'a> {
    pub(crate) fn new(world: &'a World, mutant: Mutant) -> Self {
        let mut after = world.host.clone();
        for step in &world.entry.plan.steps {
            take(&mut after, step, None).unwrap();
        }
        Self { world, mutant, after, known: HashMap::new(), path: Vec::new(), verdict: Verdict::default() }
    }

    pub(crate) fn run(&mut self, left: Budget) {
        let entry = spoil(self.world, self.mutant);
        let run = Run {
            host: self.world.host.clone(),
            // Where there is an entry that cannot be read, the daemon starts and finds it.
            machine: self.world.damaged.is_none().then(|| ChangeMachine::begin(entry, NOW)),
            disk: self.world.damaged.clone().or(self.world.standing.as_ref().map(|entry| encode(entry).unwrap())),
            unread: None,
            left,
            hung: false,
            unwritten: 0,
            taken: Vec::new(),
            planned: false,
            late: None,
            others: Vec::new(),
        };
        self.verdict.runs = self.explore(Box::new(run));
        self.verdict.states = self.known.len();
    }

    /// Number of runs from here on.
    fn explore(&mut self, run: Box<Run>) -> u128 {
        let key = key(&run);
        if let Some(runs) = self.known.get(&key) {
            return *runs;
        }
        self.nothing_else_was_touched(&run);
        let runs = match run.machine.as_ref().map(ChangeMachine::to_do) {
            None => self.restart(run),
            Some(Effect::End(outcome)) => {
                self.ended(&run, &outcome);
                1
            }
            Some(to_do) => self.branch(&run, &to_do),
        };
        self.known.insert(key, runs);
        runs
    }

    fn branch(&mut self, run: &Run, to_do: &Effect) -> u128 {
        let mut runs = 0;
        let mut go = |this: &mut Self, what: &str, next: Box<Run>| {
            this.path.push(format!("{what}: {}", shown(to_do)));
            runs += this.explore(next);
            this.path.pop();
        };
        go(self, "goes well", self.happens(copy(run), to_do, None));
        if run.left.faults > 0 {
            for fault in faults_of(to_do) {
                let mut next = copy(run);
                next.left.faults -= 1;
                go(self, &format!("{fault:?}"), self.happens(next, to_do, Some(fault)));
            }
        }
        if run.left.crashes > 0 {
            let mut crashed = |this: &mut Self, what: &str, mut next: Box<Run>| {
                next.left.crashes -= 1;
                (next.machine, next.late) = (None, None);
                (next.taken, next.planned) = (Vec::new(), false);
                go(this, what, next);
            };
            crashed(self, "crash before", copy(run));
            crashed(self, "crash after", self.happens(copy(run), to_do, None));
            if run.left.damages > 0 {
                let mut damaged = self.happens(copy(run), to_do, None);
                damaged.left.damages -= 1;
                damaged.disk = damaged.disk.map(|bytes| bytes[..bytes.len() / 2].to_vec());
                crashed(self, "crash that damages the entry after", damaged);
            }
        }
        if run.left.others > 0 {
            for other in &self.world.others {
                let mut next = copy(run);
                next.left.others -= 1;
                if other.acts(&mut next.host, &self.world.entry.plan.bounds.target) {
                    // A probe leaves nothing that could be undone.
                    next.others.extend((*other != Other::Probes).then(|| other.clone()));
                    go(self, &format!("somebody {other:?}"), next);
                }
            }
        }
        runs
    }

    /// Does what is to be done, in this way, and tells the machine.
    fn happens(&self, mut run: Box<Run>, to_do: &Effect, fault: Option<StepFault>) -> Box<Run> {
        let Some(mut machine) = run.machine.take() else { return run };
        let first_restoring = self.mutant == Mutant::UndoStack && machine.is_restoring();
        if first_restoring {
            undo_by_inverses(&mut run.host, &run.taken, functions(&self.world.entry.before));
            run.disk = None;
            run.machine = Some(ended_restored(&machine, self.world));
            return run;
        }
        let happened = match to_do {
            Effect::Journal(entry) => {
                let bytes = encode(entry).unwrap();
                if self.mutant == Mutant::JournalLate && entry.phase == Phase::Open && run.taken.is_empty() {
                    run.late = Some(bytes);
                    Event::Journaled(Ok(()))
                } else {
                    write(&mut run, Some(bytes), fault)
                }
            }
            Effect::Forget => write(&mut run, None, fault),
            Effect::Look => {
                let seen = self.look(&mut run, &machine);
                Event::Looked(if fault.is_some() { Err(said()) } else { Ok(Box::new(seen)) })
            }
            Effect::Take(step) => {
                if let Some(late) = run.late.take_if(|_| !run.taken.is_empty()) {
                    run.disk = Some(late);
                }
                let result = take(&mut run.host, step, fault);
                run.hung |= fault.is_some_and(StepFault::hangs);
                if matches!(self.mutant, Mutant::UndoStack | Mutant::JournalLate) {
                    run.taken.push(step.clone());
                }
                Event::Took(result)
            }
            Effect::End(_) => return run,
        };
        machine.happened(happened);
        run.machine = Some(machine);
        run
    }

    /// A look, or what a mutant takes for one.
    fn look(&self, run: &mut Run, machine: &ChangeMachine) -> Look {
        let as_on = |host: &HostState| look(host, &self.world.entry.plan.bounds.target);
        if machine.is_restoring() {
            let checking = run.planned;
            run.planned = !checking;
            if checking && self.mutant == Mutant::RestoreNotVerified {
                return as_on(&self.world.host);
            }
        } else if self.mutant == Mutant::NoVerify {
            return as_on(&self.after);
        }
        as_on(&run.host)
    }

    /// The daemon starts anew: what the journal holds decides.
    fn restart(&mut self, mut run: Box<Run>) -> u128 {
        let mut runs = 0;
        self.rebooted(&run);
        runs += 1;
        let Some(bytes) = &run.disk else {
            self.closed(&run, "no entry after a crash");
            return runs + 1;
        };
        let Some(entry) = entry_of(bytes) else { return runs + self.unreadable(run) };
        match at_start(&entry, BOOT) {
            AtStart::Restore => {
                run.machine = Some(ChangeMachine::recover(entry, NOW));
                runs += self.explore(run);
            }
            AtStart::Keep => {
                self.closed(&run, "a standing entry after a crash");
                runs += 1;
            }
            AtStart::Await(_) | AtStart::Forget | AtStart::Close => {
                self.violation("an entry of this boot was forgotten or unconfirmed")
            }
        }
        runs
    }

    /// The daemon starts anew and cannot read the entry; then somebody asks for the change.
    fn unreadable(&mut self, mut run: Box<Run>) -> u128 {
        run.unread.clone_from(&run.disk);
        let unread = sort_out(vec![document(&run)], BOOT).unread;
        let holds = unread.iter().any(|unread| unread.held.keeps_from(&self.world.entry.plan.bounds));
        if holds && self.mutant != Mutant::ForgetUnread {
            self.verdict.held += 1;
            self.must_be_unread_still(&run);
            return 1;
        }
        run.machine = Some(ChangeMachine::begin(self.world.entry.clone(), NOW));
        self.explore(run)
    }

    /// Nothing has taken the place of what could not be read.
    fn must_be_unread_still(&mut self, run: &Run) {
        if run.unread.is_some() && run.unread != run.disk {
            self.violation("an entry that was never read was written over: the way home is lost");
        }
    }

    /// After a reboot the kernel has forgotten everything, and the entry must know that.
    fn rebooted(&mut self, run: &Run) {
        self.verdict.rebooted += 1;
        // What cannot be read is held after a reboot as well: nobody can tell of which boot it is.
        let Some(entry) = run.disk.as_ref().and_then(|bytes| entry_of(bytes)) else { return };
        if at_start(&entry, "another boot") != AtStart::Forget {
            self.violation("an entry of an earlier boot would be acted on");
        }
    }

    /// Nothing is under way: the host must agree with the record.
    fn closed(&mut self, run: &Run, what: &str) {
        self.must_be_unread_still(run);
        let given = run.disk.as_ref().is_some_and(|bytes| decode(ENTRY, bytes).unwrap().is_given());
        let World { before, after, .. } = self.world;
        let wanted = match (self.world.entry.operation, given) {
            (Act::PassthroughBind, true) | (Act::PassthroughRelease, false) => vec![after],
            (Act::PassthroughBind, false) | (Act::PassthroughRelease, true) => vec![before],
            // Nothing is left to be remembered of it, done or not.
            (Act::MigLayout | Act::MigMode, _) => vec![before, after],
        };
        let found = before.on(&run.host);
        if wanted.iter().all(|wanted| wanted.with(&run.others) != found) {
            self.violation(&format!("{what}: given {given}, and the host shows {found:#?}"));
        }
    }

    fn ended(&mut self, run: &Run, outcome: &Outcome) {
        self.must_be_unread_still(run);
        let untouched = self.others_differ(run);
        if let Some(address) = untouched {
            self.violation(&format!("{address} lies outside the scope and was changed"));
        }
        let entry = run.disk.as_ref().and_then(|bytes| entry_of(bytes));
        let open = entry.as_ref().is_some_and(|entry: &Entry| !entry.is_given());
        match outcome {
            Outcome::Done => {
                self.verdict.done += 1;
                self.must_be(run, &self.world.after, "done");
                if open && run.unwritten == 0 {
                    self.violation("done, and the journal still holds it open");
                }
            }
            Outcome::Restored(_) => {
                self.verdict.restored += 1;
                self.must_be(run, &self.world.before, "restored");
                if open && run.unwritten == 0 {
                    self.violation("restored, and the journal still holds it open");
                }
            }
            Outcome::Untouched(_) => {
                self.verdict.untouched += 1;
                self.must_be(run, &self.world.before, "untouched");
            }
            Outcome::Quarantined(_) => {
                self.verdict.quarantined += 1;
                // What somebody else has done may leave no room for the way back.
                if !run.hung && run.unwritten < 2 && run.others.is_empty() {
                    self.violation("quarantined although nothing hung and every fault was single");
                }
                if !open && run.unwritten < 2 {
                    self.violation("quarantined, and the journal does not hold it: the lane would be lost");
                }
            }
        }
    }

    fn must_be(&mut self, run: &Run, wanted: &Shown, what: &str) {
        let (found, wanted) = (wanted.on(&run.host), wanted.with(&run.others));
        if found != wanted {
            self.violation(&format!("said {what}, and the host shows {found:#?} in place of {wanted:#?}"));
        }
    }

    /// A function outside the scope, or another GPU's MIG, that is not as it was.
    fn others_differ(&self, run: &Run) -> Option<PciAddress> {
        let scope = match &self.world.entry.plan.bounds.target {
            Target::Functions(scope) => scope.members.as_slice(),
            Target::Mig(_) => &[],
        };
        let HostState { bus, mig, .. } = &self.world.host;
        let mut functions = run.host.bus.functions.iter();
        let function = functions.find(|(at, f)| !scope.contains(at) && bus.functions.get(at) != Some(f));
        let subject = self.world.entry.plan.bounds.subject.gpu();
        let other = run.host.mig.iter().find(|(at, now)| Some(**at) != subject && mig.get(at) != Some(now));
        function.map(|(at, _)| *at).or(other.map(|(at, _)| *at))
    }

    /// At every point: what is in use or somebody else's is there, and what somebody else did is as that one left it.
    fn nothing_else_was_touched(&mut self, run: &Run) {
        let Some(mig) = run.host.mig.get(&at(GPU)).filter(|_| matches!(self.world.before, Shown::Mig(_))) else {
            return;
        };
        let there = identities(mig);
        let theirs = |line: &str| {
            run.others
                .iter()
                .any(|other| matches!(other, Other::Destroys(what) if line.starts_with(&format!("{what} "))))
        };
        if let Some(gone) = self.world.guarded.iter().find(|line| !there.contains(*line) && !theirs(line)) {
            self.violation(&format!("{gone} is in use or somebody else's, and was touched"));
        }
        if let Some(undone) = run.others.iter().find(|other| other.is_undone(&run.host)) {
            self.violation(&format!("what somebody else did was undone: {undone:?}"));
        }
    }

    fn violation(&mut self, what: &str) {
        if self.verdict.violations.len() < 100 {
            self.verdict.violations.push(format!("{}\n{}\n{what}", self.world.name, self.path.join("\n")));
        }
    }
}

/// What can go wrong with it.
fn faults_of(to_do: &Effect) -> Vec<StepFault> {
    match to_do {
        Effect::Journal(_) | Effect::Forget => vec![StepFault::Error, StepFault::EffectAndError],
        Effect::Look => vec![StepFault::Error],
        Effect::Take(_) => StepFault::ALL.to_vec(),
        Effect::End(_) => Vec::new(),
    }
}

fn write(run: &mut Run, bytes: Option<Vec<u8>>, fault: Option<StepFault>) -> Event {
    if fault != Some(StepFault::Error) {
        run.disk = bytes;
    }
    run.unwritten += u32::from(fault.is_some());
    Event::Journaled(if fault.is_some() { Err(full_disk()) } else { Ok(()) })
}

fn full_disk() -> JournalError {
    let cause = OsCause { said: "No space left on device".to_owned(), errno: Some(28) };
    JournalError { attempted: "write".to_owned(), path: "/journal".into(), cause }
}

fn document(run: &Run) -> JournalDocument {
    let content = run.disk.clone().ok_or_else(|| OsCause::found("No such file or directory"));
    JournalDocument { name: ENTRY.to_owned(), place: format!("/journal/{ENTRY}"), content }
}

/// The entry, where it can be read.
fn entry_of(bytes: &[u8]) -> Option<Entry> {
    decode(ENTRY, bytes).ok()
}

fn said() -> ActError {
    ActError::Refused { attempted: "read".to_owned(), cause: OsCause::found("Input/output error") }
}

/// Everything that tells two runs apart from here on, hashed.
fn key(run: &Run) -> u128 {
    let mut hasher = WideHasher::default();
    (&run.machine, &run.disk, &run.unread).hash(&mut hasher);
    (run.left.faults, run.left.crashes, run.left.others, run.left.damages).hash(&mut hasher);
    (run.hung, run.unwritten, run.planned, &run.late, &run.others, &run.taken).hash(&mut hasher);
    hash_host(&run.host, &mut hasher);
    hasher.wide()
}

fn shown(to_do: &Effect) -> String {
    match to_do {
        Effect::Journal(entry) => format!("write the journal, {:?}", entry.phase),
        Effect::Forget => "remove the journal entry".to_owned(),
        Effect::Look => "look".to_owned(),
        Effect::Take(step) => step.to_string(),
        Effect::End(outcome) => format!("{outcome:?}"),
    }
}
