//! The Linux host as the engine's port: the front reads sysfs and procfs itself, and asks the hands for the rest.

use hands::RemoteHost;
use host::front::{FactsRoot, Sysfs};
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::host_facts::HostFacts;
use model::pci::PciScan;
use model::ports::{HostPort, ScanFault};
use std::sync::Arc;

/// The host under us.
pub(crate) struct LinuxHost {
    sysfs: Arc<Sysfs>,
    facts: FactsRoot,
    remote: RemoteHost,
}

impl LinuxHost {
    /// Ties the readers and the clients of the hands together.
    #[must_use]
    pub(crate) fn new(sysfs: Sysfs, facts: FactsRoot, remote: RemoteHost) -> Self {
        Self { sysfs: Arc::new(sysfs), facts, remote }
    }
}

impl HostPort for LinuxHost {
    async fn scan_pci(&self) -> Result<PciScan, ScanFault> {
        let sysfs = Arc::clone(&self.sysfs);
        let fault = |e: tokio::task::JoinError| ScanFault { path: "/sys/bus/pci/devices".into(), said: e.to_string() };
        tokio::task::spawn_blocking(move || sysfs.scan()).await.unwrap_or_else(|e| Err(fault(e)))
    }

    async fn read_host(&self, docker_root: Option<String>) -> HostFacts {
        let facts = self.facts.clone();
        tokio::task::spawn_blocking(move || facts.read(docker_root.as_deref())).await.unwrap_or_default()
    }

    async fn probe_driver(&self, source: DriverSource) -> Result<DriverReport, ProbeFault> {
        self.remote.probe_driver(source).await
    }

    async fn read_docker(&self) -> Result<DockerFacts, ProbeFault> {
        self.remote.docker_facts().await
    }
}
