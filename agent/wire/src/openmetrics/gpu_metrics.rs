//! The metrics of each GPU, under DCGM's names and labels where DCGM has them.

use super::text::{Family, Labels, Value};
use model::absence::Reading;
use model::driver::{DriverGpu, DriverMig};
use model::metric::{self, Metric, of_gpu};
use model::observation::{Gpu, HostObservation};
use std::collections::BTreeSet;

/// How a value is read of a MIG device.
type PickMig = fn(&DriverMig) -> &Reading<u64>;

/// What a MIG device has of its own, under the same names as the GPU's.
const MIG: [(Metric, PickMig); 3] = [
    (Metric::MemoryTotalMib, |mig| &mig.memory.total),
    (Metric::MemoryUsedMib, |mig| &mig.memory.used),
    (Metric::MemoryFreeMib, |mig| &mig.memory.free),
];

/// All families of all GPUs that a driver reports.
pub(super) fn families(seen: &HostObservation) -> Vec<Family> {
    let hostname = seen.host.hostname.known();
    let told = || seen.gpus.iter().filter_map(|gpu| Some((gpu, gpu.driver.as_ref()?)));
    let family = |metric: &Metric| {
        let row = metric.row();
        // All are gauges: DCGM's counters fall back to 0 with the driver.
        let mut family = Family::gauge(row.open.name()?, row.help);
        for (gpu, driver) in told() {
            family.push(labels(gpu, driver, hostname, None), of_gpu(*metric, gpu).into_known().and_then(number));
            let Some((_, pick)) = MIG.iter().find(|(of_mig, _)| of_mig == metric) else { continue };
            let mut instances = BTreeSet::new();
            // DCGM's labels name the GPU instance: of several compute instances in one, the first tells its memory.
            for mig in driver.mig_devices.iter().filter(|mig| instances.insert(mig.gpu_instance)) {
                family.push(labels(gpu, driver, hostname, Some(mig)), pick(mig).get().map(Value::Whole));
            }
        }
        Some(family)
    };
    Metric::ALL.iter().filter_map(family).collect()
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

/// A value as a number. The only word that has one is a performance state.
fn number(value: metric::Value) -> Option<Value> {
    match value {
        metric::Value::Flag(holds) => Some(Value::flag(holds)),
        metric::Value::Whole(number) => Some(Value::Whole(number)),
        metric::Value::Real(number) => Some(Value::Real(number)),
        metric::Value::Text(state) => performance_state(&state),
        metric::Value::List(_) => None,
    }
}

/// `P8` → 8.
fn performance_state(state: &str) -> Option<Value> {
    let number = state.strip_prefix('P')?.parse().ok()?;
    (number <= 15).then_some(Value::Whole(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_performance_state_is_a_number_or_not_there() {
        assert_eq!(
            (performance_state("P0"), performance_state("P15")),
            (Some(Value::Whole(0)), Some(Value::Whole(15)))
        );
        for text in ["", "P", "P16", "P-1", "0", "Unknown"] {
            assert_eq!(performance_state(text), None, "{text}");
        }
    }
}
