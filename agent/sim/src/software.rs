//! The driver's software on a simulated host: what a description reports about it, and the facts that follow.

use crate::description::Description;
use model::absence::{Absence, Reading};
use model::claim::{Claim, on_cmdline};
use model::stack::{Dkms, StackFacts, StackFile};

fn known_or_none<T>(value: Option<T>) -> Reading<T> {
    value.map_or(Reading::Absent(Absence::None), Reading::Known)
}

/// The ids that vfio-pci and pci-stub take at boot.
#[must_use]
pub fn claims(description: &Description) -> Vec<Claim> {
    on_cmdline(&description.software.cmdline, "/proc/cmdline")
}

/// Where DKMS puts the module.
pub const MODULE: &str = "updates/dkms/nvidia.ko";

/// The facts. An installed driver brings all of its files but the VA-API driver, which is somebody else's.
#[must_use]
pub fn facts(description: &Description) -> StackFacts {
    let said = &description.software;
    let driver = description.driver.as_ref();
    let version = |own: &Option<String>| own.clone().or_else(|| driver.map(|driver| driver.version.clone()));
    let file = said.module_file.clone().or_else(|| driver.map(|_| MODULE.to_owned()));
    let built = || driver.map(|driver| Dkms::Built { version: driver.version.clone() });
    let files = StackFile::ALL
        .iter()
        .copied()
        .filter(|file| driver.is_some() && *file != StackFile::VaNvidia && !said.missing.contains(file));
    StackFacts {
        secure_boot: known_or_none(said.secure_boot),
        lockdown: said.lockdown.clone().into(),
        module_loaded: known_or_none(version(&said.module_loaded)),
        // The state of the host has it, not its description.
        module_load: Reading::Absent(Absence::None),
        module_signed: file.as_ref().map(|_| said.module_signed).into(),
        module_file: known_or_none(file),
        module_barred_by: known_or_none(said.module_barred_by.clone()),
        dkms: known_or_none(said.dkms.clone().or_else(built)),
        library_version: known_or_none(version(&said.library_version)),
        files: Reading::Known(files.collect()),
        claims: claims(description),
    }
}
