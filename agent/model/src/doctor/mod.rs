//! The doctor: names the known faults of a host from its facts, with what was found, why it matters, and what cures it.

mod catalogue;
mod cdi_checks;
mod docker_checks;
pub mod doctor_facts;
mod driver_checks;
mod iommu_checks;
mod manager_checks;
mod nvml_checks;
mod pci_checks;
mod resource_checks;
mod rule;
mod service_checks;
mod toolkit_checks;
pub mod validity;

mod view;

pub use catalogue::{CATALOGUE, table};
pub use rule::{Area, Check, Severity};

use doctor_facts::DoctorFacts;
use rule::Skipped;
use serde::{Deserialize, Serialize};

/// A fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorFinding {
    /// Its stable name.
    pub code: String,
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// The thing: a PCI address, a path, a unit, an address.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What to do, with the command.
    pub cure: String,
}

/// A check that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchecked {
    /// The check.
    pub code: String,
    /// The fact that is missing, and why.
    pub why: String,
}

/// What the doctor reports about a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Number of checks that were looked at: made, not applicable, or not possible.
    pub checks: usize,
    /// Faults, the worst first, and within one severity by area.
    pub findings: Vec<DoctorFinding>,
    /// Checks that could not be made.
    pub unchecked: Vec<Unchecked>,
}

impl Diagnosis {
    /// Something was found that is more than a hint.
    #[must_use]
    pub fn is_ill(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity != Severity::Hint)
    }
}

/// Makes every check. Pure: the same facts give the same diagnosis.
#[must_use]
pub fn diagnose(facts: &DoctorFacts) -> Diagnosis {
    let mut diagnosis = Diagnosis { checks: 0, findings: Vec::new(), unchecked: Vec::new() };
    for (area, check) in CATALOGUE.iter().flat_map(|(area, checks)| checks.iter().map(move |check| (*area, check))) {
        diagnosis.checks = diagnosis.checks.saturating_add(1);
        match (check.rule)(facts) {
            Ok(hits) => diagnosis.findings.extend(hits.into_iter().map(|hit| DoctorFinding {
                code: check.code.to_owned(),
                area,
                severity: check.severity,
                cure: hit.cure.unwrap_or_else(|| check.cure.replace("{}", &hit.subject)),
                subject: hit.subject,
                found: hit.found,
                why: check.why.to_owned(),
            })),
            Err(Skipped::NotHere) => {}
            Err(Skipped::Unknown(why)) => diagnosis.unchecked.push(Unchecked { code: check.code.to_owned(), why }),
        }
    }
    diagnosis.findings.sort_by_key(|finding| (finding.severity, finding.area));
    diagnosis
}
