//! The verb of the holders hand: who uses a device.

use super::{HoldersHand, Verb, VerbDeadline, VerbKind};
use model::holders::Holders;
use model::plan::Scope;
use model::ports::ActError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Looks for every process and container that uses a function of the scope, or its VFIO group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindHolders {
    /// Whose functions.
    pub scope: Scope,
}

impl Verb for FindHolders {
    type Hand = HoldersHand;
    type Reply = Result<Holders, ActError>;
    const NAME: &'static str = "find_holders";
    const KIND: VerbKind = VerbKind::Look;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(30));

    fn attempted(&self) -> String {
        format!("look for users of {}", self.scope.gpu)
    }
}
