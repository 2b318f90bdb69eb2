//! Measured values of GPUs on other drivers than NVIDIA's, as these drivers show them in sysfs and hwmon.
//!
//! A GPU that sleeps is not read: its driver would wake it to answer.

use super::Sysfs;
use super::attribute::{Miss, Tree, reading};
use super::listing::names_in;
use super::parse;
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverReport, DriverSource, MemoryMib, ProbeError};
use model::health::facts::HealthFacts;
use model::ids::PciAddress;
use model::judge::SENSING_DRIVERS;
use model::metric::Metrics;
use model::pci::RuntimeStatus;

const MIB: u64 = 1024 * 1024;

/// More than amdgpu lets a card have of bad pages.
const BAD_PAGES_MAX_BYTES: usize = 1024 * 1024;

/// More GPUs on one driver than any host has.
const GPUS_MAX: usize = 256;

impl Sysfs {
    /// Reads the sensors of all GPUs on amdgpu, i915, nouveau, radeon and xe. Blocking: a driver may take a moment to ask its
    /// firmware.
    ///
    /// # Errors
    /// `bus/pci/devices` cannot be opened; one bad value costs itself.
    pub fn sensors(&self) -> Result<DriverReport, ProbeError> {
        let path = self.root.join("bus/pci/devices");
        let absent = |said: String| ProbeError::Absent { what: path.display().to_string(), said };
        let mut tree = Tree::open(&path).map_err(|errno| absent(errno.to_string()))?;
        let mut gpus = Vec::new();
        for driver in SENSING_DRIVERS {
            for address in self.bound_to(driver) {
                gpus.push(Sensors { tree: &mut tree, name: address.to_string(), driver }.read(address));
            }
        }
        gpus.sort_unstable_by_key(|gpu| gpu.address);
        let (driver_version, cuda_version) = (Reading::default(), Reading::default());
        Ok(DriverReport { driver_version, cuda_version, gpus, ..DriverReport::unknown(DriverSource::Sysfs) })
    }

    /// The functions that are bound to a driver: links in its folder, named for their addresses.
    fn bound_to(&self, driver: &str) -> Vec<PciAddress> {
        let listed = std::fs::read_dir(self.root.join("bus/pci/drivers").join(driver));
        let names = listed.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).take(GPUS_MAX).collect()
    }
}

/// One GPU and the driver that serves it.
struct Sensors<'a> {
    tree: &'a mut Tree,
    name: String,
    driver: &'static str,
}

impl Sensors<'_> {
    fn read(mut self, address: PciAddress) -> DriverGpu {
        let runtime = self.tree.parsed(&self.name, "power/runtime_status", RuntimeStatus::from_name);
        if matches!(runtime, Ok(RuntimeStatus::Suspended | RuntimeStatus::Suspending)) {
            return self.asleep(address);
        }
        let hwmon = first(names_in(self.tree, &self.name, "hwmon")).map(|folder| format!("hwmon/{folder}"));
        let hwmon = hwmon.as_deref();
        DriverGpu {
            memory: self.memory(),
            metrics: self.metrics(hwmon),
            health_facts: self.health(),
            ..DriverGpu::unknown(address)
        }
    }

    fn metrics(&mut self, hwmon: Option<&str>) -> Metrics {
        Metrics {
            temperature_c: self.first_of(hwmon, &["temp1_input", "temp2_input"], parse::thousandths),
            utilization_pct: self.number("gpu_busy_percent", parse::per_cent),
            memory_utilization_pct: self.number("mem_busy_percent", parse::per_cent),
            power_w: self.first_of(hwmon, &["power1_average", "power1_input"], parse::millionths),
            power_limit_w: self.first_of(hwmon, &["power1_cap", "power1_max"], parse::millionths),
            fan_pct: self.fan(hwmon),
            graphics_clock_mhz: self.clock(hwmon),
            ..Metrics::default()
        }
    }

    /// Pages that amdgpu has taken out of use, one a line: `0x00000001 : 0x00001000 : R`. `R` is retired, `P` will be at the next
    /// load of the driver, `F` could not be yet because somebody uses it.
    fn health(&self) -> HealthFacts {
        let mut facts = HealthFacts::default();
        if self.driver != "amdgpu" {
            return facts;
        }
        let path = self.tree.path().join(&self.name).join("ras/gpu_vram_bad_pages");
        let Ok(text) = crate::front::read_bounded(&path, BAD_PAGES_MAX_BYTES) else { return facts };
        let text = String::from_utf8_lossy(&text);
        let count = |flags: &[&str]| {
            text.lines().filter(|line| flags.iter().any(|flag| line.trim_end().ends_with(flag))).count()
        };
        facts.pages_retired_double_bit = Reading::Known(u32::try_from(count(&[": R"])).unwrap_or(u32::MAX));
        facts.retirement_pending = Reading::Known(count(&[": P", ": F"]) > 0);
        facts
    }

    fn asleep(&self, address: PciAddress) -> DriverGpu {
        let mut metrics = Metrics::default();
        metrics.each(|metric, slot| {
            if metric.row().sysfs.name().is_some() {
                slot.forget(&Absence::GpuAsleep);
            }
        });
        DriverGpu { memory: MemoryMib::absent(&Absence::GpuAsleep), metrics, ..DriverGpu::unknown(address) }
    }

    fn number<T>(&mut self, attribute: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
        absent_if_unsupported(self.tree.parsed(&self.name, attribute, parse))
    }

    fn hwmon<T>(&mut self, hwmon: Option<&str>, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
        let Some(folder) = hwmon else { return Reading::Absent(Absence::NotSupported) };
        self.number(&format!("{folder}/{file}"), parse)
    }

    /// The first of these files that has a value: drivers differ in average and instant power, and newer chips have no sensor
    /// at the edge of the die (`temp1`) but one in its middle (`temp2`).
    fn first_of(&mut self, hwmon: Option<&str>, files: &[&str], parse: fn(&str) -> Option<f64>) -> Reading<f64> {
        let mut found = Reading::Absent(Absence::NotSupported);
        for file in files {
            let next = self.hwmon(hwmon, file, parse);
            if next.known().is_some() || found.absence() == Some(&Absence::NotSupported) {
                found = next;
            }
            if found.known().is_some() {
                break;
            }
        }
        found
    }

    /// The clock of the graphics engine now, where each driver has it.
    fn clock(&mut self, hwmon: Option<&str>) -> Reading<f64> {
        match self.driver {
            "xe" => self.number("tile0/gt0/freq0/act_freq", parse::positive_or_zero),
            "i915" => {
                let is_card = |node: &String| parse::node_number(node, "card").is_some();
                let card = first(names_in(self.tree, &self.name, "drm").filter(is_card));
                let Some(card) = card else { return Reading::Absent(Absence::NotSupported) };
                self.number(&format!("drm/{card}/gt_act_freq_mhz"), parse::positive_or_zero)
            }
            _ => self.hwmon(hwmon, "freq1_input", parse::millionths),
        }
    }

    /// Memory of a card of its own: amdgpu reports its size and what is in use of it.
    fn memory(&mut self) -> MemoryMib {
        let total = self.number("mem_info_vram_total", parse::bytes);
        let used = self.number("mem_info_vram_used", parse::bytes);
        let free = match (&total, &used) {
            (Reading::Known(total), Reading::Known(used)) => Reading::Known(total.saturating_sub(*used) / MIB),
            (Reading::Absent(why), _) | (_, Reading::Absent(why)) => Reading::Absent(why.clone()),
        };
        let mib = |bytes: Reading<u64>| bytes.map(|bytes| bytes / MIB);
        MemoryMib { total: mib(total), reserved: Reading::Absent(Absence::NotSupported), used: mib(used), free }
    }

    /// `pwm1` counts to `pwm1_max`, 255 where nothing is set.
    fn fan(&mut self, hwmon: Option<&str>) -> Reading<f64> {
        let most = self.hwmon(hwmon, "pwm1_max", parse::positive).get().unwrap_or(255.0);
        self.hwmon(hwmon, "pwm1", parse::positive_or_zero).map(|duty| (duty * 100.0 / most).min(100.0).round())
    }
}

/// A file that the driver does not make, or refuses to fill, is a value that the GPU does not have.
fn absent_if_unsupported<T>(value: Result<T, Miss>) -> Reading<T> {
    reading(value, Absence::NotSupported)
}

fn first(names: impl Iterator<Item = String>) -> Option<String> {
    names.filter(|name| name.len() < 32).min()
}
