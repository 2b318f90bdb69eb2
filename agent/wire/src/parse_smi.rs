//! What an `nvidia-smi -q -x` document states, in the words of the manager API and from the document alone.

use crate::manager::gpu::{GpuDocument, GpuMetrics, driver_document, driver_metrics};
use model::driver::DriverReport;
use serde::{Deserialize, Serialize};

/// All GPUs of one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParsedSmi {
    /// Version of the driver.
    pub driver_version: Option<String>,
    /// GPUs in the order of the document.
    pub gpus: Vec<ParsedGpu>,
}

/// One GPU: what it is, and what it is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParsedGpu {
    /// What it is.
    pub inventory: GpuDocument,
    /// What it is doing.
    pub metrics: GpuMetrics,
}

/// The report as `gpuhostctl debug parse-smi` prints it.
///
/// How the names are meant: `power_w` is the instant draw where the driver gives one, else the only draw, else the average
/// one; `power_limit_w` is the limit in force (`current_power_limit`, `enforced_power_limit`), else the one that was set;
/// `ecc_uncorr` adds up the volatile uncorrected errors of SRAM and DRAM (before 440, the double-bit total); the memory is
/// the card's, never a slice's; `virt_mode` keeps the driver's words; `reason` is the gravest reason among the `null`s.
#[must_use]
pub fn document(report: &DriverReport) -> ParsedSmi {
    let version = report.driver_version.known().cloned();
    let gpus = report
        .gpus
        .iter()
        .map(|gpu| ParsedGpu { inventory: driver_document(gpu, version.as_deref()), metrics: driver_metrics(gpu) });
    ParsedSmi { gpus: gpus.collect(), driver_version: version }
}
