//! A fact that was read, or the reason why there is none: unknown is never 0 and never "".

use crate::printable::printable;
use serde::{Deserialize, Serialize};

/// Why a fact is missing. Closed: a new reason is a new variant, never a free string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The host reports that there is none (no driver link, no IOMMU group, NUMA node −1): a fact, not a failure.
    None,
    /// The source reports `N/A` or `[Not Supported]`.
    NotSupported,
    /// The source is an older or newer one that does not have this field.
    NotReported,
    /// `Requested functionality has been deprecated`.
    Deprecated,
    /// `GPU is lost`: fallen off the bus.
    GpuLost,
    /// `GPU requires reset`.
    ResetRequired,
    /// `Insufficient Permissions`, or EACCES.
    NoPermission,
    /// `Unknown Error`, `ERR!`.
    UnknownError,
    /// The text that was found does not mean anything for this field (first 64 characters).
    Garbled(String),
    /// The attribute could not be read; what the host reported.
    Unreadable(String),
    /// No driver that answers for this GPU is bound or loaded.
    DriverAbsent,
    /// The probe did not answer in its time.
    ProbeTimeout,
    /// The probe failed; its reason is in the observation's probe list.
    ProbeFailed,
    /// The kernel has put the GPU to sleep (`power/runtime_status`): asking would wake it.
    GpuAsleep,
    /// Not asked yet.
    NotProbed,
    /// Left alone on purpose: reading it waits for the device's lock, which a driver that hangs in the kernel never gives back.
    NotRead,
}

impl Absence {
    /// The stable code as it is in JSON, heartbeats and on D-Bus.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NotSupported => "not_supported",
            Self::NotReported => "not_reported",
            Self::Deprecated => "deprecated",
            Self::GpuLost => "gpu_lost",
            Self::ResetRequired => "reset_required",
            Self::NoPermission => "no_permission",
            Self::UnknownError => "unknown_error",
            Self::Garbled(_) => "garbled",
            Self::Unreadable(_) => "unreadable",
            Self::DriverAbsent => "driver_absent",
            Self::ProbeTimeout => "probe_timeout",
            Self::ProbeFailed => "probe_failed",
            Self::GpuAsleep => "gpu_asleep",
            Self::NotProbed => "not_probed",
            Self::NotRead => "not_read",
        }
    }

    /// [`Absence::Garbled`] with the offending text cut to 64 characters and stripped of control characters.
    #[must_use]
    pub fn garbled(text: &str) -> Self {
        Self::Garbled(printable(text, 64))
    }
}

/// A value, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    /// The host reported this.
    Known(T),
    /// There is no value, and why.
    Absent(Absence),
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self::Absent(Absence::NotReported)
    }
}

impl<T> Reading<T> {
    /// The value, if there is one.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// The value by move, if there is one.
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// Why there is no value.
    pub const fn absence(&self) -> Option<&Absence> {
        match self {
            Self::Known(_) => None,
            Self::Absent(why) => Some(why),
        }
    }

    /// True where the host reported for certain that there is none.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::Absent(Absence::None))
    }

    /// The same reading with its value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(change(value)),
            Self::Absent(why) => Reading::Absent(why),
        }
    }

    /// Keeps a known value; else takes the other reading where that one is known.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Known(_), _) | (Self::Absent(_), Self::Absent(_)) => self,
            (Self::Absent(_), Self::Known(_)) => other,
        }
    }
}

impl<T> Reading<T> {
    /// Keeps a known value, else takes the other; of two reasons the one that is more exact than "not in this source".
    #[must_use]
    pub fn filled(self, other: Self) -> Self {
        let silent = matches!(self, Self::Absent(Absence::NotReported | Absence::NotProbed));
        if silent || (self.known().is_none() && other.known().is_some()) { other } else { self }
    }
}

impl<T: Copy> Reading<T> {
    /// The value, copied, if there is one.
    pub const fn get(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Absent(_) => None,
        }
    }
}

impl<T> From<Option<T>> for Reading<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent(Absence::NotReported), Self::Known)
    }
}
