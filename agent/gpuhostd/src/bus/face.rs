//! What a bus object holds of the thing that it shows: the newest view, and how a property without a value is answered.

use super::failure::NoValue;
use std::sync::Arc;
use tokio::sync::watch;
use wire::dbus::absent::HasAbsent;

/// The newest view of one object. Reading it takes no lock that anybody holds for longer than a pointer copy.
#[derive(Debug)]
pub(super) struct Face<V>(pub(super) watch::Receiver<Arc<V>>);

impl<V: HasAbsent> Face<V> {
    /// The newest view.
    pub(super) fn now(&self) -> Arc<V> {
        Arc::clone(&self.0.borrow())
    }

    /// The value of a property that may have none.
    pub(super) fn value<T>(&self, property: &'static str, pick: impl FnOnce(&V) -> Option<T>) -> Result<T, NoValue> {
        let now = self.now();
        pick(&now).ok_or_else(|| NoValue::new(property, now.absent().reason(property)))
    }
}
