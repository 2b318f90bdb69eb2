//! Why a layout cannot be had: a closed list of codes, each with its names and numbers.

use super::catalog::MigEngine;
use super::layout::{Instance, Wish};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why not. The code (the tag in JSON) is stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames, strum::IntoStaticStr)]
#[serde(tag = "code", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MigRefusal {
    /// The GPU has no such profile.
    UnknownProfile {
        /// The names that are not among its profiles.
        profiles: Vec<String>,
        /// Those that it has.
        has: Vec<String>,
    },
    /// More instances of a profile than the GPU can hold.
    Maximum {
        /// Which profile.
        profile: String,
        /// How many are wanted.
        wanted: u64,
        /// How many it can hold.
        maximum: u64,
    },
    /// More engines than the GPU has.
    Media {
        /// Which kind.
        engine: MigEngine,
        /// How many the wanted instances have together.
        wanted: u64,
        /// How many there are.
        total: u64,
    },
    /// More memory slots than the GPU has.
    Memory {
        /// How many the wanted instances take.
        wanted: u64,
        /// How many there are.
        total: u64,
    },
    /// More compute slices than the GPU has.
    Slices {
        /// How many the wanted instances take.
        wanted: u64,
        /// How many there are.
        total: u64,
    },
    /// By the numbers it fits, and no arrangement of the placements does.
    Placement,
    /// The profile cannot begin at that slot.
    PlacementUnknown {
        /// Which profile.
        profile: String,
        /// The slot.
        start: u32,
        /// Where it can begin.
        starts: Vec<u32>,
    },
    /// Two instances for one place.
    PlacementOverlap {
        /// One of them.
        one: Instance,
        /// The other.
        other: Instance,
    },
    /// Instances in use that the wish has no room for in its list.
    InUseNotWanted {
        /// Which.
        instances: Vec<Instance>,
    },
    /// Instances in use stand where the wanted ones would have to.
    InUseBlocks {
        /// Which.
        instances: Vec<Instance>,
    },
    /// The search was given up: so many layouts no GPU of today has.
    TooManyLayouts {
        /// Partial layouts looked at.
        looked_at: u64,
    },
}

impl MigRefusal {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for MigRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProfile { profiles, has } => {
                write!(f, "this GPU has no profile {}; it has {}", listed(profiles), listed(has))
            }
            Self::Maximum { profile, wanted, maximum } => {
                write!(f, "{wanted} instances of {profile} are wanted, and this GPU can hold {maximum}")
            }
            Self::Media { engine, wanted, total } => {
                write!(f, "the wanted instances have {wanted} {}, and this GPU has {total}", engine.name())
            }
            Self::Memory { wanted, total } => {
                write!(f, "the wanted instances take {wanted} memory slots, and this GPU has {total}")
            }
            Self::Slices { wanted, total } => {
                write!(f, "the wanted instances take {wanted} compute slices, and this GPU has {total}")
            }
            Self::Placement => f.write_str(
                "the wanted instances would fit by their numbers, but no arrangement of the placements of this GPU holds \
                 them all",
            ),
            Self::PlacementUnknown { profile, start, starts } => {
                write!(f, "{profile} cannot begin at memory slot {start}; it can at {}", listed(starts))
            }
            Self::PlacementOverlap { one, other } => write!(f, "{one} and {other} need the same memory slots"),
            Self::InUseNotWanted { instances } => write!(
                f,
                "{} in use and not among the wanted instances; nothing that is in use is destroyed",
                with_verb(instances)
            ),
            Self::InUseBlocks { instances } => {
                write!(f, "{} in use, and the wanted instances have no room beside that", with_verb(instances))
            }
            Self::TooManyLayouts { looked_at } => {
                write!(f, "the search stopped after {looked_at} partial layouts; give the wanted instances a start (@START)")
            }
        }
    }
}

fn with_verb(instances: &[Instance]) -> String {
    format!("{} {}", listed(instances), if instances.len() == 1 { "is" } else { "are" })
}

/// A refusal, and what would be possible instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigRefused {
    /// Why.
    pub why: MigRefusal,
    /// All instances in use.
    pub in_use: Vec<Instance>,
    /// The largest part of the wish that fits beside what is in use: most instances, then slices, then slots.
    pub largest: Vec<Wish>,
}

impl fmt::Display for MigRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl std::error::Error for MigRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> [MigRefusal; 11] {
        let at = |start| Instance { profile: "1g.5gb".to_owned(), start };
        [
            MigRefusal::UnknownProfile { profiles: vec!["9g.9gb".to_owned()], has: vec!["1g.5gb".to_owned()] },
            MigRefusal::Maximum { profile: "1g.5gb".to_owned(), wanted: 8, maximum: 7 },
            MigRefusal::Media { engine: MigEngine::OpticalFlow, wanted: 2, total: 1 },
            MigRefusal::Memory { wanted: 9, total: 8 },
            MigRefusal::Slices { wanted: 8, total: 7 },
            MigRefusal::Placement,
            MigRefusal::PlacementUnknown { profile: "1g.5gb".to_owned(), start: 9, starts: vec![0, 1] },
            MigRefusal::PlacementOverlap { one: at(0), other: at(0) },
            MigRefusal::InUseNotWanted { instances: vec![at(3)] },
            MigRefusal::InUseBlocks { instances: vec![at(3), at(4)] },
            MigRefusal::TooManyLayouts { looked_at: 7 },
        ]
    }

    #[test]
    fn code_and_json_agree_and_every_code_is_listed() {
        let all = one_of_each();
        assert_eq!(all.each_ref().map(MigRefusal::code), MigRefusal::CODES);
        for refusal in &all {
            assert_eq!(serde_json::to_value(refusal).unwrap()["code"], refusal.code());
        }
    }

    #[test]
    fn a_refusal_names_what_it_is_about() {
        let said = one_of_each().map(|refusal| refusal.to_string());
        for (said, parts) in said.iter().zip([
            ["9g.9gb", "1g.5gb"],
            ["8 instances of 1g.5gb", "7"],
            ["2 optical flow engines", "1"],
            ["9 memory slots", "8"],
            ["8 compute slices", "7"],
            ["arrangement", "placements"],
            ["memory slot 9", "0, 1"],
            ["1g.5gb@0 and 1g.5gb@0", "same"],
            ["1g.5gb@3 is in use", "not among"],
            ["1g.5gb@3, 1g.5gb@4 are in use", "no room"],
            ["7 partial layouts", "@START"],
        ]) {
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }
}
