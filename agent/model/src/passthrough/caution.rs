//! What is worth knowing before a change of a GPU is made, although it prevents nothing.

use crate::absence::Absence;
use crate::blocker::Ill;
use crate::ids::PciAddress;
use crate::mig::MigMaster;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One such thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Caution {
    /// The GPU that is taken back is not well.
    Unhealthy {
        /// What speaks against it.
        ills: Vec<Ill>,
    },
    /// Another program of this host sets MIG layouts by itself, and will undo this one.
    MigSecondMaster {
        /// Which.
        masters: Vec<MigMaster>,
    },
    /// Nobody here can say whether NVIDIA's driver holds the GPU by persistence mode.
    PersistenceUnknown {
        /// Which GPU.
        address: PciAddress,
        /// Why it is not known.
        why: Absence,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unhealthy { ills } => {
                let each: Vec<String> = ills.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "the GPU is not healthy: {}. Its drivers may hang while they unbind or bind it; a step that hangs is \
                     abandoned, and the GPU is then quarantined until a reboot",
                    each.join("; ")
                )
            }
            Self::MigSecondMaster { masters } => {
                let named: Vec<String> =
                    masters.iter().map(|master| format!("{master} (to stop it: {})", master.remedy())).collect();
                write!(
                    f,
                    "another program of this host sets MIG layouts by itself and may undo this change: {}",
                    named.join("; ")
                )
            }
            Self::PersistenceUnknown { address, why } => write!(
                f,
                "whether persistence mode of {address} is on is not known ({}); if it is, the driver never releases the GPU: \
                 `nvidia-smi -i {address} -pm 0` turns it off, if the driver's tools are installed",
                why.code()
            ),
        }
    }
}
