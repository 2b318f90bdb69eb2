//! A GPU that sleeps is not asked, since that would wake it: what is known of it already stays, its measured values do not.

use super::serves;
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, MemoryMib};
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

/// The facts without anything that is measured. Each field is named, so that a new one has to be sorted here.
pub(super) fn without_measures(mut known: DriverGpu) -> DriverGpu {
    let DriverGpu {
        // What the GPU is and how it is set stays true while it sleeps.
        address: _,
        pci_id: _,
        subsystem: _,
        uuid: _,
        index: _,
        minor: _,
        serial: _,
        name: _,
        brand: _,
        architecture: _,
        compute_capability: _,
        vbios: _,
        persistence: _,
        virtualization: _,
        host_vgpu_mode: _,
        mig_current: _,
        mig_pending: _,
        mig_unplaced: _,
        ecc_enabled: _,
        health_facts: _,
        // What is measured does not.
        mig_devices,
        memory,
        metrics,
        processes,
    } = &mut known;
    mig_devices.iter_mut().for_each(|mig| forget_use(&mut mig.memory));
    forget_use(memory);
    metrics.forget_measured();
    forget(processes);
    known
}

fn forget<T>(measured: &mut Reading<T>) {
    *measured = Reading::Absent(Absence::GpuAsleep);
}

fn forget_use(MemoryMib { total: _, reserved: _, used, free }: &mut MemoryMib) {
    [used, free].into_iter().for_each(forget);
}
