//! All checks by area, and the table of them for the operator's handbook.

use super::rule::{Area, Check};
use super::{
    cdi_checks, docker_checks, driver_checks, iommu_checks, manager_checks, nvml_checks, pci_checks, resource_checks,
    service_checks, toolkit_checks,
};

/// All checks. An area may stand here twice.
pub const CATALOGUE: [(Area, &[Check]); 10] = [
    (Area::Pci, &pci_checks::CHECKS),
    (Area::Pci, &iommu_checks::CHECKS),
    (Area::Driver, &driver_checks::CHECKS),
    (Area::Nvml, &nvml_checks::CHECKS),
    (Area::Docker, &docker_checks::CHECKS),
    (Area::Docker, &toolkit_checks::CHECKS),
    (Area::Cdi, &cdi_checks::CHECKS),
    (Area::Resources, &resource_checks::CHECKS),
    (Area::Manager, &manager_checks::CHECKS),
    (Area::Service, &service_checks::CHECKS),
];

/// The table of all checks as Markdown, as `docs/DOCTOR.md` has it.
#[must_use]
pub fn table() -> String {
    let mut text = String::new();
    let mut last = None;
    for (area, checks) in CATALOGUE {
        if last != Some(area) {
            text.push_str(&format!(
                "\n## {}\n| code | severity | why it matters | cure |\n|---|---|---|---|\n",
                area.title()
            ));
            last = Some(area);
        }
        for check in checks {
            let cell = |words: &str| words.replace('|', "\\|").replace("{}", "SUBJECT");
            let (why, cure) = (cell(check.why), cell(check.cure));
            text.push_str(&format!("| `{}` | {} | {why} | {cure} |\n", check.code, check.severity.code()));
        }
    }
    text
}
