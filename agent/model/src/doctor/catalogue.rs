//! All checks by area, and the table of them for the operator's handbook.

use super::check::{Area, Check};
use super::{cdi, docker, driver, iommu, manager, nvml, pci, resources, service, toolkit};

/// All checks. An area may stand here twice.
pub const CATALOGUE: [(Area, &[Check]); 10] = [
    (Area::Pci, &pci::CHECKS),
    (Area::Pci, &iommu::CHECKS),
    (Area::Driver, &driver::CHECKS),
    (Area::Nvml, &nvml::CHECKS),
    (Area::Docker, &docker::CHECKS),
    (Area::Docker, &toolkit::CHECKS),
    (Area::Cdi, &cdi::CHECKS),
    (Area::Resources, &resources::CHECKS),
    (Area::Manager, &manager::CHECKS),
    (Area::Service, &service::CHECKS),
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
