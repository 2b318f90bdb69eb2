//! What can be wished of MIG on a GPU.

use super::desired_key::Desired;
use crate::mig::Wish;
use serde::{Deserialize, Serialize};

/// `gpus[].mig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DesiredMig {
    /// Whether MIG mode is to be on.
    pub mode: Desired<DesiredMigMode>,
    /// All instances that are to exist.
    pub layout: Desired<Vec<Wish>>,
    /// When it may be changed.
    pub apply: Desired<MigApply>,
}

/// Whether MIG mode is to be on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DesiredMigMode {
    /// On.
    Enabled,
    /// Off.
    Disabled,
    /// Nobody wishes anything: neither the mode nor the layout is touched.
    Unmanaged,
}

/// When a layout or the mode may be changed. Whatever it is, no process of another program is ended: what it uses stays until it is free.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MigApply {
    /// When nothing uses what has to go.
    WhenIdle,
    /// The same, and meanwhile no new workspace comes to the GPU. Those that use what has to go are waited for.
    Drain,
    /// The same, and workspaces that use what has to go are stopped, where the policy allows it and nothing else is in the way.
    Force,
}

/// The words of an enum, for a complaint.
fn words<T: strum::VariantArray + Into<&'static str> + Copy>() -> String {
    T::VARIANTS.iter().map(|one| (*one).into()).collect::<Vec<&str>>().join(", ")
}

/// The variant of that word.
///
/// # Errors
/// There is none, with those that there are.
fn word<T>(text: &str) -> Result<T, String>
where
    T: std::str::FromStr + strum::VariantArray + Into<&'static str> + Copy,
{
    text.parse().map_err(|_| format!("expected one of {}", words::<T>()))
}

impl DesiredMigMode {
    /// The one of that word.
    ///
    /// # Errors
    /// There is none, with those that there are.
    pub fn read(text: &str) -> Result<Self, String> {
        word(text)
    }
}

impl MigApply {
    /// The one of that word.
    ///
    /// # Errors
    /// There is none, with those that there are.
    pub fn read(text: &str) -> Result<Self, String> {
        word(text)
    }
}
