//! Which of NVIDIA's two containers it is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What one of NVIDIA's containers does for the host.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NvidiaRole {
    /// Installs and loads the driver.
    Driver,
    /// Installs NVIDIA's container runtime and its tools.
    Toolkit,
}

impl NvidiaRole {
    /// Both, in the order in which they are needed.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in labels, JSON and on D-Bus.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for NvidiaRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
