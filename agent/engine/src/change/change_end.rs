//! How admitted work ended: for its job, for the records, and for its lanes.

use crate::job::JobOutcome;
use crate::jobs::JobEnd;
use model::change::Entry;
use model::mig::MigOwned;

/// What the journal holds of a change that has ended.
pub(super) enum Left {
    /// What it held before.
    AsBefore,
    /// This.
    Now(Option<Box<Entry>>),
}

/// How admitted work ended.
pub(crate) struct Ended {
    /// For the job.
    pub(crate) end: JobEnd,
    /// What the journal holds of it now.
    pub(super) left: Left,
    /// Why its lanes stay taken.
    pub(super) stuck: Option<String>,
    /// It was begun: the host was written to, or may have been.
    pub(super) is_made: bool,
    /// The MIG instances that are ours after it, where it is a change of MIG that is done.
    pub(super) owned: Option<MigOwned>,
}

impl Ended {
    /// Before anything was begun.
    pub(super) const fn early(end: JobEnd) -> Self {
        Self { end, left: Left::AsBefore, stuck: None, is_made: false, owned: None }
    }

    pub(super) const fn made(end: JobEnd, left: Left) -> Self {
        Self { end, left, stuck: None, is_made: true, owned: None }
    }
}

pub(super) fn as_outcome(outcome: JobOutcome) -> JobEnd {
    let remark = match outcome {
        JobOutcome::Done | JobOutcome::AlreadySo => "",
        JobOutcome::Planned => "it was only planned, and nothing was changed",
    };
    Ok((outcome, remark.to_owned()))
}
