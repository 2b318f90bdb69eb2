//! Lanes: who may write to what. A lane that hangs in the kernel is never given to anybody else.

use model::plan::Lane;
use model::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// Why a lane is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    /// A change is under way.
    Busy,
    /// A change could not be undone, or hangs.
    Stuck(String),
}

/// The lanes that are taken.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<Lane, Taken>);

impl Lanes {
    /// Takes all of them, or none: nobody waits for one while it has another.
    ///
    /// # Errors
    /// `busy` where somebody has one of them.
    pub(super) fn take(&mut self, lanes: &BTreeSet<Lane>) -> Result<(), Refusal> {
        if let Some(refusal) = lanes.iter().find_map(|lane| self.refusal(*lane)) {
            return Err(refusal);
        }
        self.0.extend(lanes.iter().map(|lane| (*lane, Taken::Busy)));
        Ok(())
    }

    fn refusal(&self, lane: Lane) -> Option<Refusal> {
        let why = match self.0.get(&lane)? {
            Taken::Busy => format!("another change of {lane} is under way; wait for its job"),
            Taken::Stuck(why) => format!("an earlier change of {lane} could not be undone ({why}); reboot"),
        };
        Some(Refusal::Busy { why })
    }

    /// Gives lanes back.
    pub(super) fn give_back(&mut self, lanes: &BTreeSet<Lane>) {
        self.0.retain(|lane, _| !lanes.contains(lane));
    }

    /// Keeps lanes for ever.
    pub(super) fn keep(&mut self, lanes: &BTreeSet<Lane>, why: &str) {
        self.0.extend(lanes.iter().map(|lane| (*lane, Taken::Stuck(why.to_owned()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::IommuGroupId;

    const GROUP: Lane = Lane::Group(IommuGroupId(0));

    #[test]
    fn a_lane_has_one_writer_and_a_stuck_one_none() {
        let (mut lanes, group) = (Lanes::default(), BTreeSet::from([GROUP]));
        lanes.take(&group).unwrap();
        assert_eq!(lanes.take(&group).unwrap_err().code(), "busy");
        lanes.take(&BTreeSet::from([Lane::Docker])).unwrap();
        lanes.give_back(&group);
        lanes.take(&group).unwrap();
        lanes.keep(&group, "unbind hangs");
        assert!(lanes.take(&group).unwrap_err().to_string().contains("unbind hangs"));
    }

    #[test]
    fn a_set_of_lanes_is_taken_as_a_whole_or_not_at_all() {
        let (mut lanes, both) = (Lanes::default(), BTreeSet::from([GROUP, Lane::Docker]));
        for taken in [GROUP, Lane::Docker] {
            let (taken, other) = (BTreeSet::from([taken]), &both - &BTreeSet::from([taken]));
            lanes.take(&taken).unwrap();
            assert!(lanes.take(&both).is_err());
            lanes.take(&other).expect("what could not be taken as a whole left the other one free");
            lanes.give_back(&both);
        }
        lanes.take(&both).unwrap();
        for lane in &both {
            assert!(lanes.take(&BTreeSet::from([*lane])).is_err(), "{lane}");
        }
    }
}
