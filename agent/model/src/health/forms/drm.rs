//! Records of the graphics drivers of the kernel: amdgpu, i915, xe, nouveau, and what DRM reports for each of them.

use super::leading_number;
use crate::PciAddress;
use crate::health::address::full;
use crate::health::device_fault::Fault;
use crate::health::log_event::LogEvent;
use crate::health::over::Evidence;

/// The drivers whose start reports that their GPU works. nvidia-drm's does not: it starts without asking the GPU.
const STARTING: [&str; 5] = ["amdgpu", "i915", "nouveau", "radeon", "xe"];

/// What a driver reports about its device; without a driver's name it may be any of them.
pub(crate) fn event(driver: Option<&str>, address: PciAddress, text: &str) -> Option<LogEvent> {
    let is = |name: &str| driver.is_none_or(|driver| driver == name);
    let is_drm = driver.is_none_or(|driver| STARTING.contains(&driver));
    if is_drm && let Some(said) = wedged(address, text).or_else(|| initialized(text)) {
        return Some(said);
    }
    if is("amdgpu") && reset_succeeded(text) {
        return Some(LogEvent::Over(address, Evidence::GpuReset));
    }
    let fault = None
        .or_else(|| is("amdgpu").then(|| amd(text)).flatten())
        .or_else(|| (is("i915") || is("xe")).then(|| intel(text)).flatten())
        .or_else(|| is("nouveau").then(|| nouveau(text)).flatten());
    fault.map(|fault| LogEvent::Fault(address, fault))
}

/// `[drm] Initialized amdgpu 3.57.0 20150101 for 0000:03:00.0 on minor 0` (drm_drv.c, drm_dev_register).
pub(crate) fn initialized(text: &str) -> Option<LogEvent> {
    let rest = text.strip_prefix("[drm] Initialized ")?;
    STARTING.contains(&rest.split_whitespace().next()?).then_some(())?;
    let (_, place) = rest.split_once(" for ")?;
    Some(LogEvent::Over(full(place.split_whitespace().next()?)?, Evidence::DriverStarted))
}

/// `[drm] device wedged, needs recovery` (drm_drv.c, drm_dev_wedged_event), and what i915 and xe say for themselves.
fn wedged(address: PciAddress, text: &str) -> Option<LogEvent> {
    let lower = text.to_ascii_lowercase();
    if !lower.contains("wedged") {
        return None;
    }
    let fault = if lower.contains("recovered") {
        Fault::Hang
    } else if lower.contains("failed to initialize gpu") {
        Fault::StartFailed
    } else {
        Fault::ResetFailed
    };
    Some(LogEvent::Fault(address, fault))
}

/// `GPU reset(4) succeeded!`, the last word of a reset; `GPU reset succeeded, trying to resume` is not.
fn reset_succeeded(text: &str) -> bool {
    text.split_once("GPU reset(").and_then(|(_, rest)| rest.split_once(')')).is_some_and(|(number, rest)| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with(" succeeded")
    })
}

fn amd(rest: &str) -> Option<Fault> {
    let has = |words: &str| rest.contains(words);
    if has("GPU reset") && (has("failed") || has("end with ret")) || has("GPU Recovery Failed") {
        return Some(Fault::ResetFailed);
    }
    if has("This GPU is in BAD status") {
        return Some(Fault::BadPages);
    }
    if has("Fatal error during GPU init") {
        return Some(Fault::StartFailed);
    }
    let consumed = has("poison is consumed") || has("RAS poison consumption") || has("Uncorrectable error");
    if consumed || has("uncorrectable hardware error(") || counts(rest, "uncorrectable hardware errors detected") {
        return Some(Fault::RasUncorrectable);
    }
    if has("Poison is created") || counts(rest, "deferred hardware errors detected") {
        return Some(Fault::RasDeferred);
    }
    let hang = (has("ring ") && has(" timeout, ")) || has("GPU reset begin");
    hang.then_some(Fault::Hang)
}

/// `2 uncorrectable hardware errors detected in umc block`, `socket: 0, die: 0, 1 new uncorrectable …`: a count of none is none.
fn counts(rest: &str, what: &str) -> bool {
    let Some((before, _)) = rest.split_once(what) else { return false };
    before.split_whitespace().rev().find_map(leading_number) != Some(0)
}

fn intel(rest: &str) -> Option<Fault> {
    let lower = rest.to_ascii_lowercase();
    if lower.contains("reset failed") || lower.contains("failed to reset chip") {
        return Some(Fault::ResetFailed);
    }
    let hang = rest.contains("GPU HANG") || rest.contains("Timedout job") || lower.contains("reset request timed out");
    hang.then_some(Fault::Hang)
}

fn nouveau(rest: &str) -> Option<Fault> {
    if rest.contains("unknown chipset (ffffffff)") {
        return Some(Fault::StartFailed);
    }
    let hang = rest.contains("GPU lockup") || rest.contains("failed to idle channel");
    hang.then_some(Fault::Hang)
}
