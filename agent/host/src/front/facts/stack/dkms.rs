//! What DKMS made of NVIDIA's module for the running kernel, out of its tree of builds.

use model::absence::{Absence, Reading};
use model::stack::Dkms;
use std::io::ErrorKind;
use std::path::Path;

/// More versions than anybody keeps.
const VERSIONS_MAX: usize = 64;

/// The newest version that DKMS has (`/var/lib/dkms/nvidia*/VERSION`): built for this kernel, failed, or never tried.
pub(super) fn state(root: &Path, kernel: Option<&str>) -> Reading<Dkms> {
    let Some(kernel) = kernel else { return Reading::default() };
    let tree = root.join("var/lib/dkms");
    let modules = match names(&tree) {
        Ok(names) => names.into_iter().filter(|name| name == "nvidia" || name.starts_with("nvidia-")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Reading::Absent(Absence::None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Reading::Absent(Absence::NoPermission),
        Err(error) => return Reading::Absent(Absence::Unreadable(error.to_string())),
    };
    let mut found: Vec<(Vec<u32>, Dkms)> = Vec::new();
    for module in modules {
        let folder = tree.join(&module);
        for version in names(&folder).unwrap_or_default() {
            let Some(order) = order(&version) else { continue };
            found
                .push((order, of_version(&folder.join(&version), &format!("/var/lib/dkms/{module}"), version, kernel)));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.pop().map_or(Reading::Absent(Absence::None), |(_, dkms)| Reading::Known(dkms))
}

/// `580.105.08` as numbers; `None` for what is no version (`kernel-6.1.0-x86_64` and other links).
fn order(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// A build that succeeded is in a folder named for its kernel; one that failed leaves its log in `build`.
fn of_version(folder: &Path, shown: &str, version: String, kernel: &str) -> Dkms {
    let log = folder.join("build/make.log");
    let is_built = names(&folder.join(kernel)).is_ok_and(|arches| !arches.is_empty());
    if is_built {
        Dkms::Built { version }
    } else if log.is_file() {
        Dkms::Failed { log: format!("{shown}/{version}/build/make.log"), version }
    } else {
        Dkms::NotBuilt { version }
    }
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let listed = std::fs::read_dir(folder)?.flatten();
    Ok(listed.filter_map(|entry| entry.file_name().into_string().ok()).take(VERSIONS_MAX).collect())
}
