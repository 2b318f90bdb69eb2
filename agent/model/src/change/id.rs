//! The name of a change, and what the name of a journal document says without being opened.

use crate::plan::{Bounds, Lane};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Longest name of a document: a file name holds 255 bytes, and a half-written copy has a longer one.
const NAME_MAX_BYTES: usize = 200;
/// In a name in place of lanes: there were too many to be listed.
const ALL_LANES: &str = "all";
const PREFIX: &str = "change-";

/// Names one change of the host, and its document in the journal.
///
/// A change that takes back what an earlier one gave away goes on under the id of that one: whatever is not as the host boots
/// has exactly one document, which is replaced as a whole.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeId {
    /// Counted up from the highest number that the journal holds when the daemon starts.
    Number(u64),
    /// Of schema 1, which named a change by its lane. It keeps that name for as long as it is in the journal.
    Lane(Lane),
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{PREFIX}{number}"),
            Self::Lane(lane) => lane.fmt(f),
        }
    }
}

/// The name of the document of a change: its id and its lanes, so that a document which cannot be read still says what it holds.
#[must_use]
pub fn name_of(id: ChangeId, lanes: &BTreeSet<Lane>) -> String {
    let named = match id {
        ChangeId::Lane(lane) => return format!("{lane}.json"),
        ChangeId::Number(_) => lanes.iter().fold(id.to_string(), |name, lane| format!("{name}.{lane}")),
    };
    if named.len() <= NAME_MAX_BYTES { format!("{named}.json") } else { format!("{id}.{ALL_LANES}.json") }
}

/// What a document that cannot be read keeps everybody from changing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// These lanes; an empty set = nothing.
    Lanes(BTreeSet<Lane>),
    /// Everything: it is the record of a change, and of which one cannot be told.
    All,
}

impl Held {
    /// What a document of this name may be the record of. `group-23.json` is of schema 1, `change-7.group-23.json` of schema 2. A
    /// name that no version gives holds nothing; one that begins like ours and goes on in a way that this version does not know
    /// holds everything.
    #[must_use]
    pub fn by_name(name: &str) -> Self {
        let Some(stem) = name.strip_suffix(".json") else { return Self::Lanes(BTreeSet::new()) };
        let Some(rest) = stem.strip_prefix(PREFIX) else { return Self::Lanes(Lane::named(stem).into_iter().collect()) };
        let mut parts = rest.split('.');
        let number = parts.next().and_then(counted);
        let lanes: Option<BTreeSet<Lane>> = parts.map(Lane::named).collect();
        match (number, lanes) {
            (Some(_), Some(lanes)) if !lanes.is_empty() => Self::Lanes(lanes),
            (Some(_) | None, Some(_) | None) => Self::All,
        }
    }

    /// The same and these lanes.
    #[must_use]
    pub fn and(self, more: impl IntoIterator<Item = Lane>) -> Self {
        match self {
            Self::Lanes(lanes) => Self::Lanes(lanes.into_iter().chain(more).collect()),
            Self::All => Self::All,
        }
    }

    /// It names something that a change within these bounds would touch.
    #[must_use]
    pub fn names(&self, bounds: &Bounds) -> bool {
        let touched = |lane: &Lane| match lane {
            Lane::Gpu(address) => bounds.subject.gpu() == Some(*address) || bounds.target.functions().contains(address),
            Lane::Group(_) | Lane::Docker => false,
        };
        match self {
            Self::Lanes(lanes) => lanes.iter().any(|lane| bounds.lanes.contains(lane) || touched(lane)),
            Self::All => false,
        }
    }

    /// It keeps everybody from a change within these bounds.
    #[must_use]
    pub fn keeps_from(&self, bounds: &Bounds) -> bool {
        *self == Self::All || self.names(bounds)
    }
}

/// The number in the name of a document; 0 where it has none.
pub(super) fn number_in(name: &str) -> u64 {
    let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
    rest.and_then(counted).unwrap_or_default()
}

/// A number as we write it.
fn counted(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
