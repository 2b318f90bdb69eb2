//! How much one revision of a manager may remove: more than the policy allows waits for another revision that wants it too, or for a
//! person, since a mistake in a manager's database must not empty a fleet.

use super::workspace_memory::RemovalMemory;
use super::workspace_status::RemovalsHeld;
use crate::desired::DocumentId;

/// Judges the removals of a revision. None: they may be done.
pub(super) fn removals(
    memory: &mut RemovalMemory,
    document: Option<&DocumentId>,
    count: u64,
    most: u64,
) -> Option<RemovalsHeld> {
    let Some(document) = document.filter(|_| count > 0) else {
        // What is removed is over: the next ones are judged afresh.
        *memory = RemovalMemory::default();
        return None;
    };
    let is_second = memory.held.as_ref().is_some_and(|held| held != document);
    if count <= most || memory.is_confirmed || is_second || memory.allowed.as_ref() == Some(document) {
        *memory = RemovalMemory { held: None, allowed: Some(document.clone()), is_confirmed: false };
        return None;
    }
    memory.held = Some(document.clone());
    Some(RemovalsHeld { count, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(revision: u64) -> DocumentId {
        DocumentId { epoch: "e".to_owned().try_into().unwrap(), revision: revision.try_into().unwrap() }
    }

    #[test]
    fn more_than_the_most_waits_for_a_second_revision_or_a_person() {
        let mut memory = RemovalMemory::default();
        assert_eq!(removals(&mut memory, Some(&document(1)), 4, 4), None);
        let mut memory = RemovalMemory::default();
        let held = Some(RemovalsHeld { count: 5, most: 4 });
        assert_eq!(removals(&mut memory, Some(&document(1)), 5, 4), held);
        assert_eq!(removals(&mut memory, Some(&document(1)), 5, 4), held, "the same one again is no second");
        assert_eq!(removals(&mut memory, Some(&document(2)), 5, 4), None);
        assert_eq!(removals(&mut memory, Some(&document(2)), 5, 4), None, "it stays allowed while it is done");
        assert_eq!(removals(&mut memory, Some(&document(3)), 5, 4), held, "another one is judged by itself");
        memory.is_confirmed = true;
        assert_eq!(removals(&mut memory, Some(&document(3)), 5, 4), None);
        assert_eq!(removals(&mut memory, Some(&document(3)), 0, 4), None);
        assert_eq!(
            removals(&mut memory, Some(&document(3)), 5, 4),
            held,
            "a confirmation is for what it was given for"
        );
    }
}
