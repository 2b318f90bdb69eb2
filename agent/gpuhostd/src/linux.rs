//! The Linux host as the engine's ports: the front reads sysfs and procfs itself, and asks the hands for the rest.

use crate::installed_toolkit::InstalledToolkit;
use crate::mig_users::MigUsers;
use hands::RemoteHost;
use host::front::{FactsRoot, Sysfs};
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::holders::Holders;
use model::host_facts::HostFacts;
use model::mig::MigStep;
use model::os_cause::OsCause;
use model::pci::PciScan;
use model::plan::{Look, PlanStep, Target};
use model::ports::{ActError, ActPort, HostPort, ScanError};
use model::time::whole_millis;
use protocol::hand::containers::ReadDockerFacts;
use protocol::hand::holders::FindHolders;
use protocol::hand::host::{ApplyStep, InspectScope};
use protocol::hand::mig::{ApplyMigStep, InspectMig, SetMigMode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Reading the sensors of eight GPUs takes milliseconds; firmware that is asleep or busy takes longer.
const SENSORS_WITHIN: Duration = Duration::from_secs(5);

/// The host under us.
pub(crate) struct LinuxHost {
    sysfs: Arc<Sysfs>,
    pub(crate) facts: FactsRoot,
    pub(crate) remote: RemoteHost,
    sensors: Arc<Semaphore>,
    /// One reader of control groups at a time.
    pub(crate) cgroups: Arc<Semaphore>,
    mig: MigUsers,
    /// The installed toolkit whose programs have answered.
    pub(crate) toolkit_answered: tokio::sync::Mutex<Option<InstalledToolkit>>,
}

impl LinuxHost {
    /// Ties the readers and the clients of the hands together.
    #[must_use]
    pub(crate) fn new(sysfs: Sysfs, facts: FactsRoot, remote: RemoteHost) -> Self {
        let mig = MigUsers { bus: facts.sys.join("bus/pci"), proc: facts.proc.clone() };
        Self {
            sysfs: Arc::new(sysfs),
            facts,
            remote,
            sensors: Arc::new(Semaphore::new(1)),
            cgroups: Arc::new(Semaphore::new(1)),
            mig,
            toolkit_answered: tokio::sync::Mutex::default(),
        }
    }

    /// Reads the sensors of other drivers than NVIDIA's. A driver whose firmware hangs keeps its reader: no second one is
    /// sent after it.
    async fn sensors(&self) -> Result<DriverReport, ProbeError> {
        let what = || "sensors in sysfs".to_owned();
        let after_ms = whole_millis(SENSORS_WITHIN);
        let Ok(turn) = Arc::clone(&self.sensors).try_acquire_owned() else {
            return Err(ProbeError::Timeout { what: what(), after_ms });
        };
        let sysfs = Arc::clone(&self.sysfs);
        let reader = tokio::task::spawn_blocking(move || {
            let report = sysfs.sensors();
            drop(turn);
            report
        });
        match timeout(SENSORS_WITHIN, reader).await {
            Ok(Ok(report)) => report,
            Ok(Err(ended)) => Err(ProbeError::Failed { what: what(), status: 0, said: ended.to_string() }),
            Err(_) => Err(ProbeError::Timeout { what: what(), after_ms }),
        }
    }
}

impl HostPort for LinuxHost {
    async fn scan_pci(&self) -> Result<PciScan, ScanError> {
        let sysfs = Arc::clone(&self.sysfs);
        let fault = |broken: tokio::task::JoinError| ScanError {
            path: "/sys/bus/pci/devices".into(),
            cause: OsCause::found(broken.to_string()),
        };
        tokio::task::spawn_blocking(move || sysfs.scan()).await.unwrap_or_else(|e| Err(fault(e)))
    }

    async fn read_host(&self, docker_root: Option<String>) -> HostFacts {
        let facts = self.facts.clone();
        tokio::task::spawn_blocking(move || facts.read(docker_root.as_deref())).await.unwrap_or_default()
    }

    async fn probe_driver(&self, source: DriverSource) -> Result<DriverReport, ProbeError> {
        match source {
            DriverSource::Sysfs => self.sensors().await,
            DriverSource::Nvml | DriverSource::Smi | DriverSource::SmiInDriverContainer => {
                self.remote.probe_driver(source).await
            }
        }
    }

    async fn read_docker(&self) -> Result<DockerFacts, ProbeError> {
        self.remote.call(&ReadDockerFacts {}).await
    }
}

/// Nothing of a change is done, nor looked at closely, in this process: a device that hangs would keep it.
impl ActPort for LinuxHost {
    async fn look(&self, target: &Target) -> Result<Look, ActError> {
        match target {
            Target::Functions(scope) => {
                self.remote.call(&InspectScope { scope: scope.clone() }).await.map(Look::Functions)
            }
            Target::Mig(target) => {
                self.remote.call(&InspectMig { target: target.clone() }).await.map(Box::new).map(Look::Mig)
            }
        }
    }

    async fn holders(&self, target: &Target) -> Result<Holders, ActError> {
        match target {
            Target::Functions(scope) => self.remote.call(&FindHolders { scope: scope.clone() }).await,
            Target::Mig(target) => self.mig.holders(&self.remote, target).await,
        }
    }

    async fn act(&self, target: &Target, step: &PlanStep) -> Result<(), ActError> {
        match (target, step) {
            (Target::Functions(scope), PlanStep::Functions(step)) => {
                self.remote.call(&ApplyStep { scope: scope.clone(), step: step.clone() }).await
            }
            (Target::Mig(target), PlanStep::Mig(MigStep::SetMode { to })) => {
                self.remote.call(&SetMigMode { target: target.clone(), to: *to }).await
            }
            (Target::Mig(target), PlanStep::Mig(step)) => {
                self.remote.call(&ApplyMigStep { target: target.clone(), step: step.clone() }).await
            }
            (Target::Functions(_), PlanStep::Mig(_)) | (Target::Mig(_), PlanStep::Functions(_)) => {
                let cause = OsCause::found("the step is of another kind than the target of its change");
                Err(ActError::Refused { attempted: step.to_string(), cause })
            }
        }
    }
}
