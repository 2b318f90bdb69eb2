//! Brings GPUs to a wanted mode and layout: all is decided for all of them before the first is touched, then each has its jobs.

use super::mig_decide::{Decided, MigGoal, MigStepWanted, decide};
use super::mig_live::{LiveGpu, LiveHost};
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::{BROKEN, Failure, status_of_code};
use crate::manage::job_view;
use crate::text::{Look, clean, paint, print, print_json};
use crate::{verdict, wait};
use serde::Serialize;
use wire::dbus::job::JobView;
use wire::dbus::proxy::Options;

/// How it is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    pub(super) dry_run: bool,
    pub(super) check: bool,
    pub(super) replace_foreign: bool,
    pub(super) confirm_within: Option<u64>,
    pub(super) no_ask: bool,
    pub(super) json: bool,
}

/// What became of one GPU.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MigOutcome {
    index: usize,
    gpu: String,
    /// `done`, `already_so`, `planned`, `would_change`, `failed`, `left_alone`, or `refused` where nothing was touched on any.
    result: &'static str,
    /// What it was to become, in words.
    wanted: Vec<String>,
    jobs: Vec<JobView>,
    error: Option<String>,
    #[serde(skip)]
    status: u8,
    /// It is undone after so many seconds unless it is confirmed.
    #[serde(skip)]
    on_trial_s: Option<u64>,
}

/// Does it, GPU by GPU, and prints what became of each. A GPU without a goal is left alone.
pub(super) async fn run(live: &LiveHost, goals: &[MigGoal], manner: Manner) -> Result<(), Failure> {
    let decided = match decide_all(live, goals, manner) {
        Ok(decided) => decided,
        Err(refused) => return refuse(live, &refused, manner.json),
    };
    if manner.replace_foreign && !manner.json {
        print(&foreign_lines(live, &decided))?;
    }
    let mut outcomes = Vec::new();
    for gpu in &live.gpus {
        let outcome = match decided.iter().find(|(index, _)| *index == gpu.index) {
            None => gpu.outcome("left_alone", Vec::new()),
            Some((_, decided)) => gpu.bring(&live.daemon, decided, manner).await,
        };
        if !manner.json {
            print(&outcome.lines())?;
        }
        outcomes.push(outcome);
    }
    if manner.json {
        print_json(&outcomes)?;
    }
    let failed: Vec<&MigOutcome> = outcomes.iter().filter(|outcome| outcome.result == "failed").collect();
    if let Some(first) = failed.first() {
        let message = format!("{} of {} GPUs could not be changed", failed.len(), goals.len());
        return Err(Failure::Refused { status: first.status, message });
    }
    let would_change = outcomes.iter().any(|outcome| outcome.result == "would_change");
    if would_change { Err(Failure::WouldChange) } else { Ok(()) }
}

/// Goals that cannot be had, each with its GPU and why.
type Refused = Vec<(usize, Failure)>;

/// What has to be done on each; where one of them cannot be had nothing is done on any.
fn decide_all(live: &LiveHost, goals: &[MigGoal], manner: Manner) -> Result<Vec<(usize, Decided)>, Refused> {
    let (mut decided, mut refused) = (Vec::new(), Vec::new());
    for goal in goals {
        let gpu = live.gpus.iter().find(|gpu| gpu.index == goal.index);
        let gone = || Failure::Form { why: format!("there is no GPU {}", goal.index) };
        match gpu.ok_or_else(gone).and_then(|gpu| decide(gpu, goal, manner.replace_foreign)) {
            // What is on trial is confirmed or undone before the next change, so that there is one way back.
            Ok(found) if manner.confirm_within.is_some() && found.steps.len() > 1 => {
                refused.push((goal.index, one_at_a_time(live, goal.index)));
            }
            Ok(found) => decided.push((goal.index, found)),
            Err(failure) => refused.push((goal.index, failure)),
        }
    }
    if refused.is_empty() { Ok(decided) } else { Err(refused) }
}

fn one_at_a_time(live: &LiveHost, index: usize) -> Failure {
    let gpu = live.gpus.iter().find(|gpu| gpu.index == index);
    let address = gpu.map_or_else(|| index.to_string(), |gpu| gpu.view.address.clone());
    let why = format!(
        "--confirm-within: the mode and the layout of {address} would both change, and only one change of a GPU can be on trial; \
         change the mode first, with --mode-only"
    );
    Failure::Usage { why }
}

/// When a change is undone, and what prevents that.
pub(super) fn on_trial(address: &str, seconds: u64) -> String {
    format!("It is undone in {seconds} s unless you confirm it: gpuhostctl mig confirm {address}")
}

/// Ends with why, when nothing was touched.
fn refuse(live: &LiveHost, refused: &Refused, json: bool) -> Result<(), Failure> {
    let status = refused.first().map_or(BROKEN, |(_, failure)| failure.exit_status());
    if json {
        let outcome = |(index, failure): &(usize, Failure)| {
            let gpu = live.gpus.iter().find(|gpu| gpu.index == *index)?;
            let refused = gpu.outcome("refused", Vec::new());
            Some(MigOutcome { error: Some(failure.with_causes()), ..refused })
        };
        print_json(&refused.iter().filter_map(outcome).collect::<Vec<_>>())?;
    }
    let mut lines: Vec<String> = refused.iter().map(|(_, failure)| failure.with_causes()).collect();
    lines.push("nothing was changed on any GPU".to_owned());
    Err(Failure::Refused { status, message: lines.join("\n") })
}

/// What others have created and is destroyed.
fn foreign_lines(live: &LiveHost, decided: &[(usize, Decided)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, decided) in decided.iter().filter(|(_, decided)| !decided.foreign.is_empty()) {
        let Some(gpu) = live.gpus.iter().find(|gpu| gpu.index == *index) else { continue };
        let named: Vec<String> = decided.foreign.iter().map(ToString::to_string).collect();
        let text =
            format!("{}: replaces instances that gpuhostd did not create: {}", gpu.view.address, named.join(", "));
        lines.push(clean(&text).into_owned());
    }
    lines
}

impl LiveGpu {
    fn outcome(&self, result: &'static str, wanted: Vec<String>) -> MigOutcome {
        let (index, gpu) = (self.index, self.view.address.clone());
        MigOutcome { index, gpu, result, wanted, jobs: Vec::new(), error: None, status: 0, on_trial_s: None }
    }

    /// Has its steps done, one job each, until one fails.
    async fn bring(&self, daemon: &Daemon, decided: &Decided, manner: Manner) -> MigOutcome {
        let wanted = decided.steps.iter().map(ToString::to_string).collect();
        if decided.steps.is_empty() {
            return self.outcome("already_so", wanted);
        }
        if manner.check {
            return self.outcome("would_change", wanted);
        }
        let done = if manner.dry_run { "planned" } else { "done" };
        let mut outcome = self.outcome(done, wanted);
        outcome.on_trial_s = manner.confirm_within.filter(|_| !manner.dry_run);
        // What comes after a change of the mode can be planned by the daemon only once the mode is as wanted.
        let most = if manner.dry_run { 1 } else { decided.steps.len() };
        for step in decided.steps.iter().take(most) {
            let ended = self.step(daemon, step, manner).await;
            match ended {
                Ok(job) => {
                    let error = job.error.clone();
                    outcome.jobs.push(job);
                    if let Some((code, message)) = error {
                        return outcome.failed(status_of_code(&code), message);
                    }
                }
                Err(failure) => return outcome.failed(failure.exit_status(), failure.with_causes()),
            }
        }
        outcome
    }

    /// Has one step done, or planned, and returns its job as it ended.
    async fn step(&self, daemon: &Daemon, step: &MigStepWanted, manner: Manner) -> Result<JobView, Failure> {
        let mut options = Options::new();
        if manner.no_ask {
            options.insert("auth.no-user-interaction", true.into());
        }
        if manner.dry_run {
            options.insert("dry-run", true.into());
        }
        if let Some(seconds) = manner.confirm_within {
            options.insert("confirm-within", seconds.into());
        }
        let job = match step {
            MigStepWanted::Mode(enabled) => {
                daemon.answer(CHANGE_DEADLINE, self.proxy.set_mig_mode(*enabled, options)).await?
            }
            MigStepWanted::Layout(layout) => {
                options.insert("replace-foreign", manner.replace_foreign.into());
                daemon.answer(CHANGE_DEADLINE, self.proxy.set_mig_layout(layout, options)).await?
            }
        };
        let ended = wait::until_ended(daemon, &job).await;
        let view = job_view(daemon, &job).await?;
        // A job without an error of its own that did not end well: the daemon went away.
        if view.error.is_none() { ended.map(|()| view) } else { Ok(view) }
    }
}

impl MigOutcome {
    fn failed(self, status: u8, message: String) -> Self {
        let status = if status == 0 { BROKEN } else { status };
        Self { result: "failed", error: Some(message), status, ..self }
    }

    fn lines(&self) -> Vec<String> {
        let wanted = self.wanted.join("; ");
        let (text, look) = match self.result {
            "left_alone" => ("left alone: no entry names it".to_owned(), Look::Dim),
            "already_so" => ("already as wanted: nothing to do".to_owned(), Look::Plain),
            "would_change" => (format!("would change: {wanted}"), Look::Plain),
            "planned" => (format!("possible: {wanted}"), Look::Good),
            "failed" => (format!("failed: {}", self.error.as_deref().unwrap_or_default()), Look::Bad),
            _ => (format!("done: {wanted}"), Look::Good),
        };
        let mut lines = vec![format!("{:>2}  {}  {}", self.index, self.gpu, paint(&clean(&text), look))];
        let seconds = self.on_trial_s.filter(|_| self.result == "done");
        lines.extend(seconds.map(|seconds| format!("    {}", on_trial(&self.gpu, seconds))));
        let planned = self.jobs.iter().filter(|_| self.result == "planned");
        lines.extend(planned.flat_map(verdict::steps));
        lines.extend(self.jobs.iter().flat_map(verdict::notes));
        lines.extend(self.jobs.iter().flat_map(verdict::blockers));
        lines
    }
}
