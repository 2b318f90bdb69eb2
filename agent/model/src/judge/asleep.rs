//! A GPU that sleeps is not asked, since that would wake it: what is known of it already stays, its measured values do not.

use super::serves;
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, DriverMig, MemoryMib};
use crate::observation::{Gpu, HostObservation};
use crate::pci::{GpuFunction, PciScan};

/// Whether NVIDIA's driver may be asked now: some GPU that it serves is awake, or sleeps and was never seen awake, so that
/// not even its UUID is known. That one time it is woken.
#[must_use]
pub fn may_ask(scan: &PciScan, known: &HostObservation) -> bool {
    let is_known =
        |gpu: &GpuFunction| known.gpu(gpu.address).is_some_and(|seen| is_same(seen, gpu) && seen.driver.is_some());
    scan.gpus.iter().filter(|gpu| serves(gpu)).any(|gpu| !gpu.is_asleep() || !is_known(gpu))
}

/// Whether a GPU that NVIDIA's driver serves may sleep when nobody uses it.
#[must_use]
pub fn may_fall_asleep(scan: &PciScan) -> bool {
    scan.gpus.iter().any(|gpu| serves(gpu) && gpu.state.may_sleep.get() == Some(true))
}

fn is_same(seen: &Gpu, gpu: &GpuFunction) -> bool {
    seen.pci.id == gpu.id && seen.pci.driver == gpu.driver
}

/// What was known of a sleeping GPU when it was awake; `None` where it is awake, or nothing was known.
pub(super) fn remembered<'a>(gpu: &GpuFunction, previous: Option<&'a HostObservation>) -> Option<&'a Gpu> {
    let seen = previous.filter(|_| gpu.is_asleep())?.gpu(gpu.address)?;
    (is_same(seen, gpu) && seen.driver.is_some()).then_some(seen)
}

fn asleep<T>() -> Reading<T> {
    Reading::Absent(Absence::GpuAsleep)
}

/// The facts without anything that is measured.
pub(super) fn without_measures(known: DriverGpu) -> DriverGpu {
    DriverGpu {
        mig_devices: known.mig_devices.into_iter().map(mig_without_measures).collect(),
        memory: memory_without_measures(known.memory),
        temperature_c: asleep(),
        utilization_pct: asleep(),
        memory_utilization_pct: asleep(),
        encoder_pct: asleep(),
        decoder_pct: asleep(),
        power_w: asleep(),
        fan_pct: asleep(),
        graphics_clock_mhz: asleep(),
        performance_state: asleep(),
        ecc_uncorrected: asleep(),
        throttle: asleep(),
        pcie_generation: asleep(),
        pcie_width: asleep(),
        processes: asleep(),
        ..known
    }
}

fn mig_without_measures(known: DriverMig) -> DriverMig {
    DriverMig { memory: memory_without_measures(known.memory), ..known }
}

fn memory_without_measures(known: MemoryMib) -> MemoryMib {
    MemoryMib { total: known.total, reserved: known.reserved, used: asleep(), free: asleep() }
}
