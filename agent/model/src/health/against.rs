//! One thing that speaks against a GPU, before it gets its time.

use super::{HealthState, Teller};
use crate::time::BootMillis;

/// A reason before it gets its time.
pub(super) struct Against {
    pub(super) code: String,
    pub(super) state: HealthState,
    pub(super) message: String,
    pub(super) remedy: String,
    pub(super) first: Option<BootMillis>,
    pub(super) told_by: Teller,
}
