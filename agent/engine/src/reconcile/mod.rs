//! The reconciler: brings the host to what is wished, item by item, and shows what is not met and why.
//!
//! One task, level-triggered: whenever documents, the host, settings, policy, lock or the state of the check-in change, a job ends, or
//! its timer fires, it computes all items again from the latest of each. It remembers only when it tried what (`model::desired::Pacer`)
//! and which revision a look has confirmed (`model::desired::Applied`). It changes nothing itself: it hands commands in through the
//! gate of their source, as everybody does.

mod reconciler;
mod report;

pub use reconciler::{ReconcileInputs, Reconciler};
pub use report::Reconciled;
