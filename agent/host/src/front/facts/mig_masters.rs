//! NVIDIA's MIG manager on this host: the links that enable its service, and the kubelet's links to the logs of its containers.

use model::mig::MigMaster;
use std::fs::{read_dir, read_link};
use std::io::ErrorKind;
use std::path::Path;

/// Where an administrator's links of systemd are.
const UNITS: &str = "etc/systemd/system";
/// Where the kubelet has one link for each container that it runs.
const LOGS: &str = "var/log/containers";
/// More names than any host has there.
const NAMES_MAX: usize = 4096;

/// All of them, by name.
pub(super) fn read(root: &Path) -> Vec<MigMaster> {
    let units = root.join(UNITS);
    let mut found: Vec<MigMaster> = names(&units)
        .into_iter()
        .flat_map(|folder| names(&units.join(&folder)).into_iter().filter_map(move |name| of_link(&folder, &name)))
        // A masked unit is never started, whatever wants it.
        .filter(|(_, name)| !is_masked(&units.join(name)))
        .map(|(master, _)| master)
        .collect();
    let logs = root.join(LOGS);
    let left = |name: &String| !is_dangling(&logs.join(name));
    found.extend(names(&logs).into_iter().filter(left).filter_map(|name| MigMaster::of_log(&name)));
    found
}

fn of_link(folder: &str, name: &str) -> Option<(MigMaster, String)> {
    Some((MigMaster::of_link(folder, name)?, name.to_owned()))
}

fn names(folder: &Path) -> Vec<String> {
    let listed = read_dir(folder).into_iter().flatten().flatten().take(NAMES_MAX);
    let mut names: Vec<String> = listed.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn is_masked(unit: &Path) -> bool {
    read_link(unit).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// Of a container that is gone the link can be left. One whose log may not be looked at is there.
fn is_dangling(link: &Path) -> bool {
    std::fs::metadata(link).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
