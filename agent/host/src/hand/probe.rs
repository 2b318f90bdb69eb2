//! Asks the driver's own tools from a distance: each question in a disposable process with a deadline.

mod answers;
mod asker;
pub(crate) mod lines;
mod round;
mod suspects;

use super::nvml;
use super::process::{Finished, Purpose, RunFault, Supervisor};
use super::smi::Smi;
use asker::Asker;
use lines::{Line, Question};
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::printable::printable;
use model::settings::NvidiaSettings;
use model::time::whole_millis;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The first argument by which our own executable knows that it is to be the disposable process.
pub const ROLE: &str = "probe";

/// Asks NVML and nvidia-smi. Clones share the register of children that hang in the kernel.
#[derive(Debug, Clone)]
pub struct Probes {
    supervisor: Supervisor,
    nvml: Asker,
}

impl Probes {
    /// `worker` is the executable that calls [`child_main`] when its first argument is [`ROLE`]: `/proc/self/exe`. `sysfs` is
    /// `/sys`.
    #[must_use]
    pub fn new(worker: impl Into<PathBuf>, sysfs: &Path) -> Self {
        let supervisor = Supervisor::default();
        let nvml = Asker::new(supervisor.clone(), worker.into(), sysfs.join("bus/pci"));
        Self { supervisor, nvml }
    }

    /// Asks one source. It may take `probe_timeout_ms` and, where the child does not obey, 6 s more.
    ///
    /// # Errors
    /// Whatever kept the source from answering. The driver container is not asked from here.
    pub async fn run(&self, source: DriverSource, settings: &NvidiaSettings) -> Result<DriverReport, ProbeFault> {
        let deadline = Duration::from_millis(settings.probe_timeout_ms);
        match source {
            DriverSource::Nvml => round::ask(&self.nvml, &settings.nvml_paths, deadline).await,
            DriverSource::Smi => self.smi_with_words(settings).await.1,
            DriverSource::SmiInDriverContainer => Err(ProbeFault::HandUnavailable {
                what: "nvidia-smi in the driver container".to_owned(),
                said: "it is queried through Docker, by the containers hand".to_owned(),
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
        let smi = Smi {
            supervisor: &self.supervisor,
            paths: &settings.smi_paths,
            within: Duration::from_millis(settings.probe_timeout_ms),
            bus: &self.nvml.bus,
        };
        smi.report(self.nvml.silent()).await
    }

    /// Children that hang in the kernel, with what they were started for.
    #[must_use]
    pub fn stuck(&self) -> Vec<(Purpose, u32)> {
        self.supervisor.stuck()
    }

    /// A child hangs in the kernel, or waits for a GPU that did not answer in its time.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.supervisor.stuck().is_empty() || self.nvml.waits()
    }
}

/// How a process ended that did not end well.
fn ended_badly(what: &str, finished: &Finished) -> Option<ProbeFault> {
    if let Some(signal) = finished.status.signal() {
        return Some(ProbeFault::Crashed { what: what.to_owned(), signal });
    }
    let status = finished.status.code().filter(|status| *status != 0)?;
    let words = String::from_utf8_lossy(&finished.stderr);
    let said = printable(words.trim(), 400);
    Some(ProbeFault::Failed { what: what.to_owned(), status, said })
}

fn garbled(what: &str, why: &str) -> ProbeFault {
    ProbeFault::Garbled { what: what.to_owned(), why: why.to_owned() }
}

/// The disposable process itself, with the arguments after [`ROLE`] (source and question): asks, writes what it hears line by
/// line, and is gone. Blocking.
#[must_use]
pub fn child_main(args: &[String]) -> ExitCode {
    let question = match args {
        [source, question] if source == DriverSource::Nvml.code() => serde_json::from_str::<Question>(question).ok(),
        _ => None,
    };
    let Some(question) = question else {
        return complain("usage: probe nvml QUESTION (started by the host hand, not by a user)");
    };
    match nvml::tell(&question, |line| write_line(&line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the answers of NVML cannot be passed on: {error}")),
    }
}

/// On a line of its own: the driver's library may write to the same pipe, before it and after it.
fn write_line(line: &Line) -> std::io::Result<()> {
    let text = serde_json::to_string(line)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{text}")?;
    out.flush()
}

fn complain(why: &str) -> ExitCode {
    // Standard error is a pipe to the hand; where that has gone, nobody is left to complain to.
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::FAILURE
}

/// A child's fault as a probe's fault.
pub(super) fn run_fault(what: &str, fault: &RunFault) -> ProbeFault {
    let what = what.to_owned();
    let failed = |what, error: &std::io::Error, said| ProbeFault::Failed {
        what,
        status: error.raw_os_error().unwrap_or_default(),
        said,
    };
    let said = fault.to_string();
    match fault {
        RunFault::Start { source, .. } if source.kind() == ErrorKind::NotFound => ProbeFault::Absent { what, said },
        RunFault::Start { source, .. } => failed(what, source, said),
        RunFault::Supervision(source) => failed(what, source, said),
        RunFault::Timeout { after } => ProbeFault::Timeout { what, after_ms: whole_millis(*after) },
        RunFault::Stuck { pid } => ProbeFault::Stuck { what, pid: *pid },
        RunFault::TooMuch { .. } => ProbeFault::Garbled { what, why: said },
        RunFault::Abandoned => ProbeFault::HandUnavailable { what, said },
    }
}

#[cfg(test)]
mod tests;
