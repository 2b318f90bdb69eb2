//! The allowed files that are no device's: of the kernel, of the firmware, of the distribution.

use super::basket::{BasketFile, Tell};
use super::root::{Miss, Root};
use model::snapshot::{FILE_MAX_BYTES, allow};
use std::path::Path;

/// No folder of settings has more files.
const FOLDER_MAX: usize = 200;

/// Reads them below the root of the file system. Blocking.
pub(super) fn read(root: &Path, tell: &Tell) {
    for (folder, files) in [("proc", &allow::PROC[..]), ("sys/class/dmi/id", &allow::DMI), ("sys", &allow::SYS)] {
        each(root, folder, files, tell);
    }
    modules(root, tell);
    for folder in allow::MODPROBE {
        let Some(opened) = open(root, folder, tell) else { continue };
        let names = opened.names(".", FOLDER_MAX).unwrap_or_default();
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            one(&opened, folder, name, tell);
        }
    }
    os_release(root, tell);
}

fn modules(root: &Path, tell: &Tell) {
    let folder = "sys/module";
    let Some(opened) = open(root, folder, tell) else { return };
    for module in allow::MODULES {
        for file in allow::MODULE {
            one(&opened, folder, &format!("{module}/{file}"), tell);
        }
    }
    for (module, parameter) in allow::PARAMETERS {
        one(&opened, folder, &format!("{module}/parameters/{parameter}"), tell);
    }
}

/// On most distributions one is a link to the other.
fn os_release(root: &Path, tell: &Tell) {
    let Some(opened) = open(root, "", tell) else { return };
    for path in allow::OS_RELEASE {
        if let Ok(bytes) = opened.read(path, FILE_MAX_BYTES) {
            tell.tell(BasketFile::Text { path: "etc/os-release".to_owned(), bytes });
            return;
        }
    }
    tell.tell(BasketFile::Missed { what: "os-release".to_owned(), why: "there is none".to_owned() });
}

fn each(root: &Path, folder: &str, files: &[&str], tell: &Tell) {
    let Some(opened) = open(root, folder, tell) else { return };
    for file in files {
        one(&opened, folder, file, tell);
    }
}

/// The folder; one that is not there has no files, and that is all.
fn open(root: &Path, folder: &str, tell: &Tell) -> Option<Root> {
    match Root::open(&root.join(folder)) {
        Ok(opened) => Some(opened),
        Err(Miss::Missing) => None,
        Err(miss) => {
            tell.tell(BasketFile::Missed { what: format!("/{folder}"), why: miss.to_string() });
            None
        }
    }
}

/// One file into the archive, under the same name as on the host. A missing file is a fact of the host, and no miss.
pub(super) fn one(opened: &Root, folder: &str, file: &str, tell: &Tell) {
    let path = format!("{folder}/{file}");
    tell.tell(BasketFile::Begin(format!("/{path}")));
    match opened.read(file, FILE_MAX_BYTES) {
        Ok(bytes) => tell.tell(BasketFile::Text { path, bytes }),
        Err(Miss::Missing) => {}
        Err(miss) => tell.tell(BasketFile::Missed { what: format!("/{path}"), why: miss.to_string() }),
    }
}
