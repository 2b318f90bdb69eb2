//! Containers that something is being done to. Docker lets no one look at such a container until it is done, so that a look at all of them
//! would wait for each start; what was seen of it last is what counts until then.

use model::ids::ContainerId;
use model::time::UnixMillis;
use model::workspace_life::WorkspaceSeen;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A container as it was seen, with when it was created.
pub(super) type SeenAt = (Option<UnixMillis>, WorkspaceSeen);

#[derive(Debug, Default)]
struct Known {
    /// How many deeds are under way.
    deeds: BTreeMap<ContainerId, u32>,
    /// What the last look showed.
    seen: BTreeMap<ContainerId, SeenAt>,
}

/// Which they are.
#[derive(Debug, Clone, Default)]
pub(super) struct BusyContainers {
    known: Arc<Mutex<Known>>,
}

/// Something is being done to it as long as this is there.
pub(super) struct BusyContainer {
    all: BusyContainers,
    id: ContainerId,
}

impl BusyContainers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is begun.
    pub(super) fn begin(&self, id: &ContainerId) -> BusyContainer {
        let mut known = self.known();
        let deeds = known.deeds.entry(id.clone()).or_default();
        *deeds = deeds.saturating_add(1);
        BusyContainer { all: self.clone(), id: id.clone() }
    }

    /// What was seen of it last, while something is being done to it; none where it was never seen.
    pub(super) fn last_seen(&self, id: &ContainerId) -> Option<SeenAt> {
        let known = self.known();
        known.seen.get(id).filter(|_| known.deeds.contains_key(id)).cloned()
    }

    /// A look has ended.
    pub(super) fn keep(&self, all: &[SeenAt]) {
        self.known().seen = all.iter().map(|one| (one.1.id.clone(), one.clone())).collect();
    }
}

impl Drop for BusyContainer {
    fn drop(&mut self) {
        let mut known = self.all.known();
        if let Some(left) = known.deeds.get_mut(&self.id) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                known.deeds.remove(&self.id);
            }
        }
    }
}
