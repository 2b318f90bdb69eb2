//! What a check of the doctor is made of: a rule over the facts, and the words for a person.

use super::doctor_facts::DoctorFacts;
use crate::absence::{Absence, Reading};
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something works today and will break, or is unsafe.
    Warning,
    /// Something could be better; a host without it can be healthy, and it does not count in the exit status.
    Hint,
}

impl Severity {
    /// As it is in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// PCI, IOMMU, VFIO.
    Pci,
    /// Kernel drivers.
    Driver,
    /// NVML, nvidia-smi and the driver's devices.
    Nvml,
    /// Docker and NVIDIA's Container Toolkit.
    Docker,
    /// CDI specifications.
    Cdi,
    /// Disk, memory, limits.
    Resources,
    /// Network, certificate, token and clock towards the manager.
    Manager,
    /// The daemon itself.
    Service,
}

impl Area {
    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pci => "PCI and IOMMU",
            Self::Driver => "Kernel driver",
            Self::Nvml => "NVML and devices",
            Self::Docker => "Docker",
            Self::Cdi => "CDI",
            Self::Resources => "Disk and memory",
            Self::Manager => "Manager",
            Self::Service => "Service",
        }
    }
}

/// One check: a fault by its name.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Stable name.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// The command that cures it; `{}` stands for the subject of the finding.
    pub cure: &'static str,
    /// Finds it.
    pub(super) rule: fn(&DoctorFacts) -> Ruled,
}

/// Where a check found its fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) subject: String,
    pub(super) found: String,
    pub(super) cure: Option<String>,
}

impl Hit {
    /// The thing and what was found of it.
    pub(super) fn of(subject: impl ToString, found: impl Into<String>) -> Self {
        Self { subject: subject.to_string(), found: found.into(), cure: None }
    }

    /// Another cure than the check's.
    pub(super) fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: Some(cure.into()), ..self }
    }
}

/// Why a check reports nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Skipped {
    /// What it is about is not on this host.
    NotHere,
    /// A fact that it needs could not be read.
    Unknown(String),
}

/// What a rule reports: where the fault is, or why it cannot say.
pub(super) type Ruled = Result<Vec<Hit>, Skipped>;

/// The fact, or why the check cannot be made without it: `what` names it.
pub(super) fn known<'a, T>(reading: &'a Reading<T>, what: &str) -> Result<&'a T, Skipped> {
    match reading {
        Reading::Known(value) => Ok(value),
        Reading::Absent(Absence::None | Absence::NotReported | Absence::NotSupported) => Err(Skipped::NotHere),
        Reading::Absent(why @ (Absence::Garbled(said) | Absence::Unreadable(said))) => {
            Err(Skipped::Unknown(format!("{what}: {} ({said})", why.code())))
        }
        Reading::Absent(why) => Err(Skipped::Unknown(format!("{what}: {}", why.code()))),
    }
}

/// Nothing to say unless this holds.
pub(super) const fn only_if(holds: bool) -> Result<(), Skipped> {
    if holds { Ok(()) } else { Err(Skipped::NotHere) }
}

/// One hit where the condition holds.
pub(super) fn hit_if(holds: bool, hit: impl FnOnce() -> Hit) -> Ruled {
    Ok(if holds { vec![hit()] } else { Vec::new() })
}
