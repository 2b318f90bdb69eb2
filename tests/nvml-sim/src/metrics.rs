//! What a GPU is doing: memory, temperature, utilization, power, clocks, errors.

use crate::answer::{known, put, whole};
use crate::codes::{INVALID_ARGUMENT, NOT_SUPPORTED, VERSION_MISMATCH, throttle_bit};
use crate::device::{Target, gpu, target};
use model::driver::MemoryMib;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlUtilization_t};
use std::ffi::{c_uint, c_ulonglong};

const MIB: u64 = 1024 * 1024;
/// `NVML_STRUCT_VERSION(Memory, 2)`: the size of the structure and 2 << 24.
const MEMORY_V2: u32 = 40 | 2 << 24;
/// The period over which the encoder's and decoder's utilization is measured, in µs.
const SAMPLING_US: c_uint = 167_000;

crate::nvml! {
    /// Memory, with what the driver keeps counted as used.
    fn nvmlDeviceGetMemoryInfo(library, device: nvmlDevice_t, memory: *mut nvmlMemory_t) {
        let of = memory_of(target(library, device)?);
        let used = known(&of.used)?.saturating_add(of.reserved.get().unwrap_or(0));
        let answer = nvmlMemory_t { total: known(&of.total)? * MIB, free: known(&of.free)? * MIB, used: used * MIB };
        // SAFETY: as the function's contract.
        unsafe { put(memory, answer) }
    }

    /// Memory, with what the driver keeps apart.
    fn nvmlDeviceGetMemoryInfo_v2(library, device: nvmlDevice_t, memory: *mut nvmlMemory_v2_t) {
        if memory.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: not NULL, and the caller has written the version, as the function's contract.
        let version = unsafe { (*memory).version };
        if version != MEMORY_V2 {
            return Err(VERSION_MISMATCH);
        }
        let of = memory_of(target(library, device)?);
        let answer = nvmlMemory_v2_t {
            version,
            total: known(&of.total)? * MIB,
            reserved: of.reserved.get().unwrap_or(0) * MIB,
            free: known(&of.free)? * MIB,
            used: known(&of.used)? * MIB,
        };
        // SAFETY: as the function's contract.
        unsafe { put(memory, answer) }
    }

    /// Temperature in °C; sensor 0 is the GPU.
    fn nvmlDeviceGetTemperature(library, device: nvmlDevice_t, sensor: c_uint, degrees: *mut c_uint) {
        if sensor != 0 {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: as the function's contract.
        unsafe { put(degrees, whole(*known(&gpu(library, device)?.metrics.temperature_c)?)) }
    }

    /// Utilization of GPU and memory controller in per cent.
    fn nvmlDeviceGetUtilizationRates(library, device: nvmlDevice_t, rates: *mut nvmlUtilization_t) {
        let gpu = gpu(library, device)?;
        let answer = nvmlUtilization_t {
            gpu: whole(*known(&gpu.metrics.utilization_pct)?),
            memory: whole(*known(&gpu.metrics.memory_utilization_pct)?),
        };
        // SAFETY: as the function's contract.
        unsafe { put(rates, answer) }
    }

    /// Utilization of the encoder in per cent.
    fn nvmlDeviceGetEncoderUtilization(library, device: nvmlDevice_t, rate: *mut c_uint, period: *mut c_uint) {
        let answer = whole(*known(&gpu(library, device)?.metrics.encoder_pct)?);
        // SAFETY: as the function's contract.
        unsafe { put(rate, answer) }?;
        // SAFETY: as the function's contract.
        unsafe { put(period, SAMPLING_US) }
    }

    /// Utilization of the decoder in per cent.
    fn nvmlDeviceGetDecoderUtilization(library, device: nvmlDevice_t, rate: *mut c_uint, period: *mut c_uint) {
        let answer = whole(*known(&gpu(library, device)?.metrics.decoder_pct)?);
        // SAFETY: as the function's contract.
        unsafe { put(rate, answer) }?;
        // SAFETY: as the function's contract.
        unsafe { put(period, SAMPLING_US) }
    }

    /// Power in mW.
    fn nvmlDeviceGetPowerUsage(library, device: nvmlDevice_t, milliwatts: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(milliwatts, whole(*known(&gpu(library, device)?.metrics.power_w)? * 1000.0)) }
    }

    /// Power limit in force in mW.
    fn nvmlDeviceGetEnforcedPowerLimit(library, device: nvmlDevice_t, milliwatts: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(milliwatts, whole(*known(&gpu(library, device)?.metrics.power_limit_w)? * 1000.0)) }
    }

    /// Power limit that was set, in mW.
    fn nvmlDeviceGetPowerManagementLimit(library, device: nvmlDevice_t, milliwatts: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(milliwatts, whole(*known(&gpu(library, device)?.metrics.power_limit_w)? * 1000.0)) }
    }

    /// Speed of the fan in per cent.
    fn nvmlDeviceGetFanSpeed(library, device: nvmlDevice_t, speed: *mut c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put(speed, whole(*known(&gpu(library, device)?.metrics.fan_pct)?)) }
    }

    /// Speed of one fan in per cent; the card has one.
    fn nvmlDeviceGetFanSpeed_v2(library, device: nvmlDevice_t, fan: c_uint, speed: *mut c_uint) {
        let answer = whole(*known(&gpu(library, device)?.metrics.fan_pct)?);
        if fan != 0 {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: as the function's contract.
        unsafe { put(speed, answer) }
    }

    /// Number of fans.
    fn nvmlDeviceGetNumFans(library, device: nvmlDevice_t, fans: *mut c_uint) {
        known(&gpu(library, device)?.metrics.fan_pct)?;
        // SAFETY: as the function's contract.
        unsafe { put(fans, 1) }
    }

    /// A clock in MHz: of the multiprocessors (1) or of the memory (2); the others are not described.
    fn nvmlDeviceGetClockInfo(library, device: nvmlDevice_t, kind: c_uint, clock: *mut c_uint) {
        let gpu = gpu(library, device)?;
        let answer = match kind {
            1 => *known(&gpu.metrics.sm_clock_mhz)?,
            2 => *known(&gpu.metrics.memory_clock_mhz)?,
            0 | 3 => return Err(NOT_SUPPORTED),
            _ => return Err(INVALID_ARGUMENT),
        };
        // SAFETY: as the function's contract.
        unsafe { put(clock, answer) }
    }

    /// Performance state.
    fn nvmlDeviceGetPerformanceState(library, device: nvmlDevice_t, state: *mut c_uint) {
        let text = known(&gpu(library, device)?.metrics.performance_state)?;
        let number = text.trim_start_matches('P').parse().unwrap_or(32);
        // SAFETY: as the function's contract.
        unsafe { put(state, number) }
    }

    /// Why the clocks are held down.
    fn nvmlDeviceGetCurrentClocksThrottleReasons(library, device: nvmlDevice_t, reasons: *mut c_ulonglong) {
        let active = known(&gpu(library, device)?.metrics.throttle)?;
        let bits = active.iter().fold(0, |bits, reason| bits | throttle_bit(reason));
        // SAFETY: as the function's contract.
        unsafe { put(reasons, bits) }
    }

    /// Why the clocks are held down, under the name that it has since 535.
    fn nvmlDeviceGetCurrentClocksEventReasons(library, device: nvmlDevice_t, reasons: *mut c_ulonglong) {
        let active = known(&gpu(library, device)?.metrics.throttle)?;
        let bits = active.iter().fold(0, |bits, reason| bits | throttle_bit(reason));
        // SAFETY: as the function's contract.
        unsafe { put(reasons, bits) }
    }

    /// ECC errors: uncorrected (1) since the driver was loaded (0) as described, none of any other kind.
    fn nvmlDeviceGetTotalEccErrors(library, device: nvmlDevice_t, kind: c_uint, counter: c_uint, count: *mut c_ulonglong) {
        let answer = *known(&gpu(library, device)?.metrics.ecc_uncorrected)?;
        // SAFETY: as the function's contract.
        unsafe { put(count, if (kind, counter) == (1, 0) { answer } else { 0 }) }
    }

    /// ECC errors of one place: all of them in the device memory (2).
    fn nvmlDeviceGetMemoryErrorCounter(library, device: nvmlDevice_t, kind: c_uint, counter: c_uint, location: c_uint, count: *mut c_ulonglong) {
        let answer = *known(&gpu(library, device)?.metrics.ecc_uncorrected)?;
        // SAFETY: as the function's contract.
        unsafe { put(count, if (kind, counter, location) == (1, 0, 2) { answer } else { 0 }) }
    }
}

const fn memory_of(target: Target<'_>) -> &MemoryMib {
    match target {
        Target::Gpu(gpu) => &gpu.memory,
        Target::Mig(_, mig) => &mig.memory,
    }
}
