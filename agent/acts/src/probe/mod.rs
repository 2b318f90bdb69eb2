//! Asks the driver's own tools from a distance: each question in a disposable process with a deadline.

mod answers;
mod asker;
mod round;
mod suspects;

use crate::exited::on_stderr;
use crate::smi::Smi;
use asker::Asker;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::os_cause::OsCause;
use model::settings::NvidiaSettings;
use spawn::{Finished, Own, Purpose, Supervisor};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

/// Asks NVML and nvidia-smi. Clones share the register of children that hang in the kernel.
#[derive(Debug, Clone)]
pub struct Probes {
    supervisor: Supervisor,
    nvml: Asker,
}

impl Probes {
    /// `child` is the disposable child; `sysfs` is `/sys`.
    #[must_use]
    pub fn new(child: Own, sysfs: &Path) -> Self {
        let supervisor = Supervisor::default();
        let nvml = Asker::new(supervisor.clone(), child, sysfs.join("bus/pci"));
        Self { supervisor, nvml }
    }

    /// Asks one source. It may take `probe_timeout_ms` and, where the child does not obey, 6 s more.
    ///
    /// # Errors
    /// Whatever kept the source from answering. The driver container is not asked from here.
    pub async fn run(&self, source: DriverSource, settings: &NvidiaSettings) -> Result<DriverReport, ProbeError> {
        let deadline = Duration::from_millis(settings.probe_timeout_ms);
        match source {
            DriverSource::Nvml => round::ask(&self.nvml, &settings.nvml_paths, deadline).await,
            DriverSource::Smi => self.smi_with_words(settings).await.1,
            DriverSource::SmiInDriverContainer => Err(ProbeError::HandUnavailable {
                what: "nvidia-smi in the driver container".to_owned(),
                cause: OsCause::found("it is queried through Docker, by the containers hand"),
            }),
            DriverSource::Sysfs => Err(ProbeError::HandUnavailable {
                what: "sensors in sysfs".to_owned(),
                cause: OsCause::found("the front reads them itself"),
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
    ) -> (Option<Vec<u8>>, Result<DriverReport, ProbeError>) {
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
fn ended_badly(what: &str, finished: &Finished) -> Option<ProbeError> {
    if let Some(signal) = finished.status.signal() {
        return Some(ProbeError::Crashed { what: what.to_owned(), signal });
    }
    let status = finished.status.code().filter(|status| *status != 0)?;
    Some(ProbeError::Failed { what: what.to_owned(), status, said: on_stderr(finished).said })
}

fn garbled(what: &str, why: &str) -> ProbeError {
    ProbeError::Garbled { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests;
