//! A layout that cannot be had on one GPU, with who is in the way and what would be possible.

use super::layout_refusal::MigRefusal;
use crate::holders::Holder;
use crate::ids::PciAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A layout that cannot be had on this GPU, with what would be possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigBlocked {
    /// The GPU.
    pub gpu: PciAddress,
    /// Why. Its code is the refusal's.
    #[serde(flatten)]
    pub why: MigRefusal,
    /// The largest part of the wish that fits beside what is in use, in the wish's syntax.
    pub largest: String,
    /// Who has the instances that are in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

impl fmt::Display for MigBlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.gpu, self.why)?;
        if !self.holders.is_empty() {
            let named: Vec<String> = self.holders.iter().map(ToString::to_string).collect();
            let mut ways: Vec<String> = self.holders.iter().map(Holder::freed_by).collect();
            ways.sort();
            ways.dedup();
            write!(f, "; in use by: {}. To do: {}", named.join("; "), ways.join("; "))?;
        }
        match self.largest.as_str() {
            "-" => f.write_str(". Nothing of it fits now"),
            largest => write!(f, ". The largest part of it that fits now: {largest}"),
        }
    }
}
