//! Runs `nvidia-smi -q -x` and judges how it ended; its document is read by the parser.

use crate::child_fault::run_fault;
use host::front::gpus_to_ask;
use model::absence::Absence;
use model::driver::{DriverReport, DriverSource, ProbeError, SilentGpu};
use model::ids::PciAddress;
use model::smi::{ARGUMENTS, document, silent_in};
use spawn::{Finished, Program, Supervisor};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How nvidia-smi is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Smi<'a> {
    pub(crate) supervisor: &'a Supervisor,
    /// The first that is there is asked.
    pub(crate) paths: &'a [String],
    pub(crate) within: Duration,
    /// `/sys/bus/pci`.
    pub(crate) bus: &'a Path,
}

impl Smi<'_> {
    /// Asks for all GPUs at once. It gives up all of them where one has no handle: then, and where `silent` ones are known before,
    /// it is asked for each of the others. Beside the report what it wrote word by word, where it could be run.
    ///
    /// # Errors
    /// In the second part: there is none, it hangs, crashes, fails, or its document cannot be parsed.
    pub(crate) async fn report(
        &self,
        mut silent: Vec<SilentGpu>,
    ) -> (Option<Vec<u8>>, Result<DriverReport, ProbeError>) {
        let begin = Instant::now();
        let (mut words, mut told) = (None, None);
        if silent.is_empty() {
            let (what, finished) = match self.run(&[], self.within).await {
                Ok(ended) => ended,
                Err(fault) => return (None, Err(fault)),
            };
            let report = judge(&what, &finished, DriverSource::Smi);
            words = Some(finished.stdout);
            if let Err(ProbeError::Failed { said, .. }) = &report {
                silent = silent_in(said);
            }
            if silent.is_empty() {
                return (words, report);
            }
            told = Some(report);
        }
        let bus = self.bus.to_owned();
        let bound = tokio::task::spawn_blocking(move || gpus_to_ask(&bus)).await.unwrap_or_default();
        let others: Vec<PciAddress> =
            bound.into_iter().filter(|address| silent.iter().all(|gpu| gpu.address != *address)).collect();
        let report = match told {
            Some(told) if others.is_empty() => told,
            Some(_) | None => Ok(self.one_by_one(begin, &others, silent).await),
        };
        (words, report)
    }

    async fn one_by_one(&self, begin: Instant, others: &[PciAddress], silent: Vec<SilentGpu>) -> DriverReport {
        let mut whole = DriverReport {
            problems: silent.iter().map(|gpu| gpu.said.clone()).collect(),
            silent,
            ..DriverReport::unknown(DriverSource::Smi)
        };
        let mut hangs = None;
        for address in others.iter().copied() {
            let left = self.within.saturating_sub(begin.elapsed());
            if hangs.is_some() || left.is_zero() {
                let why = hangs.as_deref().unwrap_or("the other GPUs used all the time");
                let said = format!("nvidia-smi was not asked for the GPU at {address}: {why}");
                whole.silent.push(SilentGpu { address, why: Absence::NotProbed, said });
                continue;
            }
            match self.one(address, left).await {
                Ok(report) => {
                    whole.driver_version = report.driver_version;
                    whole.cuda_version = report.cuda_version;
                    whole.gpus.extend(report.gpus.into_iter().filter(|gpu| gpu.address == address));
                    let problems = report.problems.into_iter().filter(|new| !whole.problems.contains(new));
                    whole.problems.extend(problems.collect::<Vec<_>>());
                }
                Err(fault) => {
                    hangs = matches!(fault, ProbeError::Timeout { .. } | ProbeError::Stuck { .. })
                        .then(|| format!("it hangs at the GPU at {address}"));
                    let gpu = alone(address, &fault);
                    whole.problems.push(gpu.said.clone());
                    whole.silent.push(gpu);
                }
            }
        }
        whole
    }

    async fn one(&self, address: PciAddress, within: Duration) -> Result<DriverReport, ProbeError> {
        let (what, finished) = self.run(&["-i".to_owned(), address.to_string()], within).await?;
        judge(&what, &finished, DriverSource::Smi)
    }

    /// Runs it: what was run, in words, and how it ended.
    async fn run(&self, more: &[String], within: Duration) -> Result<(String, Finished), ProbeError> {
        let Some(path) = self.paths.iter().find(|path| Path::new(path).is_file()) else {
            let what = format!("nvidia-smi (looked for as {})", self.paths.join(", "));
            return Err(ProbeError::Absent { what, said: "there is no such file".to_owned() });
        };
        let what = format!("nvidia-smi ({path})");
        let arguments = ARGUMENTS.into_iter().chain(more.iter().map(String::as_str)).map(OsString::from);
        let mut program = Program::new(path, arguments, within);
        program.env.extend(library_path(path));
        let finished = self.supervisor.run("nvidia-smi", program).await;
        Ok((what.clone(), finished.map_err(|fault| run_fault(&what, &fault))?))
    }
}

/// What is known of a GPU for which alone nvidia-smi was asked.
fn alone(address: PciAddress, fault: &ProbeError) -> SilentGpu {
    let said = format!("asked for the GPU at {address}: {fault}");
    let named = silent_in(&said).into_iter().find(|gpu| gpu.address == address);
    let why = match fault {
        ProbeError::Timeout { .. } | ProbeError::Stuck { .. } => Absence::ProbeTimeout,
        ProbeError::NotAsked { .. }
        | ProbeError::Absent { .. }
        | ProbeError::Failed { .. }
        | ProbeError::Crashed { .. }
        | ProbeError::Garbled { .. }
        | ProbeError::HandUnavailable { .. } => Absence::ProbeFailed,
    };
    named.unwrap_or(SilentGpu { address, why, said })
}

/// A driver that a container has installed under its own root finds its libraries there only with `LD_LIBRARY_PATH`.
fn library_path(path: &str) -> Option<(String, OsString)> {
    let root = path.strip_suffix("/usr/bin/nvidia-smi").filter(|root| !root.is_empty())?;
    let folders = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib/aarch64-linux-gnu:{root}/usr/lib64");
    Some(("LD_LIBRARY_PATH".to_owned(), folders.into()))
}

pub(crate) fn judge(what: &str, finished: &Finished, source: DriverSource) -> Result<DriverReport, ProbeError> {
    match (finished.status.code(), finished.status.signal()) {
        (Some(status), _) => document(what, status, &finished.stdout, &finished.stderr, source),
        (None, signal) => Err(ProbeError::Crashed { what: what.to_owned(), signal: signal.unwrap_or_default() }),
    }
}

#[cfg(test)]
mod tests;
