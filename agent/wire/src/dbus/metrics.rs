//! Measured values of a GPU: they change all the time, so nothing announces them; ask for them.

use super::absent::Absent;
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, GpuProcess};
use model::observation::Gpu;
use serde::{Deserialize, Serialize};

/// What `GetMetrics` answers and what stands under `Metrics` in JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricsView {
    /// GPU temperature in °C.
    pub temperature_celsius: Option<f64>,
    /// GPU utilization in per cent.
    pub utilization_percent: Option<f64>,
    /// Memory controller utilization in per cent.
    pub memory_utilization_percent: Option<f64>,
    /// Encoder utilization in per cent.
    pub encoder_percent: Option<f64>,
    /// Decoder utilization in per cent.
    pub decoder_percent: Option<f64>,
    /// Power drawn in watts.
    pub power_watts: Option<f64>,
    /// Power limit in force in watts.
    pub power_limit_watts: Option<f64>,
    /// Fan speed in per cent.
    pub fan_percent: Option<f64>,
    /// Clock of the graphics engine in MHz.
    pub graphics_clock_mhz: Option<f64>,
    /// Frame buffer memory in use, in MiB.
    pub memory_used_mib: Option<u64>,
    /// Frame buffer memory free, in MiB.
    pub memory_free_mib: Option<u64>,
    /// Performance state, `P0`.
    pub performance_state: Option<String>,
    /// Uncorrected ECC errors since the driver was loaded.
    pub ecc_uncorrected: Option<u64>,
    /// Active reasons why clocks are held down.
    pub throttle: Option<Vec<String>>,
    /// PCIe generation of the link now (an idle GPU lowers it).
    pub pcie_generation: Option<u32>,
    /// PCIe lanes of the link now.
    pub pcie_width: Option<u32>,
    /// Processes that the driver names as users of the GPU.
    pub processes: Option<Vec<ProcessView>>,
    /// Memory of each MIG device.
    #[serde(default)]
    pub mig_devices: Vec<MigMetricsView>,
    /// Values that are missing, with the reason.
    pub absent: Absent,
}

/// One process on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessView {
    /// Process id in the driver's PID namespace.
    pub pid: u32,
    /// `C` (compute), `G` (graphics), …
    pub kind: Option<String>,
    /// Command name as the driver has it.
    pub name: Option<String>,
    /// GPU memory in MiB.
    pub memory_mib: Option<u64>,
}

/// What is measured of a MIG device; its place tells which one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MigMetricsView {
    /// GPU instance id.
    pub gpu_instance: u32,
    /// Compute instance id.
    pub compute_instance: u32,
    /// Memory in use, in MiB.
    pub memory_used_mib: Option<u64>,
}

impl From<&DriverMig> for MigMetricsView {
    fn from(mig: &DriverMig) -> Self {
        Self {
            gpu_instance: mig.gpu_instance,
            compute_instance: mig.compute_instance,
            memory_used_mib: mig.memory.used.get(),
        }
    }
}

impl From<&GpuProcess> for ProcessView {
    fn from(process: &GpuProcess) -> Self {
        Self {
            pid: process.pid,
            kind: process.kind.known().cloned(),
            name: process.name.known().cloned(),
            memory_mib: process.memory_mib.get(),
        }
    }
}

/// A fact of the driver; where no driver answered for this GPU, that is the reason.
pub(super) fn from_driver<T: Clone>(gpu: &Gpu, pick: impl FnOnce(&DriverGpu) -> &Reading<T>) -> Reading<T> {
    gpu.driver
        .as_ref()
        .map_or_else(|| Reading::Absent(gpu.driver_absence.clone().unwrap_or(Absence::NotProbed)), |d| pick(d).clone())
}

impl From<&Gpu> for MetricsView {
    fn from(gpu: &Gpu) -> Self {
        let mut absent = Absent::default();
        let processes = from_driver(gpu, |d| &d.processes).map(|list| list.iter().map(ProcessView::from).collect());
        let generation = gpu.pci.link.generation.clone().or(from_driver(gpu, |d| &d.pcie_generation));
        let width = gpu.pci.link.width.clone().or(from_driver(gpu, |d| &d.pcie_width));
        Self {
            temperature_celsius: absent.value("TemperatureCelsius", from_driver(gpu, |d| &d.temperature_c)),
            utilization_percent: absent.value("UtilizationPercent", from_driver(gpu, |d| &d.utilization_pct)),
            memory_utilization_percent: absent
                .value("MemoryUtilizationPercent", from_driver(gpu, |d| &d.memory_utilization_pct)),
            encoder_percent: absent.value("EncoderPercent", from_driver(gpu, |d| &d.encoder_pct)),
            decoder_percent: absent.value("DecoderPercent", from_driver(gpu, |d| &d.decoder_pct)),
            power_watts: absent.value("PowerWatts", from_driver(gpu, |d| &d.power_w)),
            power_limit_watts: absent.value("PowerLimitWatts", from_driver(gpu, |d| &d.power_limit_w)),
            fan_percent: absent.value("FanPercent", from_driver(gpu, |d| &d.fan_pct)),
            graphics_clock_mhz: absent.value("GraphicsClockMhz", from_driver(gpu, |d| &d.graphics_clock_mhz)),
            memory_used_mib: absent.value("MemoryUsedMib", from_driver(gpu, |d| &d.memory.used)),
            memory_free_mib: absent.value("MemoryFreeMib", from_driver(gpu, |d| &d.memory.free)),
            performance_state: absent.value("PerformanceState", from_driver(gpu, |d| &d.performance_state)),
            ecc_uncorrected: absent.value("EccUncorrected", from_driver(gpu, |d| &d.ecc_uncorrected)),
            throttle: absent.value("Throttle", from_driver(gpu, |d| &d.throttle)),
            pcie_generation: absent.value("PcieGeneration", generation),
            pcie_width: absent.value("PcieWidth", width),
            processes: absent.value("Processes", processes),
            mig_devices: gpu.driver.iter().flat_map(|d| d.mig_devices.iter().map(MigMetricsView::from)).collect(),
            absent,
        }
    }
}
