//! Lanes: who may write to what. A lane that hangs in the kernel is never given to anybody else.

use model::plan::Lane;
use model::refusal::Refusal;
use std::collections::BTreeMap;

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
    /// Takes a lane.
    ///
    /// # Errors
    /// `busy` where somebody has it.
    pub(super) fn take(&mut self, lane: Lane) -> Result<(), Refusal> {
        match self.0.get(&lane) {
            None => {
                self.0.insert(lane, Taken::Busy);
                Ok(())
            }
            Some(Taken::Busy) => {
                Err(Refusal::Busy { why: format!("another change of {lane} is in progress; wait for its job") })
            }
            Some(Taken::Stuck(why)) => {
                Err(Refusal::Busy { why: format!("an earlier change of {lane} could not be undone ({why}); reboot") })
            }
        }
    }

    /// Gives a lane back.
    pub(super) fn give_back(&mut self, lane: Lane) {
        self.0.remove(&lane);
    }

    /// Keeps a lane for ever.
    pub(super) fn keep(&mut self, lane: Lane, why: String) {
        self.0.insert(lane, Taken::Stuck(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::IommuGroupId;

    #[test]
    fn a_lane_has_one_writer_and_a_stuck_one_none() {
        let (mut lanes, lane) = (Lanes::default(), Lane::Group(IommuGroupId(0)));
        lanes.take(lane).unwrap();
        assert_eq!(lanes.take(lane).unwrap_err().code(), "busy");
        lanes.take(Lane::Docker).unwrap();
        lanes.give_back(lane);
        lanes.take(lane).unwrap();
        lanes.keep(lane, "unbind hangs".to_owned());
        assert!(lanes.take(lane).unwrap_err().to_string().contains("unbind hangs"));
    }
}
