//! The names of the gates of the readiness call, and a gate that is not met.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What can be waited for before the host reports that it is ready.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GateName {
    /// Docker answers.
    Docker,
    /// NVIDIA's driver is bound to the GPUs, and a driver container that is wished is ready.
    Driver,
    /// NVML answers for the GPUs.
    Nvml,
    /// Docker can inject the GPUs, and a toolkit container that is wished is ready.
    Runtime,
    /// The wished MIG modes and layouts are applied.
    Mig,
    /// The images that are wished, and those of the wished workspaces, are present.
    Images,
}

impl GateName {
    /// All of them, in the order in which a host comes up.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in the settings.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The one of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        code.parse().ok()
    }
}

/// A gate that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmetGate {
    /// Which one.
    pub gate: GateName,
    /// Why it is not met yet.
    pub why: String,
}

impl fmt::Display for UnmetGate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.gate.code(), self.why)
    }
}
