//! The GPU driver's software on the host: module, libraries, Secure Boot, DKMS. Reads files and asks nobody.

mod claims;
mod dkms;
pub(super) mod libraries;
mod module;

use super::FactsRoot;
use super::text::{absence, content, first_line};
use model::absence::{Absence, Reading};
use model::stack::{DriverLoad, StackFacts};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// UEFI's variable, in the name space of UEFI's own variables.
const SECURE_BOOT: &str = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Four bytes of attributes and the value.
const SECURE_BOOT_BYTES: usize = 5;

/// Reads all of it; `kernel` is the running release.
pub(super) fn read(root: &FactsRoot, kernel: Option<&str>) -> StackFacts {
    let loaded = match first_line(&root.sys.join("module/nvidia/version")) {
        Reading::Absent(Absence::NotReported) => Reading::Absent(Absence::None),
        read @ (Reading::Known(_) | Reading::Absent(_)) => read,
    };
    let file = module::file(&root.files, kernel);
    StackFacts {
        secure_boot: secure_boot(root),
        lockdown: lockdown(root),
        module_signed: module::is_signed(&root.files, kernel, file.known().map(String::as_str)),
        module_file: file,
        module_loaded: loaded,
        module_load: driver_load(&root.sys),
        module_barred_by: module::barred_by(&root.files, &root.proc),
        dkms: dkms::state(&root.files, kernel),
        library_version: libraries::version(&root.files),
        files: libraries::files(&root.files),
        claims: claims::read(&root.files, &root.proc),
    }
}

/// Which load of the module `nvidia` is there now, by the inode of its directory in sysfs. Blocking.
#[must_use]
pub fn driver_load(sysfs: &Path) -> Reading<DriverLoad> {
    match std::fs::metadata(sysfs.join("module/nvidia")) {
        Ok(folder) => Reading::Known(DriverLoad(folder.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Reading::Absent(Absence::None),
        Err(error) => Reading::Absent(Absence::Unreadable(error.to_string())),
    }
}

/// Four bytes of attributes, then 0 or 1.
fn secure_boot(root: &FactsRoot) -> Reading<bool> {
    if !root.sys.join("firmware/efi").exists() {
        return Reading::Absent(Absence::None);
    }
    match files::read(&root.sys.join(SECURE_BOOT), SECURE_BOOT_BYTES).as_deref() {
        Ok([_, _, _, _, 0]) => Reading::Known(false),
        Ok([_, _, _, _, 1]) => Reading::Known(true),
        Ok(other) => Reading::Absent(Absence::garbled(&format!("{other:?}"))),
        Err(fault) => Reading::Absent(absence(fault)),
    }
}

/// `none [integrity] confidentiality`: the one in brackets is in force.
fn lockdown(root: &FactsRoot) -> Reading<String> {
    let text = match content(&root.sys.join("kernel/security/lockdown")) {
        Ok(text) => text,
        Err(why) => return Reading::Absent(why),
    };
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(mode, _)| mode);
    match chosen.filter(|mode| matches!(*mode, "none" | "integrity" | "confidentiality")) {
        Some(mode) => Reading::Known(mode.to_owned()),
        None => Reading::Absent(Absence::garbled(&text)),
    }
}
