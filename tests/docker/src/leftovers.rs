//! What an engine leaves when it is killed: processes in its control groups, and shims whose command lines name its folder.

use crate::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// The control group of an engine's containers, in each hierarchy.
fn groups(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let mut tops = vec![top.to_owned()];
    if !top.join("cgroup.controllers").exists() {
        tops.extend(fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    tops.into_iter().map(|top| top.join(name)).filter(|group| group.is_dir()).collect()
}

/// A folder and all below it, the deepest first.
fn deepest_first(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            deepest_first(&entry.path(), found);
        }
    }
    found.push(folder.to_owned());
}

/// Kills every process of the containers.
pub(crate) fn kill_containers(name: &str) {
    for group in groups(name) {
        let mut below = Vec::new();
        deepest_first(&group, &mut below);
        for group in below {
            // What is frozen takes no signal.
            let _ran = fs::write(group.join("freezer.state"), "THAWED");
            let _ran = fs::write(group.join("cgroup.freeze"), "0");
            let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for pid in members.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1) {
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// Kills what still runs with this folder in its command line, this process excepted.
pub(crate) fn kill_by_folder(folder: &Path) {
    let folder = folder.as_os_str().as_encoded_bytes();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_ours = arguments.windows(folder.len()).any(|window| window == folder);
        if is_ours && pid > 1 && u32::try_from(pid) != Ok(std::process::id()) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Removes the control groups, once nothing is in them.
pub(crate) fn remove_groups(name: &str) {
    until("the control groups to be empty", || {
        kill_containers(name);
        for group in groups(name) {
            let mut below = Vec::new();
            deepest_first(&group, &mut below);
            for group in below {
                let _gone = fs::remove_dir(group);
            }
        }
        groups(name).is_empty().then_some(())
    });
}
