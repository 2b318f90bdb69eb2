//! How much of the images that gpuhostd has pulled is removed while nothing needs them.

use serde::{Deserialize, Serialize};

/// How much is removed.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PruneMode {
    /// Nothing, also on a full disk.
    Off,
    /// Only on a disk whose reserve is not free. Not a word of the manager's contract: a setting of this host alone.
    Emergency,
    /// What was not needed for a day.
    #[default]
    Normal,
    /// What is not needed now.
    Aggressive,
}

impl PruneMode {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in files, in JSON and on the command line.
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
