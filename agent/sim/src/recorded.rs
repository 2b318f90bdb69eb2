//! A host out of a snapshot, behind the same ports: it answers what the real one answered, and never changes.

use crate::archive::{BadSnapshot, HostSnapshot};
use crate::bad_description::BadDescription;
use crate::description::Description;
use crate::load::load;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::health::kernel_log::KernelLogUnavailable;
use model::holders::Holders;
use model::host_facts::HostFacts;
use model::os_cause::OsCause;
use model::pci::PciScan;
use model::plan::{Look, PlanStep, Target};
use model::ports::{ActError, ActPort, ChangePort, HostChange, HostPort, KernelLogPort, ScanError};
use model::snapshot::Recorded;
use std::future::{Future, pending, ready};
use std::path::Path;
use std::sync::Arc;

/// A recorded host. Clones are the same host.
#[derive(Debug, Clone)]
pub struct RecordedHost(Arc<Recorded>);

/// Where the changes of a recorded host would be announced: there are none.
#[derive(Debug)]
pub struct NoChanges;

/// The kernel log of a recorded host: what was in it, then nothing more. Never heard where it could not be read.
#[derive(Debug)]
pub struct RecordedLog(Option<Vec<String>>);

impl RecordedHost {
    /// The host that gave these answers.
    #[must_use]
    pub fn new(recorded: Recorded) -> Self {
        Self(Arc::new(recorded))
    }

    /// Its kernel log, from the oldest record on.
    #[must_use]
    pub fn kernel_log(&self) -> RecordedLog {
        RecordedLog(self.0.kernel_log.clone())
    }
}

impl HostPort for RecordedHost {
    fn scan_pci(&self) -> impl Future<Output = Result<PciScan, ScanError>> + Send {
        ready(self.0.scan.clone())
    }

    /// The disk is the one that was measured, whatever is asked for.
    fn read_host(&self, _docker_root: Option<String>) -> impl Future<Output = HostFacts> + Send {
        ready(self.0.host.clone())
    }

    fn probe_driver(&self, source: DriverSource) -> impl Future<Output = Result<DriverReport, ProbeError>> + Send {
        ready(self.0.report(source))
    }

    fn read_docker(&self) -> impl Future<Output = Result<DockerFacts, ProbeError>> + Send {
        ready(self.0.docker.clone())
    }
}

/// A picture cannot be changed, and what changes need to see is not in it.
impl ActPort for RecordedHost {
    fn look(&self, _target: &Target) -> impl Future<Output = Result<Look, ActError>> + Send {
        ready(Err(only_a_picture()))
    }

    fn holders(&self, _target: &Target) -> impl Future<Output = Result<Holders, ActError>> + Send {
        ready(Err(only_a_picture()))
    }

    fn act(&self, _target: &Target, _step: &PlanStep) -> impl Future<Output = Result<(), ActError>> + Send {
        ready(Err(only_a_picture()))
    }
}

fn only_a_picture() -> ActError {
    ActError::Unreachable {
        what: "the host".to_owned(),
        cause: OsCause::found("it is a snapshot, which cannot be changed"),
    }
}

impl ChangePort for NoChanges {
    fn next_change(&mut self) -> impl Future<Output = HostChange> + Send {
        pending()
    }
}

impl KernelLogPort for RecordedLog {
    async fn next_lines(&mut self) -> Result<Vec<String>, KernelLogUnavailable> {
        match self.0.take() {
            Some(lines) => Ok(lines),
            None => pending().await,
        }
    }
}

/// What a name or a path stands for.
#[derive(Debug)]
pub enum Loaded {
    /// A description, built in or from a file.
    Described(Box<Description>),
    /// A snapshot of a real host.
    Recorded(RecordedHost),
}

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum BadHost {
    /// No description.
    #[error(transparent)]
    Description(#[from] BadDescription),
    /// No snapshot.
    #[error(transparent)]
    Snapshot(#[from] BadSnapshot),
}

/// Loads a built-in host by name, a snapshot by the path of its `.tar.gz`, or a description by the path of its file.
///
/// # Errors
/// There is none of these, or what is there cannot be used.
pub fn load_any(name_or_path: &str) -> Result<Loaded, BadHost> {
    if [".tar.gz", ".tgz"].iter().any(|end| name_or_path.ends_with(end)) {
        let recorded = HostSnapshot::open(Path::new(name_or_path))?.recorded()?;
        return Ok(Loaded::Recorded(RecordedHost::new(recorded)));
    }
    Ok(Loaded::Described(Box::new(load(name_or_path)?)))
}
