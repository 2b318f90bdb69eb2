//! Measured values of a GPU: they change all the time, so nothing announces them; ask for them.

use super::absent::Absent;
use crate::metric_values::MetricValues;
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, GpuProcess};
use model::metric::{Metric, Value, of_gpu};
use model::observation::Gpu;
use serde::{Deserialize, Serialize};

/// What `GetMetrics` answers and what is under `Metrics` in JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricsView {
    /// Metrics under their keys of the table in `docs/METRICS.md`.
    #[serde(flatten)]
    pub values: MetricValues,
    /// Processes that the driver names as users of the GPU.
    pub processes: Option<Vec<ProcessView>>,
    /// Memory of each MIG device.
    #[serde(default)]
    pub mig_devices: Vec<MigMetricsView>,
    /// Values that are missing, with the reason.
    pub absent: Absent,
}

impl MetricsView {
    /// The value of a metric.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<&Value> {
        self.values.get(metric.row().dbus.name()?)
    }

    /// The value of a metric that is any number.
    #[must_use]
    pub fn real(&self, metric: Metric) -> Option<f64> {
        match self.value(metric)? {
            Value::Real(number) => Some(*number),
            Value::Whole(number) => u32::try_from(*number).ok().map(f64::from),
            Value::Flag(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The value of a metric that is a whole number.
    #[must_use]
    pub fn whole(&self, metric: Metric) -> Option<u64> {
        match self.value(metric)? {
            Value::Whole(number) => Some(*number),
            Value::Real(_) | Value::Flag(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The active reasons why clocks are held down; none where that is not known.
    #[must_use]
    pub fn throttle(&self) -> &[String] {
        match self.value(Metric::Throttle) {
            Some(Value::List(reasons)) => reasons,
            Some(Value::Real(_) | Value::Whole(_) | Value::Flag(_) | Value::Text(_)) | None => &[],
        }
    }
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

/// What is measured of a MIG device; its place shows which one.
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
        let named = Metric::ALL.iter().filter_map(|metric| Some((metric, metric.row().dbus.name()?)));
        let values = named.map(|(metric, key)| (key, absent.value(key, of_gpu(*metric, gpu)))).collect();
        Self {
            values,
            processes: absent.value("Processes", processes),
            mig_devices: gpu.driver.iter().flat_map(|d| d.mig_devices.iter().map(MigMetricsView::from)).collect(),
            absent,
        }
    }
}
