//! Walks every branch of a change: at each point it goes well, goes wrong in each way, or the daemon dies before or after it.

use crate::worlds::{BOOT, World, functions, look, take};
use model::PciAddress;
use model::change::{AtStart, ChangeMachine, Effect, Entry, Event, Outcome, Phase, at_start, decode, encode, sort_out};
use model::os_cause::OsCause;
use model::plan::{FunctionSettings, FunctionsWanted, Look, ModuleState, PlanStep, Postcondition, Step};
use model::policy::Act;
use model::ports::JournalError;
use model::ports::{ActError, JournalDocument};
use model::time::BootMillis;
use model::{Absence, Reading};
use sim::state::HostState;
use sim::step_faults::StepFault;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const NOW: BootMillis = BootMillis(1_000_000);
const ENTRY: &str = "change-7.group-23.json";

/// How much may go wrong in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Steps, looks and journal writes that go wrong.
    pub(crate) faults: u32,
    /// Times that the daemon dies, or the machine reboots.
    pub(crate) crashes: u32,
    /// Times that somebody else has the kernel look for drivers.
    pub(crate) probes: u32,
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
    taken: Vec<Step>,
    planned: bool,
    late: Option<Vec<u8>>,
}

/// The search goes deep, and a run is large: its copies are no part of the stack.
fn copy(run: &Run) -> Box<Run> {
    Box::new(run.clone())
}

/// The search from one world.
pub(crate) struct Search<'a> {
    world: &'a World,
    mutant: Mutant,
    before: Vec<FunctionSettings>,
    after: Vec<FunctionSettings>,
    known: HashMap<u128, u128>,
    path: Vec<String>,
    pub(crate) verdict: Verdict,
}

impl<'a> Search<'a> {
    pub(crate) fn new(world: &'a World, mutant: Mutant) -> Self {
        let before = functions(&world.entry.before).to_vec();
        let Postcondition::Functions(FunctionsWanted { members: after, .. }) = world.entry.plan.postcondition.clone()
        else {
            panic!("it is of MIG")
        };
        Self { world, mutant, before, after, known: HashMap::new(), path: Vec::new(), verdict: Verdict::default() }
    }

    pub(crate) fn run(&mut self, left: Budget) {
        let mut entry = self.world.entry.clone();
        if self.mutant == Mutant::OverrideAfterUnbind {
            let rank = |step: &PlanStep| match of_functions(step) {
                Step::LoadModule { .. } | Step::Unbind { .. } => 0,
                Step::SetDriverOverride { .. } => 1,
                Step::Probe { .. } => 2,
                Step::SetD3cold { .. } | Step::SetPowerControl { .. } => 3,
            };
            entry.plan.steps.sort_by_key(rank);
        }
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
        if run.left.probes > 0 {
            let mut next = copy(run);
            next.left.probes -= 1;
            next.host.somebody_probes(self.world.entry.plan.bounds.target.functions());
            go(self, "somebody probes", next);
        }
        runs
    }

    /// Does what is to be done, in this way, and tells the machine.
    fn happens(&self, mut run: Box<Run>, to_do: &Effect, fault: Option<StepFault>) -> Box<Run> {
        let Some(mut machine) = run.machine.take() else { return run };
        let first_restoring = self.mutant == Mutant::UndoStack && machine.is_restoring();
        if first_restoring {
            undo_by_inverses(&mut run.host, &run.taken, &self.before);
            run.disk = None;
            run.machine = Some(ended_restored(&machine, &self.world.entry));
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
                    run.taken.push(of_functions(step).clone());
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
        let mut seen = look(&run.host, &self.world.entry.plan.bounds.target);
        if machine.is_restoring() {
            let checking = run.planned;
            run.planned = !checking;
            if checking && self.mutant == Mutant::RestoreNotVerified {
                forge(&mut seen, &self.before);
            }
        } else if self.mutant == Mutant::NoVerify {
            forge(&mut seen, &self.after);
        }
        seen
    }

    /// The daemon starts anew: what the journal holds decides.
    fn restart(&mut self, mut run: Box<Run>) -> u128 {
        let mut runs = 0;
        let mut rebooted = copy(&run);
        rebooted.host.reboot().unwrap();
        self.rebooted(&rebooted);
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
            AtStart::Await(_) | AtStart::Forget => self.violation("an entry of this boot was forgotten or unconfirmed"),
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
        let wanted = match (self.world.entry.operation, given) {
            (Act::PassthroughBind, true) | (Act::PassthroughRelease, false) => &self.after,
            (Act::PassthroughBind, false) | (Act::PassthroughRelease, true) => &self.before,
            (operation @ (Act::MigLayout | Act::MigMode), _) => panic!("{operation:?}"),
        };
        let found = scope_of(&run.host, wanted);
        if found != *wanted {
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
                self.must_be(run, &self.after.clone(), "done");
                if open && run.unwritten == 0 {
                    self.violation("done, and the journal still holds it open");
                }
            }
            Outcome::Restored(_) => {
                self.verdict.restored += 1;
                self.must_be(run, &self.before.clone(), "restored");
                if open && run.unwritten == 0 {
                    self.violation("restored, and the journal still holds it open");
                }
            }
            Outcome::Untouched(_) => {
                self.verdict.untouched += 1;
                self.must_be(run, &self.before.clone(), "untouched");
            }
            Outcome::Quarantined(_) => {
                self.verdict.quarantined += 1;
                if !run.hung && run.unwritten < 2 {
                    self.violation("quarantined although nothing hung and every fault was single");
                }
                if !open && run.unwritten < 2 {
                    self.violation("quarantined, and the journal does not hold it: the lane would be lost");
                }
            }
        }
    }

    fn must_be(&mut self, run: &Run, wanted: &[FunctionSettings], what: &str) {
        let found = scope_of(&run.host, wanted);
        if found != wanted {
            self.violation(&format!("said {what}, and the host shows {found:#?} in place of {wanted:#?}"));
        }
    }

    /// A function outside the scope that is not as it was.
    fn others_differ(&self, run: &Run) -> Option<PciAddress> {
        let scope = self.world.entry.plan.bounds.target.functions();
        let before = &self.world.host.bus.functions;
        run.host
            .bus
            .functions
            .iter()
            .find(|(at, f)| !scope.contains(at) && before.get(at) != Some(f))
            .map(|(at, _)| *at)
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
    let half = |seed: u64| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        (&run.machine, &run.disk, &run.unread).hash(&mut hasher);
        (run.left.faults, run.left.crashes, run.left.probes, run.left.damages).hash(&mut hasher);
        (run.hung, run.unwritten, run.planned, &run.late, &run.host.stuck, &run.taken).hash(&mut hasher);
        (run.host.vfio == ModuleState::Loaded).hash(&mut hasher);
        for f in run.host.bus.functions.values() {
            (f.address, &f.driver, &f.driver_override, f.d3cold_allowed, f.power_control).hash(&mut hasher);
        }
        hasher.finish()
    };
    (u128::from(half(1)) << 64) | u128::from(half(2))
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

/// The functions as the kernel has them: read from the bus itself, not through what is tested.
fn scope_of(host: &HostState, wanted: &[FunctionSettings]) -> Vec<FunctionSettings> {
    let function = |settled: &FunctionSettings| {
        let function = &host.bus.functions[&settled.address];
        FunctionSettings {
            address: settled.address,
            driver: function.driver.clone(),
            driver_override: function.driver_override.as_ref().map(|text| text.parse().unwrap()),
            d3cold_allowed: function.d3cold_allowed,
            power_control: function.power_control,
        }
    };
    wanted.iter().map(function).collect()
}

fn of_functions(step: &PlanStep) -> &Step {
    match step {
        PlanStep::Functions(step) => step,
        PlanStep::Mig(step) => panic!("{step}"),
    }
}

/// Shows what is wished for in place of what is.
fn forge(look: &mut Look, wished: &[FunctionSettings]) {
    fn reading<T>(value: Option<T>) -> Reading<T> {
        value.map_or(Reading::Absent(Absence::None), Reading::Known)
    }
    let Look::Functions(seen) = look else { panic!("it is of MIG") };
    seen.vfio_node = true;
    for member in &mut seen.members {
        if let Some(wish) = wished.iter().find(|wish| wish.address == member.address) {
            member.driver = reading(wish.driver.clone());
            member.driver_override = reading(wish.driver_override.clone());
            member.d3cold_allowed = reading(wish.d3cold_allowed);
            member.power_control = reading(wish.power_control);
        }
    }
}

/// What other tools do: the inverse of each step, last first, until one fails.
fn undo_by_inverses(host: &mut HostState, taken: &[Step], before: &[FunctionSettings]) {
    let was = |address: PciAddress| before.iter().find(|settled| settled.address == address).unwrap().clone();
    for step in taken.iter().rev() {
        let inverse = match step {
            Step::LoadModule { .. } => continue,
            Step::SetDriverOverride { address, .. } => {
                Step::SetDriverOverride { address: *address, to: was(*address).driver_override }
            }
            Step::Unbind { address, .. } => Step::Probe { address: *address },
            Step::Probe { address } => Step::Unbind { address: *address, driver: "vfio-pci".parse().unwrap() },
            Step::SetD3cold { address, .. } => {
                Step::SetD3cold { address: *address, allowed: was(*address).d3cold_allowed.unwrap() }
            }
            Step::SetPowerControl { address, .. } => {
                Step::SetPowerControl { address: *address, to: was(*address).power_control.unwrap() }
            }
        };
        if host.act_with(&inverse, None).is_err() {
            return;
        }
    }
}

/// A machine that says that it restored: it is shown the state from before until it believes it.
fn ended_restored(machine: &ChangeMachine, entry: &Entry) -> ChangeMachine {
    let mut machine = machine.clone();
    for _ in 0..20 {
        match machine.to_do() {
            Effect::Look => {
                let mut seen = crate::mutants::empty_look();
                seen.members = functions(&entry.before).iter().map(crate::mutants::member_like).collect();
                machine.happened(Event::Looked(Ok(Box::new(Look::Functions(seen)))));
            }
            Effect::Take(_) => machine.happened(Event::Took(Ok(()))),
            Effect::Journal(_) | Effect::Forget => machine.happened(Event::Journaled(Ok(()))),
            Effect::End(_) => break,
        }
    }
    machine
}
