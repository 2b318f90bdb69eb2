//! What NVML reports about the health of one GPU: values that it gives by number, and a few questions of newer drivers.

use super::ffi;
use super::return_code::{absence, reading};
use model::absence::{Absence, Reading};
use model::health::facts::HealthFacts;
use model::health::recovery::words_of;
use nvml_wrapper::device::Device;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id as id;
use nvml_wrapper_sys::bindings as nvml;

/// The values that are asked for by number, in one call.
const FIELDS: [u32; 9] = [
    id::NVML_FI_DEV_REMAPPED_COR,
    id::NVML_FI_DEV_REMAPPED_UNC,
    id::NVML_FI_DEV_REMAPPED_PENDING,
    id::NVML_FI_DEV_REMAPPED_FAILURE,
    id::NVML_FI_DEV_RETIRED_SBE,
    id::NVML_FI_DEV_RETIRED_DBE,
    id::NVML_FI_DEV_RESET_STATUS,
    id::NVML_FI_DEV_DRAIN_AND_RESET_STATUS,
    id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
];

/// Everything; each value on its own.
pub(super) fn facts(device: &Device<'_>) -> HealthFacts {
    let [corrected, uncorrected, pending, failed, single, double, reset, drain, action] = fields(device);
    let count = |value: Reading<u64>| match value {
        Reading::Known(count) => {
            u32::try_from(count).map_or_else(|_| Reading::Absent(Absence::garbled(&count.to_string())), Reading::Known)
        }
        Reading::Absent(why) => Reading::Absent(why),
    };
    let flag = |value: Reading<u64>| value.map(|value| value != 0);
    let (channel_repair_pending, tpc_repair_pending) = repairs(device);
    let mut facts = HealthFacts {
        rows_remapped_correctable: count(corrected),
        rows_remapped_uncorrectable: count(uncorrected),
        row_remap_pending: flag(pending),
        row_remap_failed: flag(failed),
        pages_retired_single_bit: count(single),
        pages_retired_double_bit: count(double),
        retirement_pending: reading(device.are_pages_pending_retired()),
        reset_required: flag(reset),
        drain_and_reset_recommended: flag(drain),
        recovery_action: action.map(words_of),
        channel_repair_pending,
        tpc_repair_pending,
        sram_threshold_exceeded: reading(ffi::sram_threshold_exceeded(device)),
        ..HealthFacts::default()
    };
    add_fabric(&mut facts, device);
    facts
}

/// The values of [`FIELDS`] in that order. A library that does not know one refuses that one; one that refuses the whole call
/// refuses each.
fn fields<const N: usize>(device: &Device<'_>) -> [Reading<u64>; N] {
    let asked = device.field_values_for(&FIELDS.map(FieldId));
    let why = asked.as_ref().err().map_or(Absence::NotReported, absence);
    let mut told = asked.into_iter().flatten().map(|sample| sample.and_then(|sample| sample.value));
    std::array::from_fn(|_| told.next().map_or_else(|| Reading::Absent(why.clone()), number))
}

/// A value that counts, or is 0 or 1.
fn number(value: Result<SampleValue, NvmlError>) -> Reading<u64> {
    match reading(value) {
        Reading::Known(SampleValue::U32(value)) => Reading::Known(u64::from(value)),
        Reading::Known(SampleValue::U64(value)) => Reading::Known(value),
        Reading::Known(SampleValue::F64(_) | SampleValue::I64(_)) => Reading::Absent(Absence::UnknownError),
        Reading::Absent(why) => Reading::Absent(why),
    }
}

fn repairs(device: &Device<'_>) -> (Reading<bool>, Reading<bool>) {
    match ffi::repairs_pending(device) {
        Ok((channel, tpc)) => (Reading::Known(channel), Reading::Known(tpc)),
        Err(error) => (Reading::Absent(absence(&error)), Reading::Absent(absence(&error))),
    }
}

/// The fabric in the words of nvidia-smi.
fn add_fabric(facts: &mut HealthFacts, device: &Device<'_>) {
    match ffi::fabric(device) {
        Ok(told) => {
            facts.fabric_state = state(told.state);
            let is_in = u32::from(told.state) == nvml::NVML_GPU_FABRIC_STATE_COMPLETED;
            facts.fabric_status = if is_in { status(told.status) } else { Reading::Absent(Absence::NotSupported) };
            facts.fabric_health = told.summary.map_or_else(Reading::default, summary);
            facts.fabric_faults = faults(told.health_mask);
        }
        Err(error) => {
            let why = absence(&error);
            facts.fabric_state = Reading::Absent(why.clone());
            facts.fabric_status = Reading::Absent(why.clone());
            facts.fabric_health = Reading::Absent(why.clone());
            facts.fabric_faults = Reading::Absent(why);
        }
    }
}

fn words(words: &str) -> Reading<String> {
    Reading::Known(words.to_owned())
}

fn state(state: u8) -> Reading<String> {
    match u32::from(state) {
        nvml::NVML_GPU_FABRIC_STATE_NOT_SUPPORTED => Reading::Absent(Absence::NotSupported),
        nvml::NVML_GPU_FABRIC_STATE_NOT_STARTED => words("Not Started"),
        nvml::NVML_GPU_FABRIC_STATE_IN_PROGRESS => words("In Progress"),
        nvml::NVML_GPU_FABRIC_STATE_COMPLETED => words("Completed"),
        other => Reading::Absent(Absence::garbled(&other.to_string())),
    }
}

fn status(code: nvml::nvmlReturn_t) -> Reading<String> {
    match nvml_wrapper::error::nvml_try(code) {
        Ok(()) => words("Success"),
        Err(error) => Reading::Known(error.to_string()),
    }
}

fn summary(summary: u8) -> Reading<String> {
    match u32::from(summary) {
        nvml::NVML_GPU_FABRIC_HEALTH_SUMMARY_NOT_SUPPORTED => Reading::Absent(Absence::NotSupported),
        nvml::NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY => words("Healthy"),
        nvml::NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY => words("Unhealthy"),
        nvml::NVML_GPU_FABRIC_HEALTH_SUMMARY_LIMITED_CAPACITY => words("Limited Capacity"),
        other => Reading::Known(format!("summary {other}")),
    }
}

/// Where a fault is in the mask of the fabric's health, how wide, from which value on it holds, and its name.
const FAULTS: [(u32, u32, u32, &str); 5] = [
    (
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ACCESS_TIMEOUT_RECOVERY,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_ACCESS_TIMEOUT_RECOVERY,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_ACCESS_TIMEOUT_RECOVERY_TRUE,
        "access_timeout_recovery",
    ),
    (
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_DEGRADED_BW,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_DEGRADED_BW,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_DEGRADED_BW_TRUE,
        "degraded_bandwidth",
    ),
    (
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_INCORRECT_CONFIGURATION,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_INCORRECT_CONFIGURATION,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_INCORRECT_SYSGUID,
        "incorrect_configuration",
    ),
    (
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_RECOVERY,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_RECOVERY,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_RECOVERY_TRUE,
        "route_recovery_in_progress",
    ),
    (
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_UNHEALTHY,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_UNHEALTHY,
        nvml::NVML_GPU_FABRIC_HEALTH_MASK_ROUTE_UNHEALTHY_TRUE,
        "route_unhealthy",
    ),
];

/// The faults that hold, by the names of nvidia-smi's elements; unknown where the mask has nothing on any.
fn faults(mask: u32) -> Reading<Vec<String>> {
    let told = FAULTS.map(|(shift, width, from, name)| ((mask >> shift) & width, from, name));
    if told.iter().all(|(value, _, _)| *value == 0) {
        return Reading::Absent(Absence::NotSupported);
    }
    let holds = |(value, from, name): &(u32, u32, &str)| {
        // A flag is 1 where it holds and 2 where it does not; a wrong configuration is any number from 2 on.
        let is_flag = *from == 1;
        ((is_flag && value == from) || (!is_flag && value >= from)).then(|| (*name).to_owned())
    };
    Reading::Known(told.iter().filter_map(holds).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_the_fabric_has_its_bits() {
        let known = |mask| faults(mask).into_known();
        assert_eq!(known(0), None, "nothing is told");
        assert_eq!(known(0b10_10_10_10 | 1 << 8), Some(Vec::new()), "all false, the configuration right");
        assert_eq!(known(0b10_10_10_01), Some(vec!["degraded_bandwidth".to_owned()]));
        assert_eq!(known(0b10_10_01_10), Some(vec!["route_recovery_in_progress".to_owned()]));
        assert_eq!(known(0b10_01_10_10), Some(vec!["route_unhealthy".to_owned()]));
        assert_eq!(known(0b01_10_10_10), Some(vec!["access_timeout_recovery".to_owned()]));
        for wrong in 2..=5 {
            assert_eq!(known(wrong << 8), Some(vec!["incorrect_configuration".to_owned()]), "{wrong}");
        }
        assert!(known(u32::MAX).is_some_and(|faults| faults == ["incorrect_configuration"]), "3 is no flag's value");
    }

    #[test]
    fn words_are_those_of_nvidia_smi() {
        assert_eq!(
            [0, 1, 2, 3].map(|it| state(it).into_known()),
            [None, Some("Not Started"), Some("In Progress"), Some("Completed")].map(|it| it.map(str::to_owned))
        );
        assert!(state(9).known().is_none());
        assert_eq!([1, 2, 3].map(|it| summary(it).into_known().unwrap()), ["Healthy", "Unhealthy", "Limited Capacity"]);
        assert_eq!(summary(9).into_known().as_deref(), Some("summary 9"), "a word of tomorrow is not `Healthy`");
        assert_eq!(status(0).into_known().as_deref(), Some("Success"));
        assert_ne!(status(999).into_known().as_deref(), Some("Success"));
    }
}
