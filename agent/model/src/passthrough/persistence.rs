//! NVIDIA's persistence mode: the driver's own hold on a GPU, which no descriptor shows.
//!
//! While it is on the driver keeps the GPU initialised and in use, whether nvidia-persistenced or the kernel alone does it, and
//! its remove callback waits until the use count is zero: the write to `unbind` never returns. Switching it off takes
//! CAP_SYS_ADMIN (or root's word to nvidia-persistenced), which no hand of ours has: so it is for a person to do.

use super::Caution;
use crate::absence::{Absence, Reading};
use crate::blocker::Blocker;
use crate::driver::ProbeError;
use crate::observation::{Gpu, HostObservation};
use crate::pci::VENDOR_NVIDIA;

/// How the GPU is held.
enum Held {
    /// Not at all, as far as can be determined.
    No,
    /// It is on.
    Yes,
    /// The driver is installed and does not say it.
    Untold(Absence),
    /// There is nobody who could say it.
    Unknowable(Absence),
}

/// Persistence mode is on, or the driver cannot be got to say that it is off.
pub(super) fn off(host: &HostObservation, gpu: &Gpu) -> Option<Blocker> {
    let why_unknown = match held(host, gpu) {
        Held::No | Held::Unknowable(_) => return None,
        Held::Yes => None,
        Held::Untold(why) => Some(why),
    };
    Some(Blocker::PersistenceMode { address: gpu.pci.address, why_unknown })
}

/// What is worth saying although it keeps nobody from anything.
pub(super) fn caution(host: &HostObservation, gpu: &Gpu) -> Option<Caution> {
    match held(host, gpu) {
        Held::No | Held::Yes | Held::Untold(_) => None,
        Held::Unknowable(why) => Some(Caution::PersistenceUnknown { address: gpu.pci.address, why }),
    }
}

fn held(host: &HostObservation, gpu: &Gpu) -> Held {
    if gpu.pci.id.vendor != VENDOR_NVIDIA || !gpu.pci.is_bound_to("nvidia") {
        return Held::No;
    }
    let silent = || gpu.driver_absence.clone().unwrap_or(Absence::NotReported);
    let said = gpu.driver.as_ref().map_or_else(|| Reading::Absent(silent()), |driver| driver.persistence.clone());
    match said {
        Reading::Known(true) => Held::Yes,
        Reading::Known(false) => Held::No,
        Reading::Absent(why) => unknown(host, why),
    }
}

fn unknown(host: &HostObservation, why: Absence) -> Held {
    match why {
        // The driver lets it sleep, which it does not while it keeps it in use.
        Absence::GpuAsleep => Held::No,
        // A driver that answers and knows no such mode.
        Absence::None | Absence::NotSupported | Absence::NotReported | Absence::Deprecated | Absence::NotRead => {
            Held::Unknowable(why)
        }
        // Without any of its tools nobody can have switched it on from here.
        Absence::ProbeFailed | Absence::NotProbed | Absence::DriverAbsent if !has_tools(host) => Held::Unknowable(why),
        Absence::GpuLost
        | Absence::ResetRequired
        | Absence::NoPermission
        | Absence::UnknownError
        | Absence::Garbled(_)
        | Absence::Unreadable(_)
        | Absence::DriverAbsent
        | Absence::ProbeTimeout
        | Absence::ProbeFailed
        | Absence::NotProbed => Held::Untold(why),
    }
}

/// NVML or nvidia-smi is there, on the host or in a driver container.
fn has_tools(host: &HostObservation) -> bool {
    let is_there = |fault: &Option<ProbeError>| match fault {
        None => true,
        Some(ProbeError::Absent { .. }) => false,
        Some(
            ProbeError::NotAsked { .. }
            | ProbeError::HandUnavailable { .. }
            | ProbeError::Failed { .. }
            | ProbeError::Crashed { .. }
            | ProbeError::Timeout { .. }
            | ProbeError::Stuck { .. }
            | ProbeError::Garbled { .. },
        ) => true,
    };
    host.probes.iter().any(|probe| is_there(&probe.fault))
}
