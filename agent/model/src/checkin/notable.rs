//! Which changes of the host are worth an early heartbeat.

use crate::driver::MigMode;
use crate::health::HealthState;
use crate::ids::{DriverName, PciAddress};
use crate::observation::{GpuUse, HostObservation};

#[derive(Debug, Clone, PartialEq, Eq)]
struct NotableGpu {
    address: PciAddress,
    driver: Option<DriverName>,
    usage: GpuUse,
    schedulable: bool,
    visible: bool,
    health: (HealthState, Vec<String>),
    mig: (Option<MigMode>, Option<MigMode>),
    instances: Vec<(u32, u32)>,
}

/// What of an observation a manager should not have to wait for: GPU health, MIG layout, bound driver, Docker up or down.
/// Two observations that are equal in this differ in figures only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notable {
    gpus: Vec<NotableGpu>,
    docker: bool,
    driver: Option<String>,
}

impl Notable {
    /// What is notable in an observation; `None` while nothing has been observed.
    #[must_use]
    pub fn of(seen: &HostObservation) -> Option<Self> {
        let gpus = seen.gpus.iter().map(|gpu| {
            let driver = gpu.driver.as_ref();
            NotableGpu {
                address: gpu.pci.address,
                driver: gpu.pci.driver.known().cloned(),
                usage: gpu.usage,
                schedulable: gpu.schedulable,
                visible: gpu.visible_to_runtime,
                health: gpu.health.gist(),
                mig: driver.map_or((None, None), |d| (d.mig_current.get(), d.mig_pending.get())),
                instances: driver
                    .map(|d| d.mig_devices.iter().map(|m| (m.gpu_instance, m.compute_instance)).collect())
                    .unwrap_or_default(),
            }
        });
        (seen.sequence > 0).then(|| Self {
            gpus: gpus.collect(),
            docker: seen.docker.is_ok(),
            driver: seen.driver_version.clone(),
        })
    }
}
