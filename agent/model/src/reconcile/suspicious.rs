//! Capacities that a host is to report and can hardly have.

use super::world::World;
use crate::pci::VENDOR_NVIDIA;

/// More than so many times the physical one is taken for a mistake. It is reported all the same: it may be meant.
const MOST_TIMES: u64 = 16;

/// What is set far above the physical capacity, in words; `None` where nothing is.
#[must_use]
pub fn suspicious(world: &World<'_>) -> Option<String> {
    let set = &world.settings.desired;
    let host = &world.host.host;
    let cores = host.cores.known().map(|cores| u64::from(*cores).saturating_mul(1000));
    let gpus = world.host.gpus.iter().filter(|gpu| gpu.pci.id.vendor == VENDOR_NVIDIA).count();
    let rows = [
        ("cores (in thousandths)", set.millicores, cores),
        ("memory (bytes)", set.memory_bytes, host.mem_total_bytes.known().copied()),
        ("CUDA GPUs", set.cuda_gpus.map(u64::from), u64::try_from(gpus).ok()),
    ];
    let beyond: Vec<String> = rows
        .into_iter()
        .filter_map(|(what, set, physical)| {
            let (set, physical) = (set?, physical?);
            (set > physical.saturating_mul(MOST_TIMES))
                .then(|| format!("{what}: {set} is reported, {physical} is physical"))
        })
        .collect();
    (!beyond.is_empty()).then(|| {
        format!(
            "the desired state overrides capacities with more than {MOST_TIMES} times what this host has ({}): check \
             agent.overrides at the manager or in /etc/gpuhostd/desired.d",
            beyond.join("; ")
        )
    })
}
