//! Writes what the drivers of other vendors show of their GPUs: values beside the function, and in its hwmon folder.

use crate::place::attribute;
use model::driver::DriverGpu;
use sim::bus::Function;
use std::path::Path;

const MIB: u64 = 1024 * 1024;

/// Writes the sensors of a GPU into its folder; a value that it does not have has no file.
///
/// # Errors
/// A file cannot be written; the text names it.
pub(crate) fn write(gpu: &DriverGpu, function: &Function, folder: &Path) -> anyhow::Result<()> {
    let file = |name: &str, value: Option<String>| match value {
        Some(value) => attribute(&folder.join(name), &value),
        None => Ok(()),
    };
    let whole = |value: Option<f64>| value.map(|value| format!("{value:.0}"));
    let times = |value: Option<f64>, factor: f64| whole(value.map(|value| value * factor));
    file("gpu_busy_percent", whole(gpu.metrics.utilization_pct.get()))?;
    file("mem_busy_percent", whole(gpu.metrics.memory_utilization_pct.get()))?;
    file("mem_info_vram_total", gpu.memory.total.get().map(|mib| (mib * MIB).to_string()))?;
    file("mem_info_vram_used", gpu.memory.used.get().map(|mib| (mib * MIB).to_string()))?;
    file("hwmon/hwmon3/temp1_input", times(gpu.metrics.temperature_c.get(), 1000.0))?;
    file("hwmon/hwmon3/power1_average", times(gpu.metrics.power_w.get(), 1_000_000.0))?;
    file("hwmon/hwmon3/power1_cap", times(gpu.metrics.power_limit_w.get(), 1_000_000.0))?;
    // In steps of a thousandth, so that a whole per cent comes back.
    file("hwmon/hwmon3/pwm1", times(gpu.metrics.fan_pct.get(), 10.0))?;
    file("hwmon/hwmon3/pwm1_max", gpu.metrics.fan_pct.get().map(|_| "1000".to_owned()))?;
    let clock = gpu.metrics.graphics_clock_mhz.get();
    match function.driver.as_ref().map(|driver| driver.as_str()) {
        Some("xe") => file("tile0/gt0/freq0/act_freq", whole(clock)),
        Some("i915") => {
            let card = function.drm_now().map_or(0, |numbers| numbers.card);
            file(&format!("drm/card{card}/gt_act_freq_mhz"), whole(clock))
        }
        Some(_) | None => file("hwmon/hwmon3/freq1_input", times(clock, 1_000_000.0)),
    }
}
