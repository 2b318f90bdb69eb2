//! Which driver's libraries a container has mounted, from its mount table, and which workspaces have those of another driver than the
//! one that is loaded.

use crate::condition::{Condition, ConditionStatus};
use crate::time::UnixMillis;
use crate::workspace::WorkspaceId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Type of the condition.
pub const STALE_DRIVER: &str = "stale_driver";
/// Longest mount table that is read, in bytes.
pub const CONTAINER_MOUNTS_MAX_BYTES: usize = 1 << 20;
/// So many workspaces are named; the others are counted.
const NAMED_MOST: usize = 8;
/// Libraries that carry the version of their driver in their name and are in every container with a GPU.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.", "libcuda.so."];

/// The libraries that the mount table of a process shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverLibraries {
    /// The process.
    pub pid: u32,
    /// Versions of the driver that they are of; empty where none is mounted, or the process has ended.
    pub versions: BTreeSet<String>,
}

/// A workspace that keeps the libraries of another driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleWorkspace {
    /// Which one.
    pub workspace: WorkspaceId,
    /// The driver whose libraries it has.
    pub has: String,
}

/// The versions in `/proc/PID/mountinfo` (`proc(5)`): NVIDIA's runtime and CDI mount each library as a file of its own, under its name with
/// the version.
#[must_use]
pub fn library_versions(mountinfo: &str) -> BTreeSet<String> {
    let version = |line: &str| {
        let mounted_at = line.split(' ').nth(4)?;
        let name = mounted_at.rsplit('/').next()?;
        let version = LIBRARIES.iter().find_map(|library| name.strip_prefix(library))?;
        // `libcuda.so.1` is a link, and no version of a driver.
        let is_version = version.contains('.') && version.split('.').all(|part| part.parse::<u32>().is_ok());
        is_version.then(|| version.to_owned())
    };
    mountinfo.lines().filter_map(version).collect()
}

/// The workspaces that have libraries, and none of the loaded driver.
#[must_use]
pub fn stale_workspaces(running: &[(WorkspaceId, u32)], seen: &[DriverLibraries], loaded: &str) -> Vec<StaleWorkspace> {
    let of = |(workspace, pid): &(WorkspaceId, u32)| {
        let versions = &seen.iter().find(|one| one.pid == *pid)?.versions;
        let has = versions.iter().next_back().filter(|_| !versions.contains(loaded))?;
        Some(StaleWorkspace { workspace: workspace.clone(), has: has.clone() })
    };
    running.iter().filter_map(of).collect()
}

/// The condition that names them; `None` where there is none.
#[must_use]
pub fn stale_condition(stale: &[StaleWorkspace], loaded: &str, now: UnixMillis) -> Option<Condition> {
    let first = stale.first()?;
    let named = stale.iter().take(NAMED_MOST).map(|one| format!("{} (driver {})", one.workspace, one.has));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match stale.len().saturating_sub(NAMED_MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "driver {loaded} is loaded, and these workspaces keep the libraries of another one until they are started again: {named}{more}; what begins \
         to use a GPU in them fails with `Driver/library version mismatch`: `gpuhostctl workspaces stop {id}`, then `gpuhostctl workspaces \
         start {id}`",
        id = first.workspace
    );
    Some(Condition {
        kind: STALE_DRIVER.to_owned(),
        status: ConditionStatus::True,
        reason: "driver_changed".to_owned(),
        message,
        since: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str) -> String {
        format!("2153 2140 254:1 /usr/lib/x {at} ro,nosuid,nodev,relatime master:1 - ext4 /dev/vda1 rw")
    }

    #[test]
    fn versions_are_those_of_the_mounted_libraries() {
        let table = [
            line("/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14"),
            line("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.54.14"),
            line("/usr/lib64/libcuda.so.1"),
            line("/usr/lib64/libcudart.so.12.4"),
            line("/data/libcuda.so.550.54.14.bak"),
            line("/proc/driver/nvidia"),
            "short line".to_owned(),
            String::new(),
        ];
        assert_eq!(library_versions(&table.join("\n")), BTreeSet::from(["550.54.14".to_owned()]));
        assert!(library_versions(&line("/usr/bin/nvidia-smi")).is_empty());
    }

    #[test]
    fn a_workspace_is_stale_where_it_has_libraries_and_none_of_the_loaded_driver() {
        let id = |text: &str| text.parse::<WorkspaceId>().unwrap();
        let has = |pid, versions: &[&str]| DriverLibraries {
            pid,
            versions: versions.iter().map(|one| (*one).to_owned()).collect(),
        };
        let running = [(id("old"), 1), (id("new"), 2), (id("without"), 3), (id("gone"), 4), (id("both"), 5)];
        let seen = [has(1, &["550.54.14"]), has(2, &["580.126.16"]), has(3, &[]), has(5, &["550.54.14", "580.126.16"])];
        let stale = stale_workspaces(&running, &seen, "580.126.16");
        assert_eq!(stale, [StaleWorkspace { workspace: id("old"), has: "550.54.14".to_owned() }]);
        let condition = stale_condition(&stale, "580.126.16", UnixMillis(1)).unwrap();
        for words in ["old (driver 550.54.14)", "580.126.16 is loaded", "gpuhostctl workspaces stop old"] {
            assert!(condition.message.contains(words), "{}", condition.message);
        }
        assert_eq!(stale_condition(&[], "580.126.16", UnixMillis(1)), None);
        let many: Vec<StaleWorkspace> =
            (0..40).map(|one| StaleWorkspace { workspace: id(&format!("w{one}")), has: "1.2".to_owned() }).collect();
        assert!(stale_condition(&many, "2.0", UnixMillis(1)).unwrap().message.contains("and 32 more"));
    }
}
