//! What the simulated drivers of other vendors show of their GPUs in sysfs and hwmon.

use crate::bus::Bus;
use crate::description::{Description, GpuDescription, SensorsDescription};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverReport, DriverSource, MemoryMib};
use model::judge::SENSING_DRIVERS;
use model::metric::Metrics;
use model::pci::RuntimeStatus;

/// What a scan of the sensors finds.
#[must_use]
pub fn report(description: &Description, bus: &Bus) -> DriverReport {
    let mut gpus: Vec<DriverGpu> = description.gpus.iter().filter_map(|gpu| read(description, bus, gpu)).collect();
    gpus.sort_by_key(|gpu| gpu.address);
    let (driver_version, cuda_version) = (Reading::default(), Reading::default());
    DriverReport { driver_version, cuda_version, gpus, ..DriverReport::unknown(DriverSource::Sysfs) }
}

fn read(description: &Description, bus: &Bus, gpu: &GpuDescription) -> Option<DriverGpu> {
    let function = bus.functions.get(&gpu.address)?;
    function.driver.as_ref().filter(|driver| SENSING_DRIVERS.contains(&driver.as_str()))?;
    let sensors = description.models.get(&gpu.model)?.sensors.clone().unwrap_or_default();
    if matches!(gpu.state.runtime, RuntimeStatus::Suspended | RuntimeStatus::Suspending) {
        return Some(sensor_report(gpu, &sensors, |_| Reading::Absent(Absence::GpuAsleep)));
    }
    Some(sensor_report(gpu, &sensors, |value| value.map_or(Reading::Absent(Absence::NotSupported), Reading::Known)))
}

fn sensor_report(gpu: &GpuDescription, has: &SensorsDescription, tell: fn(Option<f64>) -> Reading<f64>) -> DriverGpu {
    let load = &gpu.load;
    let number = |there: bool, value: u32| tell(there.then(|| f64::from(value)));
    DriverGpu {
        memory: memory(gpu, has, tell),
        metrics: Metrics {
            temperature_c: number(has.temperature, load.temperature_c),
            utilization_pct: number(has.busy, load.utilization_pct),
            memory_utilization_pct: number(has.busy, load.memory_utilization_pct),
            power_w: tell(has.power.then_some(load.power_w)),
            power_limit_w: tell(has.power_limit_w.map(f64::from)),
            fan_pct: number(has.fan, load.fan_pct),
            graphics_clock_mhz: tell(has.clock_mhz.map(f64::from)),
            ..Metrics::default()
        },
        ..DriverGpu::unknown(gpu.address)
    }
}

fn memory(gpu: &GpuDescription, has: &SensorsDescription, tell: fn(Option<f64>) -> Reading<f64>) -> MemoryMib {
    let part = |value: Option<u64>| match tell(value.map(|_| 0.0)) {
        Reading::Known(_) => value.into(),
        Reading::Absent(why) => Reading::Absent(why),
    };
    let used = has.vram_mib.map(|total| gpu.load.used_mib.min(total));
    MemoryMib {
        total: part(has.vram_mib),
        reserved: part(None),
        used: part(used),
        free: part(has.vram_mib.zip(used).map(|(total, used)| total.saturating_sub(used))),
    }
}
