//! One round of NVML: as many disposable processes as it takes so that a GPU that does not answer costs only itself.
//!
//! One process asks for one GPU after the other. Where a GPU keeps it waiting, another process asks for those that are left, and
//! the first one waits on. At the deadline the report goes out without that GPU. The process that waits for it is left in the
//! driver's call for a good while more, because to be ended there can make a GPU unusable, and no other is started beside it.

use super::answers::Answers;
use super::asker::Asker;
use super::suspects::Suspect;
use super::{ended_badly, garbled};
use crate::child_fault::run_fault;
use model::absence::Absence;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::os_cause::OsCause;
use model::time::whole_millis;
use protocol::child::Task;
use protocol::lines::{AskedGpu, ChildLine, Lines, Question};
use spawn::{Finished, Program, Purpose, RunError};
use std::ffi::OsString;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Who is named in faults.
const WHAT: &str = "NVML (in a process of its own)";
/// Most processes that one round starts.
const RUNS_MAX: usize = 16;

/// The times of a round, all taken from the one that the settings give.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The round's own.
    all: Duration,
    /// A GPU that takes longer lets another process ask for the rest.
    patience: Duration,
    /// A process that waits for a GPU is ended after it.
    long: Duration,
    /// A GPU that did not answer is asked again after it.
    again: Duration,
}

impl Times {
    fn of(all: Duration) -> Self {
        Self { all, patience: all / 6, long: all.saturating_mul(4), again: all.saturating_mul(10) }
    }
}

/// All that NVML reports within this time.
///
/// # Errors
/// NVML could not be queried, or reported no GPU.
pub(super) async fn ask(asker: &Asker, paths: &[String], within: Duration) -> Result<DriverReport, ProbeError> {
    let Some(_turn) = asker.turn(within).await else {
        let after_ms = whole_millis(within);
        return Err(ProbeError::Timeout { what: "another question to NVML".to_owned(), after_ms });
    };
    Round::new(asker.clone(), paths, Times::of(within)).report().await
}

/// What comes from a process.
enum Heard {
    Line(ChildLine),
    Ended(Result<Finished, RunError>),
}

/// A process of this round. Dropped before its end it is ended.
struct Run {
    purpose: Purpose,
    task: JoinHandle<()>,
    begin: Instant,
    /// The only GPU that it is started for: one that did not answer before.
    alone: Option<AskedGpu>,
    /// It has reported something useful.
    opened: bool,
    /// Which GPU it waits for, and since when.
    current: Option<(AskedGpu, Instant)>,
    /// It has waited for a GPU for longer than the others should.
    slow: bool,
    ended: bool,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The round.
struct Round {
    asker: Asker,
    paths: Vec<String>,
    times: Times,
    begin: Instant,
    send: UnboundedSender<(usize, Heard)>,
    receive: UnboundedReceiver<(usize, Heard)>,
    /// The first is the one that asks for all.
    runs: Vec<Run>,
    /// GPUs that no process has asked for yet.
    queue: Vec<AskedGpu>,
    answers: Answers,
    /// Why the library cannot be asked at all.
    fault: Option<ProbeError>,
}

impl Round {
    fn new(asker: Asker, paths: &[String], times: Times) -> Self {
        let (send, receive) = unbounded_channel();
        Self {
            asker,
            paths: paths.to_vec(),
            times,
            begin: Instant::now(),
            send,
            receive,
            runs: Vec::new(),
            queue: Vec::new(),
            answers: Answers::default(),
            fault: None,
        }
    }

    /// Asks, for no longer than the round may take.
    async fn report(mut self) -> Result<DriverReport, ProbeError> {
        let (left_out, due) = self.asker.with(|suspects| (suspects.all(), suspects.due(self.begin)));
        if !self.start(None, left_out, None)? {
            let cause = OsCause::found("all allowed processes wait for GPUs that do not answer");
            return Err(ProbeError::HandUnavailable { what: WHAT.to_owned(), cause });
        }
        for which in due {
            self.start(Some(vec![which]), Vec::new(), Some(which))?;
        }
        loop {
            self.ask_the_rest();
            let Some(until) = self.waits_until() else { return self.close() };
            if let Ok(Some((run, heard))) = timeout_at(until, self.receive.recv()).await {
                self.take(run, heard);
            }
        }
    }

    /// Until when to listen before looking around again; `None` where there is nothing to wait for.
    fn waits_until(&self) -> Option<Instant> {
        let (now, end) = (Instant::now(), self.begin + self.times.all);
        let patient = |since: Instant| since + self.times.patience;
        let next = |run: &Run| match (run.alone, run.current) {
            // One that did not answer before keeps the report for no longer than any GPU keeps the others.
            (Some(_), _) => Some(patient(run.begin)).filter(|until| *until > now),
            (None, Some((_, since))) if !run.slow => Some(patient(since)),
            (None, _) => Some(end),
        };
        let until = self.runs.iter().filter(|run| !run.ended).filter_map(next).min()?;
        (now < end).then_some(until.min(end))
    }

    /// Where each process waits for its GPU or has ended, another asks for those that are left.
    fn ask_the_rest(&mut self) {
        let now = Instant::now();
        for run in &mut self.runs {
            run.slow |= run.current.is_some_and(|(_, since)| now >= since + self.times.patience);
        }
        let goes_on = self.runs.iter().any(|run| run.alone.is_none() && !run.ended && !run.slow);
        if self.queue.is_empty() || goes_on || self.runs.len() >= RUNS_MAX {
            return;
        }
        // Where none can be started, the rest is what it is: not reached.
        let _ = self.start(Some(self.queue.clone()), Vec::new(), None);
    }

    /// Starts a process; false where as many as there may be wait for a GPU each.
    fn start(
        &mut self,
        only: Option<Vec<AskedGpu>>,
        leave_out: Vec<AskedGpu>,
        alone: Option<AskedGpu>,
    ) -> Result<bool, ProbeError> {
        let taken = |purpose: &str| self.runs.iter().any(|run| !run.ended && run.purpose == purpose);
        let Some(purpose) = self.asker.free(taken) else { return Ok(false) };
        let patience_ms = whole_millis(self.times.patience);
        let (paths, bus) = (self.paths.clone(), self.asker.bus.clone());
        let question = serde_json::to_string(&Question { paths, bus, patience_ms, leave_out, only });
        let question = question.map_err(|error| garbled(WHAT, &error.to_string()))?;
        let args = Task::Probe.arguments([DriverSource::Nvml.code(), question.as_str()].map(OsString::from));
        let program = Program::own(&self.asker.child, args, self.times.long);
        let task = tokio::spawn(run(self.asker.clone(), purpose.clone(), program, self.runs.len(), self.send.clone()));
        let begin = Instant::now();
        self.runs.push(Run { purpose, task, begin, alone, opened: false, current: None, slow: false, ended: false });
        Ok(true)
    }

    fn take(&mut self, id: usize, heard: Heard) {
        let Some(run) = self.runs.get_mut(id) else { return };
        match heard {
            Heard::Line(ChildLine::Asking(which)) => {
                run.current = Some((which, Instant::now()));
                self.queue.retain(|waiting| *waiting != which);
            }
            Heard::Line(ChildLine::Answered { which, gpu, problems }) => {
                self.answered(id, which);
                self.answers.problems.extend(problems);
                self.answers.silent.remove(&which);
                self.answers.gpus.entry(which).or_insert(*gpu);
            }
            Heard::Line(ChildLine::Silent { which, why, said }) => {
                self.answered(id, which);
                self.answers.silent(which, why, said);
            }
            Heard::Line(ChildLine::Opened { driver_version, cuda_version, found }) => {
                run.opened = true;
                if id == 0 {
                    let left_out = self.asker.with(|suspects| {
                        suspects.keep(&found);
                        suspects.all()
                    });
                    self.queue = found.into_iter().filter(|which| !left_out.contains(which)).collect();
                    self.answers.versions = (driver_version, cuda_version);
                }
            }
            Heard::Line(ChildLine::Refused(fault)) => {
                run.opened = true;
                self.refused(id, fault);
            }
            Heard::Line(ChildLine::Done) => {}
            Heard::Ended(ended) => self.ended(id, &ended),
        }
    }

    /// The library reported this and no GPU.
    fn refused(&mut self, id: usize, fault: ProbeError) {
        if id == 0 {
            self.fault = Some(fault);
        } else if self.runs.get(id).is_some_and(|run| run.alone.is_none()) {
            self.answers.problems.push(fault.to_string());
            self.not_reached(&fault.to_string());
        }
    }

    /// Nobody is asked any more for the GPUs that are left.
    fn not_reached(&mut self, why: &str) {
        for which in std::mem::take(&mut self.queue) {
            self.answers.silent(which, Absence::NotProbed, format!("NVML was not asked for its {which}: {why}"));
        }
    }

    /// A GPU has answered. One that was silent before is asked with the others again once it is quick.
    fn answered(&mut self, id: usize, which: AskedGpu) {
        let Some((_, since)) = self.runs.get_mut(id).and_then(|run| run.current.take()) else { return };
        let took = since.elapsed();
        if took < self.times.all {
            self.asker.with(|suspects| suspects.remove(which));
            return;
        }
        let said = format!("NVML took {} s to answer for its {which}", took.as_secs());
        self.suspect(which, Absence::ProbeTimeout, said, None, self.times.all);
    }

    fn suspect(&self, which: AskedGpu, why: Absence, said: String, child: Option<Purpose>, again: Duration) {
        let suspect = Suspect { why, said, child, ask_at: Instant::now() + again };
        self.asker.with(|suspects| suspects.insert(which, suspect));
    }

    fn ended(&mut self, id: usize, ended: &Result<Finished, RunError>) {
        let Some(run) = self.runs.get_mut(id) else { return };
        run.ended = true;
        let (current, opened) = (run.current.take(), run.opened);
        let hangs = matches!(ended, Err(RunError::Stuck { .. })).then(|| run.purpose.clone());
        let fault = match ended {
            Ok(finished) => ended_badly(WHAT, finished),
            Err(fault) => Some(run_fault(WHAT, fault)),
        };
        match (current, fault) {
            (Some((which, _)), fault) => {
                let (why, said) = while_asked(which, fault.as_ref());
                self.suspect(which, why, said, hangs, self.times.again);
            }
            (None, Some(fault)) if !opened => self.refused(id, fault),
            (None, Some(fault)) => self.answers.problems.push(format!("after its answers: {fault}")),
            (None, None) if !opened => self.refused(id, garbled(WHAT, "its output has no report")),
            (None, None) => {}
        }
    }

    /// The report; processes that wait for a GPU go on without anybody waiting for them.
    fn close(mut self) -> Result<DriverReport, ProbeError> {
        let after_ms = whole_millis(self.times.all);
        let late = |run: &Run| !run.opened && !run.ended;
        if self.fault.is_none() && self.runs.first().is_none_or(late) {
            self.fault = Some(ProbeError::Timeout { what: WHAT.to_owned(), after_ms });
        }
        self.not_reached(&format!("the other GPUs used all of the {after_ms} ms"));
        for run in self.runs.iter().filter(|run| !run.ended) {
            self.leave_waiting(run);
        }
        let mut answers = std::mem::take(&mut self.answers);
        self.asker.with(|suspects| {
            for (which, suspect) in suspects.iter() {
                answers.silent(*which, suspect.why.clone(), suspect.said.clone());
            }
        });
        let report = match self.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(answers.report()),
        };
        if self.runs.iter().any(|run| self.goes_on(run)) {
            tokio::spawn(self.wait_for_the_rest());
        }
        report
    }

    fn leave_waiting(&self, run: &Run) {
        let waits = || run.purpose.clone();
        match (run.alone, run.current) {
            // What is known of it says more than that it is silent again.
            (Some(which), _) => self.asker.with(|suspects| suspects.waits(which, waits())),
            (None, Some((which, since))) => {
                let said = format!("NVML did not answer for its {which} within {} ms", since.elapsed().as_millis());
                self.suspect(which, Absence::ProbeTimeout, said, Some(waits()), self.times.again);
            }
            (None, None) => {}
        }
    }

    fn goes_on(&self, run: &Run) -> bool {
        !run.ended && self.asker.with(|suspects| suspects.holds(&run.purpose))
    }

    async fn wait_for_the_rest(mut self) {
        for run in self.runs.iter().filter(|run| !self.goes_on(run)) {
            run.task.abort();
        }
        while self.runs.iter().any(|run| self.goes_on(run)) {
            let Some((id, heard)) = self.receive.recv().await else { return };
            self.take(id, heard);
        }
    }
}

/// Runs one process and passes its lines on. Where the round has ended, they are dropped.
async fn run(asker: Asker, purpose: Purpose, program: Program, id: usize, send: UnboundedSender<(usize, Heard)>) {
    let (mut lines, lines_go) = (Lines::default(), send.clone());
    let hear = move |piece: &[u8]| {
        for line in lines.take(piece) {
            let _ = lines_go.send((id, Heard::Line(line)));
        }
    };
    let ended = asker.supervisor.run_heard(purpose, program, Box::new(hear)).await;
    let _ = send.send((id, Heard::Ended(ended)));
}

/// Why a GPU has no answer whose process has ended over it.
fn while_asked(which: AskedGpu, fault: Option<&ProbeError>) -> (Absence, String) {
    match fault {
        Some(ProbeError::Timeout { after_ms, .. }) => {
            (Absence::ProbeTimeout, format!("NVML did not answer for its {which} within {after_ms} ms"))
        }
        Some(fault @ ProbeError::Stuck { .. }) => (Absence::ProbeTimeout, format!("asked for its {which}, {fault}")),
        Some(fault) => (Absence::ProbeFailed, format!("asked for its {which}, {fault}")),
        None => (Absence::ProbeFailed, format!("asked for its {which}, {WHAT} exited without an answer")),
    }
}
