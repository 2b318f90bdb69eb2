//! The files of a container's control groups, of version 2 or 1, where Docker places them.

use super::store::read_bounded;
use model::ids::ContainerId;
use model::workspace_life::CgroupFigures;
use std::path::{Path, PathBuf};

/// Largest file that is read: `memory.stat` has a few kilobytes, `io.stat` a line for each disk.
const FILE_MAX_BYTES: usize = 256 * 1024;

/// What they show below this folder (`/sys/fs/cgroup`); `None` where there are none of it. Blocking.
#[must_use]
pub fn cgroup_figures(root: &Path, container: &ContainerId) -> Option<CgroupFigures> {
    let is_unified = root.join("cgroup.controllers").exists();
    let id = container.as_str();
    // By Docker itself, and by systemd. A `cgroup-parent` of Docker's configuration is not followed.
    let places = [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")];
    let below = |controller: &str, place: &str| -> PathBuf { root.join(controller).join(place) };
    let first = if is_unified { "" } else { "memory" };
    let place = places.iter().find(|place| below(first, place).is_dir())?;
    Some(CgroupFigures::read(is_unified, |file| {
        let (controller, name) = file.name(is_unified);
        let bytes = read_bounded(&below(controller, place).join(name), FILE_MAX_BYTES).ok()?;
        String::from_utf8(bytes).ok()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn docker_and_systemd_place_them_differently_in_both_versions() {
        let id: ContainerId = "ab".repeat(32).parse().unwrap();
        let systemd = format!("system.slice/docker-{id}.scope", id = id.as_str());
        let docker = format!("docker/{id}", id = id.as_str());
        for (is_unified, place) in [(true, &systemd), (true, &docker), (false, &systemd), (false, &docker)] {
            let root = tempfile::tempdir().unwrap();
            assert_eq!(cgroup_figures(root.path(), &id), None);
            let of = |controller: &str| root.path().join(if is_unified { "" } else { controller }).join(place);
            for controller in ["memory", "pids"] {
                create_dir_all(of(controller)).unwrap();
            }
            write(of("pids").join("pids.current"), "7\n").unwrap();
            if is_unified {
                write(root.path().join("cgroup.controllers"), "memory pids\n").unwrap();
                write(of("memory").join("memory.current"), "4096\n").unwrap();
            } else {
                write(of("memory").join("memory.usage_in_bytes"), "4096\n").unwrap();
            }
            let expected = CgroupFigures { memory_bytes: Some(4096), pids: Some(7), ..CgroupFigures::default() };
            assert_eq!(cgroup_figures(root.path(), &id), Some(expected), "{is_unified} {place}");
        }
    }
}
