//! What is mounted and unmounted at `/run/nvidia`, one layer at a time: before a driver container starts, and after it is disabled.

use super::mounts::{RUN_NVIDIA, RunNvidiaMounts};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a mount is detached at once although something uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LazyUnmountReason {
    /// An unmount was refused since a process uses it, and the container that it belongs to has gone: what uses it keeps it,
    /// and no other process finds it any more.
    InUseOfGoneContainer,
}

impl LazyUnmountReason {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::InUseOfGoneContainer => "a process still uses it, and the container that mounted it is gone",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum MountStep {
    /// Mount `/run/nvidia` on itself, shared, so that what a container mounts below arrives on the host.
    ShareRunNvidia,
    /// Take the mount at `/run/nvidia` itself away again.
    UnshareRunNvidia,
    /// Unmount the upmost layer at a path below `/run/nvidia`.
    Unmount {
        /// The path.
        path: String,
        /// Detach it although it is in use, and why. With what is mounted below it.
        lazily: Option<LazyUnmountReason>,
    },
}

impl fmt::Display for MountStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShareRunNvidia => write!(f, "mount {RUN_NVIDIA} on itself, shared"),
            Self::UnshareRunNvidia => write!(f, "unmount {RUN_NVIDIA}"),
            Self::Unmount { path, lazily: None } => write!(f, "unmount {path}"),
            Self::Unmount { path, lazily: Some(why) } => write!(f, "detach {path} ({})", why.words()),
        }
    }
}

/// What umount(8) reports of a mount that is in use, among other words.
pub const BUSY_MOUNT: &str = "target is busy";

/// True if this is the answer to an unmount of something that is in use: then [`next_unmount`] may detach it.
#[must_use]
pub fn is_busy_mount(answer: &str) -> bool {
    answer.contains(BUSY_MOUNT)
}

/// What a driver container needs before it starts: `/run/nvidia` shared. Nothing where it is, or where that is not known.
#[must_use]
pub fn share_plan(mounts: &RunNvidiaMounts) -> Vec<MountStep> {
    match mounts.is_shared() {
        Some(false) => vec![MountStep::ShareRunNvidia],
        Some(true) | None => Vec::new(),
    }
}

/// The next step towards nothing mounted below `/run/nvidia`; `None` where nothing is. To be asked again after each step, with the
/// mounts as they are then. `refused` is the path whose unmount the host has just refused as in use ([`is_busy_mount`]).
///
/// The latest mount goes first: it is the deepest, and the upmost of those on the same point.
#[must_use]
pub fn next_unmount(mounts: &RunNvidiaMounts, refused: Option<&str>) -> Option<MountStep> {
    let last = upmost(mounts)?;
    let lazily = refused.is_some_and(|path| path == last).then_some(LazyUnmountReason::InUseOfGoneContainer);
    Some(MountStep::Unmount { path: last.to_owned(), lazily })
}

/// The step that undoes [`MountStep::ShareRunNvidia`] where gpuhostd has made it (`ours`, `DriverHostFacts::run_nvidia_is_ours`), once
/// nothing is mounted below.
#[must_use]
pub fn unshare_step(mounts: &RunNvidiaMounts, ours: bool) -> Option<MountStep> {
    (ours && mounts.below.is_empty() && !mounts.at.is_empty()).then_some(MountStep::UnshareRunNvidia)
}

/// A mount that no other one lies on. Of stacked layers the kernel lists the upmost last, and each layer is the parent of what
/// is mounted on it; lines that lie about that still lead to some mount that is there.
fn upmost(mounts: &RunNvidiaMounts) -> Option<&str> {
    let is_parent = |id: u32| mounts.below.iter().any(|mount| mount.parent == id && mount.id != id);
    let free = mounts.below.iter().rev().find(|mount| !is_parent(mount.id));
    free.or(mounts.below.last()).map(|mount| mount.point.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: &str =
        "28 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n31 28 0:25 / /run rw shared:5 - tmpfs tmpfs rw\n";

    fn read(more: &str) -> RunNvidiaMounts {
        RunNvidiaMounts::read(format!("{HOST}{more}").as_bytes())
    }

    /// The kernel's side: the upmost mount at a path goes, where nothing is on it or all of it is detached.
    fn unmount(text: &str, path: &str) -> String {
        let mut lines: Vec<&str> = text.lines().collect();
        let column = |line: &str, n: usize| line.split(' ').nth(n).unwrap_or_default().to_owned();
        let at = lines.iter().rposition(|line| column(line, 4) == path).expect("it is mounted");
        let id = column(lines[at], 0);
        assert!(!lines.iter().any(|line| column(line, 1) == id), "{path} is in use: {text}");
        lines.remove(at);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn only_what_is_not_shared_is_shared() {
        assert!(share_plan(&read("")).is_empty());
        let private = RunNvidiaMounts::read(b"1 0 254:0 / / rw - ext4 /dev/vda rw\n");
        assert_eq!(share_plan(&private), [MountStep::ShareRunNvidia]);
        // A namespace that follows the host's, without a group of its own, passes nothing on.
        let slave = RunNvidiaMounts::read(b"1 0 254:0 / / rw master:1 - ext4 /dev/vda rw\n");
        assert_eq!(share_plan(&slave), [MountStep::ShareRunNvidia]);
        assert!(share_plan(&RunNvidiaMounts::default()).is_empty(), "nothing is known");
    }

    #[test]
    fn stacked_layers_go_one_by_one_the_deepest_first() {
        let mut text = "50 31 0:60 / /run/nvidia/driver rw shared:9 - overlay o rw\n\
            51 50 0:4 / /run/nvidia/driver/proc rw shared:10 - proc p rw\n\
            52 51 0:4 / /run/nvidia/driver/proc/sys rw shared:10 - proc p rw\n\
            53 50 0:61 / /run/nvidia/driver rw shared:11 - overlay o rw\n\
            54 53 0:4 / /run/nvidia/driver/proc rw shared:12 - proc p rw\n"
            .to_owned();
        let mut taken = Vec::new();
        while let Some(step) = next_unmount(&read(&text), None) {
            let MountStep::Unmount { path, lazily: None } = step else { panic!("{step:?}") };
            text = unmount(&text, &path);
            taken.push(path);
        }
        let driver = "/run/nvidia/driver";
        assert_eq!(
            taken,
            [&format!("{driver}/proc"), driver, &format!("{driver}/proc/sys"), &format!("{driver}/proc"), driver]
        );
        assert!(text.is_empty());
    }

    #[test]
    fn it_is_detached_only_where_its_own_unmount_was_refused() {
        let mounts = read("50 31 0:60 / /run/nvidia/driver rw shared:9 - overlay o rw\n");
        let step = |refused| next_unmount(&mounts, refused).unwrap();
        let lazily = Some(LazyUnmountReason::InUseOfGoneContainer);
        assert_eq!(step(None), MountStep::Unmount { path: "/run/nvidia/driver".to_owned(), lazily: None });
        assert_eq!(
            step(Some("/run/nvidia/driver")),
            MountStep::Unmount { path: "/run/nvidia/driver".to_owned(), lazily }
        );
        assert_eq!(
            step(Some("/run/nvidia/other")),
            MountStep::Unmount { path: "/run/nvidia/driver".to_owned(), lazily: None }
        );
        assert_eq!(next_unmount(&read(""), None), None);
    }

    #[test]
    fn only_a_mount_of_ours_is_taken_back_and_last() {
        let bound = "40 31 0:25 /nvidia /run/nvidia rw shared:5 - tmpfs t rw\n";
        assert_eq!(unshare_step(&read(bound), true), Some(MountStep::UnshareRunNvidia));
        assert_eq!(unshare_step(&read(bound), false), None);
        assert_eq!(unshare_step(&read(""), true), None);
        let driver = "50 40 0:60 / /run/nvidia/driver rw - overlay o rw\n";
        assert_eq!(unshare_step(&read(&format!("{bound}{driver}")), true), None);
        assert_eq!(next_unmount(&read(bound), None), None, "it is not below itself");
    }

    proptest! {
        #[test]
        fn a_plan_names_only_what_is_mounted_below(rows in proptest::collection::vec((0u32..9, 0u32..9, 0usize..3), 0..20)) {
            let lines = rows.iter().map(|(id, parent, depth)| format!("{id} {parent} 0:1 / /run/nvidia{} rw - t t rw\n", "/x".repeat(*depth)));
            let mounts = RunNvidiaMounts::read(lines.collect::<String>().as_bytes());
            match next_unmount(&mounts, None) {
                Some(MountStep::Unmount { path, .. }) => prop_assert!(mounts.layers(&path) > 0 && path.starts_with("/run/nvidia/")),
                other => prop_assert!(other.is_none() && mounts.below.is_empty()),
            }
        }
    }
}
