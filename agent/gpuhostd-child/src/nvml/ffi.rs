//! NVML's calls for which the wrapper has no safe face: one of the two files of the product with `unsafe` in them.
//!
//! Each is a question that fills one structure; a library that is older than the question answers that it does not know it.
#![allow(
    unsafe_code,
    reason = "a C function of a library that is loaded at run time cannot be called without; docs/decisions/0016 has the reason"
)]

use nvml_wrapper::device::Device;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlEccSramErrorStatus_t, nvmlGpuFabricInfo_v2_t, nvmlGpuFabricInfoV_t, nvmlRepairStatus_t,
    nvmlReturn_t,
};

/// A function of NVML that fills a structure about a GPU.
type Question<T> = unsafe extern "C" fn(nvmlDevice_t, *mut T) -> nvmlReturn_t;

/// What a GPU knows of its NVLink fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fabric {
    /// `nvmlGpuFabricState_t`.
    pub(super) state: u8,
    /// `nvmlReturn_t` of the registration.
    pub(super) status: nvmlReturn_t,
    /// Two bits and more for each fault that there can be.
    pub(super) health_mask: u32,
    /// `NVML_GPU_FABRIC_HEALTH_SUMMARY_*`; `None` from drivers before 580.
    pub(super) summary: Option<u8>,
}

/// Whether a memory channel and a processing cluster wait for their repair.
pub(super) fn repairs_pending(device: &Device<'_>) -> Result<(bool, bool), NvmlError> {
    let empty = nvmlRepairStatus_t {
        version: version::<nvmlRepairStatus_t>(1),
        bChannelRepairPending: 0,
        bTpcRepairPending: 0,
    };
    let told = ask(device, device.nvml().lib().nvmlDeviceGetRepairStatus.as_ref().ok(), empty)?;
    Ok((told.bChannelRepairPending != 0, told.bTpcRepairPending != 0))
}

/// Whether the SRAM has more uncorrectable errors than it may have.
pub(super) fn sram_threshold_exceeded(device: &Device<'_>) -> Result<bool, NvmlError> {
    let empty = nvmlEccSramErrorStatus_t {
        version: version::<nvmlEccSramErrorStatus_t>(1),
        aggregateUncParity: 0,
        aggregateUncSecDed: 0,
        aggregateCor: 0,
        volatileUncParity: 0,
        volatileUncSecDed: 0,
        volatileCor: 0,
        aggregateUncBucketL2: 0,
        aggregateUncBucketSm: 0,
        aggregateUncBucketPcie: 0,
        aggregateUncBucketMcu: 0,
        aggregateUncBucketOther: 0,
        bThresholdExceeded: 0,
    };
    let told = ask(device, device.nvml().lib().nvmlDeviceGetSramEccErrorStatus.as_ref().ok(), empty)?;
    Ok(told.bThresholdExceeded != 0)
}

/// What the GPU knows of its fabric: in the structure of 580, or in that of the drivers before.
pub(super) fn fabric(device: &Device<'_>) -> Result<Fabric, NvmlError> {
    let empty = |version| nvmlGpuFabricInfoV_t {
        version,
        clusterUuid: [0; 16],
        status: 0,
        cliqueId: 0,
        state: 0,
        healthMask: 0,
        healthSummary: 0,
    };
    let call = device.nvml().lib().nvmlDeviceGetGpuFabricInfoV.as_ref().ok();
    let known = |told: nvmlGpuFabricInfoV_t, summary| Fabric {
        state: told.state,
        status: told.status,
        health_mask: told.healthMask,
        summary,
    };
    match ask(device, call, empty(version::<nvmlGpuFabricInfoV_t>(3))) {
        Ok(told) => Ok(known(told, Some(told.healthSummary))),
        // 25 is NVML_ERROR_ARGUMENT_VERSION_MISMATCH, which the wrapper has no name for. The older structure is the beginning of
        // the newer one.
        Err(NvmlError::UnexpectedVariant(25) | NvmlError::InvalidArg) => {
            ask(device, call, empty(version::<nvmlGpuFabricInfo_v2_t>(2))).map(|told| known(told, None))
        }
        Err(error) => Err(error),
    }
}

/// `NVML_STRUCT_VERSION`: the size of the structure, and which one it is, by which the library knows how much it may write.
pub(super) fn version<T>(number: u32) -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0) | number << 24
}

/// Asks one question; `empty` carries its version.
fn ask<T: Copy>(device: &Device<'_>, call: Option<&Question<T>>, empty: T) -> Result<T, NvmlError> {
    let call = call.ok_or(NvmlError::FunctionNotFound)?;
    let mut told = empty;
    // SAFETY: `call` is the function of that name in the library that gave the handle, both of which live as long as `device`;
    // its type is that of nvml.h, and `told` is a structure of the type and of the version that it fills.
    let code = unsafe { call(device.handle(), &raw mut told) };
    nvml_try(code).map(|()| told)
}
