//! A host that answers what the test says, and a clock that the test moves.

#![allow(dead_code, reason = "each file of tests uses its part")]

use model::docker::DockerFacts;
use model::driver::{DriverGpu, DriverReport, DriverSource, ProbeError};
use model::enrol::{EnrolSpec, Farewell};
use model::holders::Holders;
use model::host_facts::HostFacts;
use model::metric::Metrics;
use model::os_cause::OsCause;
use model::pci::{GpuFunction, PciScan};
use model::plan::{Look, PlanStep, Target};
use model::ports::{
    ActError, ActPort, ChangePort, Clock, HostChange, HostPort, JournalDocument, JournalError, JournalPort,
    ManagerPort, ScanError,
};
use model::refusal::Refusal;
use model::time::{BootMillis, UnixMillis};
use model::{Absence, PciClass, PciId, Reading};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// How long a test waits for what must come: it says that something is wrong, never how fast it is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands still until the test moves it.
pub(crate) struct ManualClock {
    now: watch::Sender<u64>,
    asked: AtomicU32,
}

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now: watch::channel(1_000_000).0, asked: AtomicU32::new(0) })
    }

    /// How often anybody has asked for the time on the wall.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.now.send_modify(|now| *now += millis);
    }
}

impl Clock for ManualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(*self.now.borrow())
    }

    fn wall_now(&self) -> UnixMillis {
        self.asked.fetch_add(1, Ordering::SeqCst);
        UnixMillis(1_700_000_000_000)
    }

    async fn sleep_until(&self, when: BootMillis) {
        let mut now = self.now.subscribe();
        let _ended = now.wait_for(|now| *now >= when.0).await;
    }
}

/// A host whose PCI list the test sets; it counts how often each thing was asked.
pub(crate) struct TestHost {
    pub(crate) gpus: Mutex<Vec<GpuFunction>>,
    pub(crate) scans: AtomicU32,
    pub(crate) probes: AtomicU32,
    pub(crate) docker_reads: AtomicU32,
    pub(crate) host_reads: AtomicU32,
    /// While set, a scan does not end until it is notified.
    pub(crate) scan_hangs: Mutex<Option<Arc<Notify>>>,
    /// While set, the driver does not answer until it is notified.
    pub(crate) driver_hangs: Mutex<Option<Arc<Notify>>>,
    pub(crate) scan_panics: AtomicU32,
}

impl TestHost {
    pub(crate) fn with(gpus: Vec<GpuFunction>) -> Arc<Self> {
        Arc::new(Self {
            gpus: Mutex::new(gpus),
            scans: AtomicU32::new(0),
            probes: AtomicU32::new(0),
            docker_reads: AtomicU32::new(0),
            host_reads: AtomicU32::new(0),
            scan_hangs: Mutex::new(None),
            driver_hangs: Mutex::new(None),
            scan_panics: AtomicU32::new(0),
        })
    }
}

pub(crate) fn gpu(address: &str, driver: Option<&str>) -> GpuFunction {
    let driver = driver.map_or(Reading::Absent(Absence::None), |name| Reading::Known(name.parse().unwrap()));
    GpuFunction {
        driver,
        driver_override: Reading::Absent(Absence::None),
        iommu_group: Reading::Absent(Absence::None),
        numa_node: Reading::Absent(Absence::None),
        ..GpuFunction::unknown(address.parse().unwrap(), PciId { vendor: 0x10de, device: 0x20b0 }, PciClass(0x03_02_00))
    }
}

impl HostPort for TestHost {
    async fn scan_pci(&self) -> Result<PciScan, ScanError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        if self.scan_panics.swap(0, Ordering::SeqCst) > 0 {
            panic!("a bug in the scanner");
        }
        let hang = self.scan_hangs.lock().unwrap().clone();
        if let Some(hang) = hang {
            hang.notified().await;
        }
        Ok(PciScan { gpus: self.gpus.lock().unwrap().clone(), ..PciScan::default() })
    }

    async fn read_host(&self, _docker_root: Option<String>) -> HostFacts {
        self.host_reads.fetch_add(1, Ordering::SeqCst);
        HostFacts { hostname: Reading::Known("h".into()), ..HostFacts::default() }
    }

    async fn probe_driver(&self, source: DriverSource) -> Result<DriverReport, ProbeError> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        let hang = self.driver_hangs.lock().unwrap().clone();
        if let Some(hang) = hang {
            hang.notified().await;
        }
        if source != DriverSource::Nvml {
            return Err(ProbeError::Absent { what: "nvidia-smi".into(), said: "no such file".into() });
        }
        let says = |gpu: &GpuFunction| DriverGpu {
            metrics: Metrics { temperature_c: Reading::Known(33.0), ..Metrics::default() },
            ..DriverGpu::unknown(gpu.address)
        };
        let gpus = self.gpus.lock().unwrap().iter().map(says).collect();
        Ok(DriverReport { driver_version: Reading::Known("580.1".into()), gpus, ..DriverReport::unknown(source) })
    }

    async fn read_docker(&self) -> Result<DockerFacts, ProbeError> {
        self.docker_reads.fetch_add(1, Ordering::SeqCst);
        Ok(DockerFacts { version: Some("28.2.2".into()), ..DockerFacts::default() })
    }
}

/// Changes that the test announces.
pub(crate) struct TestChanges(pub(crate) mpsc::UnboundedReceiver<()>);

impl ChangePort for TestChanges {
    async fn next_change(&mut self) -> HostChange {
        match self.0.recv().await {
            Some(()) => HostChange::Devices,
            None => std::future::pending().await,
        }
    }
}

/// A manager that refuses every enrolment.
pub(crate) struct NoManager;

impl ManagerPort for NoManager {
    async fn acknowledge_gone(&self, _: model::PciAddress) -> Result<(), Refusal> {
        Ok(())
    }

    async fn accept_epoch(&self, _: model::desired::Epoch) -> Result<(), Refusal> {
        Ok(())
    }

    async fn edit_enrolment(&self, _: model::enrol::EnrolmentEdit) -> Result<(), Refusal> {
        Ok(())
    }

    async fn lock(&self, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    async fn configure(&self, _: Vec<model::settings::HostSetting>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn enrol(&self, _spec: EnrolSpec) -> Result<(), Refusal> {
        Err(Refusal::Unavailable { what: "manager".into(), why: "there is none".into() })
    }

    async fn leave(&self) -> Result<Farewell, Refusal> {
        Ok(Farewell::NotEnrolled)
    }
}

/// A host that is only observed, with an empty journal.
pub(crate) struct NoChanges;

impl ActPort for NoChanges {
    async fn look(&self, _: &Target) -> Result<Look, ActError> {
        Err(only_observed())
    }

    async fn holders(&self, _: &Target) -> Result<Holders, ActError> {
        Err(only_observed())
    }

    async fn act(&self, _: &Target, _: &PlanStep) -> Result<(), ActError> {
        Err(only_observed())
    }
}

impl JournalPort for NoChanges {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalError> {
        Ok(Vec::new())
    }

    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), JournalError> {
        Err(JournalError {
            attempted: "write".into(),
            path: "/journal".into(),
            cause: OsCause::found("this host is only observed"),
        })
    }

    async fn remove(&self, _: &str) -> Result<(), JournalError> {
        Ok(())
    }
}

fn only_observed() -> ActError {
    ActError::Unreachable { what: "the host".into(), cause: OsCause::found("it is only observed") }
}
