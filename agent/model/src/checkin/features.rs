//! What is known of each manager's optional features, and when it is asked: behind a heartbeat, never before one, once an hour.

use crate::checkin::manager::ManagerAddress;
use crate::checkin::managers::MANAGERS_MAX;
use crate::time::BootMillis;

/// What a manager reported about its features, or that it reported nothing that can be understood, counts for so long, in
/// milliseconds.
pub const FEATURES_FOR_MS: u64 = 3_600_000;

/// What a manager can do beyond what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ManagerFeatures {
    /// Request bodies may be compressed.
    pub gzip: bool,
    /// A request for desired state may wait at the manager until there is another document.
    pub long_poll: bool,
    /// It takes events.
    pub events: bool,
}

/// What is known of all managers. One that hangs, is cut off or reports nonsense has no features for an hour.
#[derive(Debug, Clone, Default)]
pub struct FeatureMemory {
    known: Vec<(ManagerAddress, ManagerFeatures, BootMillis)>,
}

impl FeatureMemory {
    /// What the manager can do; `None` where it has to be asked.
    #[must_use]
    pub fn of(&self, manager: &ManagerAddress, now: BootMillis) -> Option<ManagerFeatures> {
        let known = self.known.iter().find(|(place, _, _)| place.same_place(manager));
        known.filter(|(_, _, at)| now.since(*at) < FEATURES_FOR_MS).map(|(_, features, _)| *features)
    }

    /// The manager reported this; nothing where it hung, was cut off or reported nonsense.
    pub fn learned(&mut self, manager: &ManagerAddress, now: BootMillis, said: Option<ManagerFeatures>) {
        self.known.retain(|(place, _, _)| !place.same_place(manager));
        if self.known.len() >= MANAGERS_MAX {
            self.known.remove(0);
        }
        self.known.push((manager.clone(), said.unwrap_or_default(), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_or_was_not_counts_for_an_hour() {
        let (a, now) = (ManagerAddress::new("a", 443), BootMillis(1000));
        let mut memory = FeatureMemory::default();
        assert_eq!(memory.of(&a, now), None);
        memory.learned(&a, now, Some(ManagerFeatures { gzip: true, ..ManagerFeatures::default() }));
        assert_eq!(
            memory.of(&ManagerAddress::new("A", 443), now),
            Some(ManagerFeatures { gzip: true, ..ManagerFeatures::default() })
        );
        assert_eq!(memory.of(&ManagerAddress::new("a", 444), now), None);
        assert_eq!(memory.of(&a, now.plus(FEATURES_FOR_MS)), None);
        memory.learned(&a, now, None);
        assert_eq!(memory.of(&a, now.plus(FEATURES_FOR_MS - 1)), Some(ManagerFeatures::default()));
    }

    #[test]
    fn managers_without_end_do_not_fill_the_memory() {
        let mut memory = FeatureMemory::default();
        for n in 0..1000 {
            memory.learned(&ManagerAddress::new(&format!("m{n}"), 443), BootMillis(n), None);
        }
        assert_eq!(memory.known.len(), MANAGERS_MAX);
        assert!(memory.of(&ManagerAddress::new("m999", 443), BootMillis(999)).is_some());
    }
}
