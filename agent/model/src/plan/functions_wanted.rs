//! What must be so when a plan has been executed, held against a fresh look.

use super::function_settings::{FunctionSettings, PowerControl};
use super::group_state::GroupState;
use crate::ids::{DriverName, IommuGroupId, PciAddress};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the functions of a group must be.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionsWanted {
    /// Each function of the scope.
    pub members: Vec<FunctionSettings>,
    /// This group must be ready for a guest: `/dev/vfio/GROUP` is there and nothing in the group hinders its opening.
    pub guest_ready: Option<IommuGroupId>,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmet {
    /// The function is not there any more.
    Gone {
        /// Which.
        address: PciAddress,
    },
    /// An attribute has another value.
    Differs {
        /// Of which function.
        address: PciAddress,
        /// `driver`, `driver_override`, `d3cold_allowed`, `power/control`.
        what: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// `/dev/vfio/GROUP` is missing.
    NoNode {
        /// Which group.
        group: IommuGroupId,
    },
    /// Something of a GPU's MIG differs.
    Mig {
        /// What: `GPU instance 3g.20gb@4`, `MIG mode`.
        what: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// What was looked at is not what it is about.
    OtherTarget,
    /// A function that joined the group meanwhile keeps a guest from opening it.
    NotViable {
        /// Which function.
        address: PciAddress,
    },
}

impl Unmet {
    /// The thing itself is not there any more: what has been pulled out cannot be put back by us, and returns without any
    /// trace of ours.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        match self {
            Self::Gone { .. } => true,
            Self::Differs { .. }
            | Self::NoNode { .. }
            | Self::NotViable { .. }
            | Self::Mig { .. }
            | Self::OtherTarget => false,
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { address } => write!(f, "{address} no longer exists"),
            Self::Differs { address, what, wanted, found } => {
                write!(f, "{address}: {what} is {found} and should be {wanted}")
            }
            Self::Mig { what, wanted, found } => write!(f, "{what} is {found} and should be {wanted}"),
            Self::OtherTarget => f.write_str("the observation is of something else"),
            Self::NoNode { group } => write!(f, "/dev/vfio/{group} does not exist"),
            Self::NotViable { address } => {
                write!(f, "{address} joined the group with a host driver, so no guest can open it")
            }
        }
    }
}

impl FunctionsWanted {
    /// What of it does not hold; empty = it holds.
    #[must_use]
    pub(super) fn unmet(&self, seen: &GroupState) -> Vec<Unmet> {
        let mut unmet: Vec<Unmet> = self.members.iter().flat_map(|wanted| wanted.unmet(seen)).collect();
        if let Some(group) = self.guest_ready {
            if !seen.vfio_node {
                unmet.push(Unmet::NoNode { group });
            }
            let in_the_way = |member: &&super::MemberState| {
                let known = self.members.iter().any(|wanted| wanted.address == member.address);
                !known && !member.driver.is_none() && !member.driver.known().is_some_and(DriverName::is_vfio)
            };
            unmet.extend(seen.endpoints().filter(in_the_way).map(|m| Unmet::NotViable { address: m.address }));
        }
        unmet
    }
}

impl FunctionSettings {
    fn unmet(&self, seen: &GroupState) -> Vec<Unmet> {
        let Some(member) = seen.member(self.address) else { return vec![Unmet::Gone { address: self.address }] };
        let found = match member.settled() {
            Ok(found) => found,
            Err((what, why)) => {
                let (wanted, found) = ("readable".to_owned(), why.code().to_owned());
                return vec![Unmet::Differs { address: self.address, what: what.to_owned(), wanted, found }];
            }
        };
        let rows = [
            ("driver", shown(self.driver.as_ref()), shown(found.driver.as_ref())),
            ("driver_override", shown(self.driver_override.as_ref()), shown(found.driver_override.as_ref())),
            ("d3cold_allowed", shown(self.d3cold_allowed.as_ref()), shown(found.d3cold_allowed.as_ref())),
            (
                "power/control",
                shown(self.power_control.map(PowerControl::code).as_ref()),
                shown(found.power_control.map(PowerControl::code).as_ref()),
            ),
        ];
        let differs = |(what, wanted, found): (&str, String, String)| {
            (wanted != found).then(|| Unmet::Differs { address: self.address, what: what.to_owned(), wanted, found })
        };
        rows.into_iter().filter_map(differs).collect()
    }
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}
