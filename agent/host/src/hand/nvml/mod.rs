//! Asks libnvidia-ml.so.1 for everything that it says of its GPUs. It may hang or crash: it runs in a disposable process.

mod awake;
mod ffi;
mod gpu;
mod health;
mod load;
mod mig;
mod said;
mod words;

use gpu::Which;
use model::absence::Reading;
use model::driver::{DriverGpu, DriverReport, DriverSource, ProbeFault};
use nvml_wrapper::{Nvml, cuda_driver_version_major, cuda_driver_version_minor};
use said::reading;
use std::collections::BTreeSet;
use std::path::Path;

/// No host has more; a library that says so is not counted up to.
const GPUS_MAX: u32 = 256;

/// Loads the library from the first of these places that works, and asks it; GPUs that sleep are left out where others are
/// awake (`bus` is `/sys/bus/pci`). Blocking, without a deadline of its own.
///
/// # Errors
/// The library is nowhere, or cannot be loaded or initialised. One GPU that does not answer is no error.
pub(super) fn report(paths: &[String], bus: &Path) -> Result<DriverReport, ProbeFault> {
    let nvml = load::nvml(paths)?;
    let mut report = DriverReport {
        source: DriverSource::Nvml,
        driver_version: reading(nvml.sys_driver_version()),
        cuda_version: cuda_version(&nvml),
        gpus: Vec::new(),
        problems: Vec::new(),
    };
    let count = nvml.device_count().map_err(|error| said::fault("nvmlDeviceGetCount", &error))?;
    let wanted: Vec<Which> = match awake::only(bus) {
        Some(awake) => awake.into_iter().map(Which::At).collect(),
        None => (0..count.min(GPUS_MAX)).map(Which::Index).collect(),
    };
    for which in wanted {
        match gpu::read(&nvml, which, &mut report.problems) {
            Ok(gpu) => report.gpus.push(gpu),
            Err(why) => report.problems.push(why),
        }
    }
    report.problems.extend(duplicates(&report.gpus));
    Ok(report)
}

fn cuda_version(nvml: &Nvml) -> Reading<String> {
    let printed = |version| format!("{}.{}", cuda_driver_version_major(version), cuda_driver_version_minor(version));
    reading(nvml.sys_cuda_driver_version()).map(printed)
}

fn duplicates(gpus: &[DriverGpu]) -> Vec<String> {
    let (mut uuids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let mut problems = Vec::new();
    for gpu in gpus {
        if !addresses.insert(gpu.address) {
            problems.push(format!("NVML lists two GPUs at {}", gpu.address));
        }
        if let Some(uuid) = gpu.uuid.known()
            && !uuids.insert(uuid)
        {
            problems.push(format!("NVML gives the UUID {uuid} to two GPUs, the second at {}", gpu.address));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
