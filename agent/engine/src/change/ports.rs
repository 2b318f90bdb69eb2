//! The ports of the part that changes the host.

use std::sync::Arc;

/// What changes stand on.
pub struct ChangePorts<A, J, K> {
    /// Changes the host.
    pub act: Arc<A>,
    /// Keeps entries.
    pub journal: Arc<J>,
    /// The clock.
    pub clock: Arc<K>,
    /// The boot that this is.
    pub boot_id: String,
}

impl<A, J, K> Clone for ChangePorts<A, J, K> {
    fn clone(&self) -> Self {
        Self {
            act: Arc::clone(&self.act),
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(&self.clock),
            boot_id: self.boot_id.clone(),
        }
    }
}
