//! What the reconciler publishes of a turn.

use model::desired::DocumentId;
use model::reconcile::{Shown, WishSource};

/// How far the host is what is wished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// The manager's document in force.
    pub in_force: Option<DocumentId>,
    /// The newest revision of its epoch that a look at the host found to be met.
    pub applied: Option<DocumentId>,
    /// Every item of every source.
    pub items: Vec<Shown>,
}

impl Reconciled {
    /// The manager's items that are not met.
    pub fn unmet(&self) -> impl Iterator<Item = &Shown> {
        self.items.iter().filter(|item| item.source == WishSource::Manager && item.why.is_some())
    }
}
