//! GPUs in the manager's words: a first, small form of `Inventory` and `GpuMetrics`.

use model::observation::HostObservation;
use serde::Serialize;
use serde_json::{Value, json};

/// `Inventory`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inventory {
    /// `Gpu`, by PCI address.
    pub gpus: Vec<Value>,
    /// NVIDIA CUDA GPUs as seen by the container runtime.
    pub cuda_gpu_count: Option<u32>,
}

/// `GpuMetrics`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuMetrics {
    /// PCI address.
    pub bdf: String,
    /// Metrics of MIG devices.
    pub mig: Vec<Value>,
}

/// The inventory of an observation.
#[must_use]
pub fn inventory(seen: &HostObservation) -> Inventory {
    let gpu = |gpu: &model::observation::Gpu| {
        json!({"bdf": gpu.pci.address.to_string(), "pci_id": gpu.pci.id.to_string(), "vendor": "other",
               "schedulable": gpu.schedulable, "features": {}})
    };
    let gpus = seen.gpus.iter().map(gpu).collect();
    Inventory { gpus, cuda_gpu_count: u32::try_from(seen.cuda_gpu_count()).ok() }
}

/// The metrics of all GPUs of an observation.
#[must_use]
pub fn gpu_metrics(seen: &HostObservation) -> Vec<GpuMetrics> {
    seen.gpus.iter().map(|gpu| GpuMetrics { bdf: gpu.pci.address.to_string(), mig: Vec::new() }).collect()
}

/// A revision that changes with the inventory and with nothing else.
#[must_use]
pub fn inventory_rev(inventory: &Inventory) -> String {
    let text = serde_json::to_string(inventory).unwrap_or_default();
    format!("{:016x}", model::checkin::slot::stable_hash(&text))
}
