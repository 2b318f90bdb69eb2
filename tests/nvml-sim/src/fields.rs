//! What NVML says of a GPU's health: values that it gives by number (`nvmlDeviceGetFieldValues`), and versioned structures.

use crate::answer::{known, put, whole};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_SUPPORTED, VERSION_MISMATCH};
use crate::device::gpu;
use crate::library::Library;
use model::Reading;
use model::driver::DriverGpu;
use nvml_wrapper_sys::bindings::field_id::{
    NVML_FI_DEV_DRAIN_AND_RESET_STATUS, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED,
    NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_REMAPPED_COR, NVML_FI_DEV_REMAPPED_FAILURE, NVML_FI_DEV_REMAPPED_PENDING,
    NVML_FI_DEV_REMAPPED_UNC, NVML_FI_DEV_RESET_STATUS, NVML_FI_DEV_RETIRED_DBE, NVML_FI_DEV_RETIRED_SBE,
};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlEccSramErrorStatus_t, nvmlFieldValue_t, nvmlGpuFabricInfoV_t, nvmlRepairStatus_t, nvmlValue_t,
};
use std::ffi::{c_int, c_uint};

/// `NVML_VALUE_TYPE_UNSIGNED_INT`.
const UNSIGNED_INT: u32 = 1;

crate::nvml! {
    /// Values of the fields that the caller names; each has a return code of its own.
    fn nvmlDeviceGetFieldValues(library, device: nvmlDevice_t, count: c_int, values: *mut nvmlFieldValue_t) {
        let gpu = gpu(library, device)?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(INVALID_ARGUMENT)?;
        if values.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        for place in 0..count {
            // SAFETY: `place` is less than the number of elements that the caller gave.
            let asked = unsafe { &mut *values.add(place) };
            match value(library, gpu, asked.fieldId) {
                Ok(number) => {
                    asked.valueType = UNSIGNED_INT;
                    asked.value = nvmlValue_t { ullVal: u64::from(number) };
                    asked.nvmlReturn = 0;
                }
                Err(Code(code)) => asked.nvmlReturn = code,
            }
        }
        Ok(())
    }
}

fn value(library: &Library, gpu: &DriverGpu, field: u32) -> Result<u32, Code> {
    let facts = &gpu.health_facts;
    match field {
        NVML_FI_DEV_POWER_INSTANT => Ok(whole(*known(&gpu.metrics.power_w)? * 1000.0)),
        NVML_FI_DEV_REMAPPED_COR => known(&facts.rows_remapped_correctable).copied(),
        NVML_FI_DEV_REMAPPED_UNC => known(&facts.rows_remapped_uncorrectable).copied(),
        NVML_FI_DEV_REMAPPED_PENDING => flag(&facts.row_remap_pending),
        NVML_FI_DEV_REMAPPED_FAILURE => flag(&facts.row_remap_failed),
        NVML_FI_DEV_RETIRED_SBE => known(&facts.pages_retired_single_bit).copied(),
        NVML_FI_DEV_RETIRED_DBE => known(&facts.pages_retired_double_bit).copied(),
        NVML_FI_DEV_RESET_STATUS => flag(&facts.reset_required),
        NVML_FI_DEV_DRAIN_AND_RESET_STATUS => flag(&facts.drain_and_reset_recommended),
        NVML_FI_DEV_GET_GPU_RECOVERY_ACTION => known(&facts.recovery_action).and_then(|words| recovery_action(words)),
        NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED => {
            known(&gpu.mig_current)?;
            library.mig.gpus.get(&gpu.address).map(|mig| u32::from(mig.is_resetless)).ok_or(NOT_SUPPORTED)
        }
        _ => Err(NOT_SUPPORTED),
    }
}

fn flag(reading: &Reading<bool>) -> Result<u32, Code> {
    known(reading).map(|on| u32::from(*on))
}

/// `nvmlDeviceGpuRecoveryAction_t`.
fn recovery_action(words: &str) -> Result<u32, Code> {
    let numbers = [
        "None",
        "Reset",
        "Reboot",
        "Drain P2P",
        "Drain and Reset",
        "Recover IMEX Domain",
        "Bus Reset",
        "System Reboot",
    ];
    (0..).zip(numbers).find(|(_, known)| *known == words).map(|(number, _)| number).ok_or(NOT_SUPPORTED)
}

crate::nvml! {
    /// A page is to be retired at the next reset.
    fn nvmlDeviceGetRetiredPagesPendingStatus(library, device: nvmlDevice_t, pending: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(pending, flag(&gpu(library, device)?.health_facts.retirement_pending)?) }
    }

    /// Repairs that wait for a reset.
    fn nvmlDeviceGetRepairStatus(library, device: nvmlDevice_t, status: *mut nvmlRepairStatus_t) {
        // SAFETY: as the function's contract.
        let version = unsafe { versioned(status, 1, |it| it.version) }?;
        let facts = &gpu(library, device)?.health_facts;
        let answer = nvmlRepairStatus_t {
            version,
            bChannelRepairPending: flag(&facts.channel_repair_pending)?,
            bTpcRepairPending: flag(&facts.tpc_repair_pending)?,
        };
        // SAFETY: as the function's contract.
        unsafe { put(status, answer) }
    }

    /// Errors of the SRAM.
    fn nvmlDeviceGetSramEccErrorStatus(library, device: nvmlDevice_t, status: *mut nvmlEccSramErrorStatus_t) {
        // SAFETY: as the function's contract.
        unsafe { versioned(status, 1, |it| it.version) }?;
        let exceeded = flag(&gpu(library, device)?.health_facts.sram_threshold_exceeded)?;
        // SAFETY: not NULL, which has been looked at; the rest as the function's contract.
        unsafe { (*status).bThresholdExceeded = exceeded };
        Ok(())
    }

    /// The fabric, in the structure of 580.
    fn nvmlDeviceGetGpuFabricInfoV(library, device: nvmlDevice_t, info: *mut nvmlGpuFabricInfoV_t) {
        // SAFETY: as the function's contract.
        let version = unsafe { versioned(info, 3, |it| it.version) }?;
        let facts = &gpu(library, device)?.health_facts;
        let answer = nvmlGpuFabricInfoV_t {
            version,
            clusterUuid: [0; 16],
            status: if known(&facts.fabric_status).is_ok_and(|status| status == "Success") { 0 } else { 999 },
            cliqueId: 0,
            state: number(known(&facts.fabric_state)?, &["", "Not Started", "In Progress", "Completed"]),
            healthMask: mask(&facts.fabric_faults),
            healthSummary: known(&facts.fabric_health).map_or(0, |health| number(health, &["", "Healthy", "Unhealthy", "Limited Capacity"])),
        };
        // SAFETY: as the function's contract.
        unsafe { put(info, answer) }
    }
}

/// The version that the caller wrote, where it is the one that this library knows.
///
/// # Safety
/// `to` is NULL or points to a structure whose version is written.
pub(crate) unsafe fn versioned<T>(to: *mut T, number: u32, version: fn(&T) -> u32) -> Result<u32, Code> {
    // SAFETY: NULL gives `None`, and the caller of the C function vouches for the rest.
    let asked = version(unsafe { to.as_ref() }.ok_or(INVALID_ARGUMENT)?);
    let ours = u32::try_from(size_of::<T>()).unwrap_or(0) | number << 24;
    if asked == ours { Ok(asked) } else { Err(VERSION_MISMATCH) }
}

fn number(word: &str, words: &[&str]) -> u8 {
    (0..).zip(words).find(|(_, known)| **known == word).map_or(0, |(number, _)| number)
}

/// Two bits for each fault: 1 where it holds, 2 where it does not, 0 where nothing is said.
fn mask(faults: &Reading<Vec<String>>) -> u32 {
    let Reading::Known(faults) = faults else { return 0 };
    let names = ["degraded_bandwidth", "route_recovery_in_progress", "route_unhealthy", "access_timeout_recovery"];
    let bits = |name: &str| if faults.iter().any(|fault| fault == name) { 1 } else { 2 };
    (0..).step_by(2).zip(names).map(|(shift, name)| bits(name) << shift).sum::<u32>() | 1 << 8
}
