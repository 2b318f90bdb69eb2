//! Asks the driver's own tools from a distance: each question in a disposable process with a deadline.

use super::process::{Finished, Program, Purpose, RunFault, Supervisor};
use super::{nvml, smi};
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::settings::NvidiaSettings;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Turns the output of `nvidia-smi -q -x` into a report.
pub type Parse = fn(&[u8]) -> Result<DriverReport, ProbeFault>;

/// The first argument by which our own executable knows that it is to be the disposable process.
pub const ROLE: &str = "probe";

/// Asks NVML and nvidia-smi. Clones share the register of children that hang in the kernel.
#[derive(Debug, Clone)]
pub struct Probes {
    supervisor: Supervisor,
    worker: PathBuf,
    parse: Parse,
}

impl Probes {
    /// `worker` is the executable that calls [`child_main`] when its first argument is [`ROLE`]: `/proc/self/exe`.
    #[must_use]
    pub fn new(worker: impl Into<PathBuf>, parse: Parse) -> Self {
        Self { supervisor: Supervisor::default(), worker: worker.into(), parse }
    }

    /// Asks one source. It may take `probe_timeout_ms` and, where the child does not obey, 6 s more.
    ///
    /// # Errors
    /// Whatever kept the source from answering. The driver container is not asked from here.
    pub async fn run(&self, source: DriverSource, settings: &NvidiaSettings) -> Result<DriverReport, ProbeFault> {
        let deadline = Duration::from_millis(settings.probe_timeout_ms);
        match source {
            DriverSource::Nvml => self.nvml(&settings.nvml_paths, deadline).await,
            DriverSource::Smi => smi::report(&self.supervisor, &settings.smi_paths, deadline, self.parse).await,
            DriverSource::SmiInDriverContainer => Err(ProbeFault::HandUnavailable {
                what: "nvidia-smi in the driver container".to_owned(),
                said: "it is asked through Docker, by the hand that may use Docker".to_owned(),
            }),
            DriverSource::Sysfs => Err(ProbeFault::HandUnavailable {
                what: "sensors in sysfs".to_owned(),
                said: "the front reads them itself".to_owned(),
            }),
        }
    }

    /// Asks nvidia-smi and keeps what it wrote, word by word, beside what was understood of it.
    ///
    /// # Errors
    /// In the second part as [`Probes::run`]; where it could not even be run there is no first one.
    pub async fn smi_with_words(
        &self,
        settings: &NvidiaSettings,
    ) -> (Option<Vec<u8>>, Result<DriverReport, ProbeFault>) {
        let deadline = Duration::from_millis(settings.probe_timeout_ms);
        match smi::run(&self.supervisor, &settings.smi_paths, deadline).await {
            Ok((what, finished)) => {
                let report = smi::judge(&what, &finished, self.parse, DriverSource::Smi);
                (Some(finished.stdout), report)
            }
            Err(fault) => (None, Err(fault)),
        }
    }

    /// Children that hang in the kernel, with what they were started for.
    #[must_use]
    pub fn stuck(&self) -> Vec<(Purpose, u32)> {
        self.supervisor.stuck()
    }

    async fn nvml(&self, paths: &[String], deadline: Duration) -> Result<DriverReport, ProbeFault> {
        let what = "NVML (in a process of its own)";
        let question = serde_json::to_string(paths).map_err(|error| garbled(what, &error.to_string()))?;
        let args = [ROLE, DriverSource::Nvml.code(), question.as_str()].map(OsString::from);
        let program = Program::new(&self.worker, args, deadline);
        let finished = self.supervisor.run("nvml", program).await.map_err(|fault| run_fault(what, fault))?;
        answer(what, &finished)
    }
}

/// What the disposable process says on a line of its own. The driver's library may write to the same pipe, before it and
/// after it (what its stdio kept back is written at exit).
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    report: Result<DriverReport, ProbeFault>,
}

fn answer(what: &str, finished: &Finished) -> Result<DriverReport, ProbeFault> {
    if let Some(signal) = finished.status.signal() {
        return Err(ProbeFault::Crashed { what: what.to_owned(), signal });
    }
    let lines = finished.stdout.rsplit(|byte| *byte == b'\n');
    let said = lines.filter_map(|line| serde_json::from_slice::<Answer>(line).ok()).next();
    match (said, finished.status.code()) {
        (Some(answer), Some(0)) => answer.report,
        (None, Some(0)) => Err(garbled(what, "there is no report in what it wrote")),
        (_, status) => {
            let words = String::from_utf8_lossy(&finished.stderr);
            let said = words.trim().chars().filter(|c| !c.is_control()).take(400).collect();
            Err(ProbeFault::Failed { what: what.to_owned(), status: status.unwrap_or_default(), said })
        }
    }
}

fn garbled(what: &str, why: &str) -> ProbeFault {
    ProbeFault::Garbled { what: what.to_owned(), why: why.to_owned() }
}

/// The disposable process itself, with the arguments after [`ROLE`] (source, question, and for a test the folder of the bus): asks, writes the answer, and is gone. Blocking.
#[must_use]
pub fn child_main(args: &[String]) -> ExitCode {
    let asked = match args {
        [source, question] if source == DriverSource::Nvml.code() => Some((question, "/sys/bus/pci")),
        [source, question, bus] if source == DriverSource::Nvml.code() => Some((question, bus.as_str())),
        _ => None,
    };
    let parsed = |(question, bus): (&String, _)| Some((serde_json::from_str::<Vec<String>>(question).ok()?, bus));
    let Some((paths, bus)) = asked.and_then(parsed) else {
        return complain("usage: probe nvml '[\"libnvidia-ml.so.1\"]' (started by the host hand, not by people)");
    };
    let text = match serde_json::to_string(&Answer { report: nvml::report(&paths, Path::new(bus)) }) {
        Ok(text) => text,
        Err(error) => return complain(&format!("the report cannot be written as JSON: {error}")),
    };
    let mut out = std::io::stdout().lock();
    match writeln!(out, "\n{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the report cannot be written: {error}")),
    }
}

fn complain(why: &str) -> ExitCode {
    // Standard error is a pipe to the hand; where that has gone, nobody is left to complain to.
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::FAILURE
}

/// A child's fault as a probe's fault.
pub(super) fn run_fault(what: &str, fault: RunFault) -> ProbeFault {
    let what = what.to_owned();
    let failed = |what, error: &std::io::Error, said| ProbeFault::Failed {
        what,
        status: error.raw_os_error().unwrap_or_default(),
        said,
    };
    let said = fault.to_string();
    match fault {
        RunFault::Start { source, .. } if source.kind() == ErrorKind::NotFound => ProbeFault::Absent { what, said },
        RunFault::Start { source, .. } => failed(what, &source, said),
        RunFault::Supervision(source) => failed(what, &source, said),
        RunFault::Timeout { after } => {
            ProbeFault::Timeout { what, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
        }
        RunFault::Stuck { pid } => ProbeFault::Stuck { what, pid },
        RunFault::TooMuch { .. } => ProbeFault::Garbled { what, why: said },
        RunFault::Abandoned => ProbeFault::HandUnavailable { what, said },
    }
}

#[cfg(test)]
mod tests;
