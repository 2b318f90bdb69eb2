//! Why a container that has our label is not ours.

use serde::{Deserialize, Serialize};

/// What makes a container with our label a foreign one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WhyNotOurs {
    /// Its label is not the id of a workspace.
    Id,
    /// It has another name: it was renamed, or created by something else.
    Name,
    /// A label that ours have is missing or cannot be read.
    Labels,
    /// It is privileged, shares a namespace with the host, or has another option that no container of ours has.
    Privileged,
    /// Docker would start it by itself.
    RestartPolicy,
    /// It has other devices than its labels list.
    Devices,
}

impl WhyNotOurs {
    /// For people.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Id => "its label is not the id of a workspace",
            Self::Name => "its name is not the one that gpuhostd gives: it was renamed, or created by something else",
            Self::Labels => "it lacks a label that every container of gpuhostd has",
            Self::Privileged => {
                "it is privileged, shares a namespace of the host, or has an option that gpuhostd never sets"
            }
            Self::RestartPolicy => "it has a restart policy",
            Self::Devices => "its devices are not those that its labels list",
        }
    }
}
