//! Hosts of any size, for benchmarks: so many GPUs among so many functions.

use crate::bad_description::BadDescription;
use crate::description::Description;
use crate::load::load;
use model::PciAddress;

/// A host with so many A100s (of the built-in `dgx-a100`), each alone in an IOMMU group of its own, among so many
/// functions in all.
///
/// # Errors
/// The built-in description is broken.
pub fn synthetic(gpus: u32, functions: u32) -> Result<Description, BadDescription> {
    let mut host = load("dgx-a100")?;
    let Some(pattern) = host.gpus.iter().find(|gpu| gpu.mig.is_none()).cloned() else { return Ok(host) };
    host.name = format!("synthetic-{gpus}-of-{functions}");
    host.summary = format!("{gpus} A100 among {functions} functions.");
    host.functions.clear();
    host.functions_total = Some(functions);
    host.gpus = (0..gpus)
        .filter_map(|number| {
            let mut gpu = pattern.clone();
            // Two to a bus, on the even buses from 2 on; a second domain where the first is full.
            let bus = u8::try_from(number / 2 % 120).ok()?.checked_mul(2)?.checked_add(2)?;
            let device = u8::try_from(number % 2).ok()?;
            gpu.address = PciAddress { domain: number / 240, bus, device, function: 0 };
            gpu.group = Some(number);
            gpu.drm = None;
            gpu.minor = Some(number);
            (gpu.parent, gpu.uuid) = (None, None);
            Some(gpu)
        })
        .collect();
    Ok(host)
}
