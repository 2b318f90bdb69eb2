//! What the driver measures, under DCGM's names and labels.

use super::text::{Family, Labels, Value};
use model::absence::Reading;
use model::driver::{DriverGpu, DriverMig, MigMode};
use model::observation::{Gpu, HostObservation};
use std::collections::BTreeSet;

/// How one value is read of a GPU.
type Pick = fn(&Gpu, &DriverGpu) -> Option<Value>;
/// How one value is read of a MIG device.
type PickMig = fn(&DriverMig) -> Option<Value>;

/// Name, help and reader of each metric of a GPU. All are gauges: DCGM's counters fall back to 0 with the driver.
const GPU: [(&str, &str, Pick); 29] = [
    ("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", |_, d| real(&d.temperature_c)),
    ("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", |_, d| small(&d.sm_clock_mhz)),
    ("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", |_, d| small(&d.memory_clock_mhz)),
    ("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", |_, d| real(&d.power_w)),
    ("DCGM_FI_DEV_POWER_MGMT_LIMIT", "Power limit in force (in W).", |_, d| real(&d.power_limit_w)),
    ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", |_, d| real(&d.utilization_pct)),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).", |_, d| real(&d.memory_utilization_pct)),
    ("DCGM_FI_DEV_ENC_UTIL", "Encoder utilization (in %).", |_, d| real(&d.encoder_pct)),
    ("DCGM_FI_DEV_DEC_UTIL", "Decoder utilization (in %).", |_, d| real(&d.decoder_pct)),
    ("DCGM_FI_DEV_FAN_SPEED", "Fan speed (in %).", |_, d| real(&d.fan_pct)),
    ("DCGM_FI_DEV_PSTATE", "Performance state, 0 (fastest) to 15.", |_, d| performance_state(&d.performance_state)),
    ("DCGM_FI_DEV_FB_TOTAL", "Frame buffer memory (in MiB).", |_, d| whole(&d.memory.total)),
    ("DCGM_FI_DEV_FB_USED", "Frame buffer memory used (in MiB).", |_, d| whole(&d.memory.used)),
    ("DCGM_FI_DEV_FB_FREE", "Frame buffer memory free (in MiB).", |_, d| whole(&d.memory.free)),
    ("DCGM_FI_DEV_FB_RESERVED", "Frame buffer memory reserved by the driver (in MiB).", |_, d| {
        whole(&d.memory.reserved)
    }),
    ("DCGM_FI_DEV_ECC_CURRENT", "ECC is on.", |_, d| flag(&d.ecc_enabled)),
    ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Uncorrected ECC errors since the driver was loaded.", |_, d| {
        whole(&d.ecc_uncorrected)
    }),
    ("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "Memory rows remapped for correctable errors.", |_, d| {
        small(&d.health_facts.rows_remapped_correctable)
    }),
    ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "Memory rows remapped for uncorrectable errors.", |_, d| {
        small(&d.health_facts.rows_remapped_uncorrectable)
    }),
    ("DCGM_FI_DEV_ROW_REMAP_PENDING", "A memory row is to be remapped at the next reset.", |_, d| {
        flag(&d.health_facts.row_remap_pending)
    }),
    ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "A memory row could not be remapped.", |_, d| {
        flag(&d.health_facts.row_remap_failed)
    }),
    ("DCGM_FI_DEV_RETIRED_SBE", "Memory pages retired for repeated single-bit errors.", |_, d| {
        small(&d.health_facts.pages_retired_single_bit)
    }),
    ("DCGM_FI_DEV_RETIRED_DBE", "Memory pages retired for an uncorrectable error.", |_, d| {
        small(&d.health_facts.pages_retired_double_bit)
    }),
    ("DCGM_FI_DEV_RETIRED_PENDING", "A memory page is to be retired at the next reset.", |_, d| {
        flag(&d.health_facts.retirement_pending)
    }),
    ("DCGM_FI_DEV_MIG_MODE", "MIG mode is on.", |_, d| {
        d.mig_current.get().map(|mode| Value::flag(mode == MigMode::Enabled))
    }),
    ("DCGM_FI_DEV_PCIE_LINK_GEN", "PCIe generation of the link now.", |g, d| {
        small(&g.pci.link.generation.clone().or(d.pcie_generation.clone()))
    }),
    ("DCGM_FI_DEV_PCIE_LINK_WIDTH", "PCIe lanes of the link now.", |g, d| {
        small(&g.pci.link.width.clone().or(d.pcie_width.clone()))
    }),
    ("DCGM_FI_DEV_PCIE_MAX_LINK_GEN", "Highest PCIe generation of the GPU.", |g, d| {
        small(&g.pci.link.max_generation.clone().or(d.pcie_max_generation.clone()))
    }),
    ("DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH", "Highest number of PCIe lanes of the GPU.", |g, d| {
        small(&g.pci.link.max_width.clone().or(d.pcie_max_width.clone()))
    }),
];

/// The metrics that a MIG device has of its own, under the same names as the GPU's.
const MIG: [(&str, PickMig); 3] = [
    ("DCGM_FI_DEV_FB_TOTAL", |mig| whole(&mig.memory.total)),
    ("DCGM_FI_DEV_FB_USED", |mig| whole(&mig.memory.used)),
    ("DCGM_FI_DEV_FB_FREE", |mig| whole(&mig.memory.free)),
];

/// All families of all GPUs of which a driver told.
pub(super) fn families(seen: &HostObservation) -> Vec<Family> {
    let hostname = seen.host.hostname.known();
    let told = || seen.gpus.iter().filter_map(|gpu| Some((gpu, gpu.driver.as_ref()?)));
    let family = |(name, help, pick): (&'static str, &'static str, Pick)| {
        let mut family = Family::gauge(name, help);
        for (gpu, driver) in told() {
            family.push(labels(gpu, driver, hostname, None), pick(gpu, driver));
            let Some((_, pick)) = MIG.iter().find(|(of_mig, _)| *of_mig == name) else { continue };
            let mut instances = BTreeSet::new();
            // DCGM's labels name the GPU instance: of several compute instances in one, the first tells its memory.
            for mig in driver.mig_devices.iter().filter(|mig| instances.insert(mig.gpu_instance)) {
                family.push(labels(gpu, driver, hostname, Some(mig)), pick(mig));
            }
        }
        family
    };
    GPU.into_iter().map(family).collect()
}

/// `pci_bus_id` as DCGM writes it, with eight digits of the domain.
pub(super) fn bus_id(gpu: &Gpu) -> String {
    format!("{:0>16}", gpu.pci.address.to_string())
}

fn labels(gpu: &Gpu, driver: &DriverGpu, hostname: Option<&String>, mig: Option<&DriverMig>) -> Labels {
    vec![
        ("gpu", driver.index.get().map(|index| index.to_string())),
        ("UUID", driver.uuid.known().map(ToString::to_string)),
        ("pci_bus_id", Some(bus_id(gpu))),
        ("device", driver.minor.get().map(|minor| format!("nvidia{minor}"))),
        ("modelName", gpu.name().map(str::to_owned)),
        ("GPU_I_PROFILE", mig.and_then(|mig| mig.profile.known().cloned())),
        ("GPU_I_ID", mig.map(|mig| mig.gpu_instance.to_string())),
        ("Hostname", hostname.cloned()),
        ("DCGM_FI_DRIVER_VERSION", gpu.driver_version.clone()),
    ]
}

fn real(reading: &Reading<f64>) -> Option<Value> {
    reading.get().map(Value::Real)
}

fn whole(reading: &Reading<u64>) -> Option<Value> {
    reading.get().map(Value::Whole)
}

fn flag(reading: &Reading<bool>) -> Option<Value> {
    reading.get().map(Value::flag)
}

fn small(reading: &Reading<u32>) -> Option<Value> {
    reading.get().map(|number| Value::Whole(u64::from(number)))
}

/// `P8` → 8.
fn performance_state(reading: &Reading<String>) -> Option<Value> {
    let number = reading.known()?.strip_prefix('P')?.parse().ok()?;
    (number <= 15).then_some(Value::Whole(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_performance_state_is_a_number_or_not_there() {
        let state = |text: &str| performance_state(&Reading::Known(text.to_owned()));
        assert_eq!((state("P0"), state("P15")), (Some(Value::Whole(0)), Some(Value::Whole(15))));
        for text in ["", "P", "P16", "P-1", "0", "Unknown"] {
            assert_eq!(state(text), None, "{text}");
        }
    }
}
