//! Mounts at and below `/run/nvidia`, read from `/proc/<pid>/mountinfo` (proc_pid_mountinfo(5)): which lies on which, and who shares it.

use serde::{Deserialize, Serialize};

/// The folder that NVIDIA's containers share with the host.
pub const RUN_NVIDIA: &str = "/run/nvidia";

/// Where a driver container mounts its root file system.
pub const DRIVER_ROOT: &str = "/run/nvidia/driver";

/// The file below [`RUN_NVIDIA`] that shows that gpuhostd has mounted it on itself. It goes with the next boot, as the mount does.
pub const SHARED_BY_US: &str = ".gpuhostd-shared";

/// A host with thousands of containers has some ten thousand mounts, of 200 bytes each.
pub const MOUNTINFO_MAX_BYTES: usize = 16 * 1024 * 1024;
/// A container's root has some forty mounts, each of them once for each restart that stacked it.
const KEPT_MAX: usize = 4096;
/// No mount point can be longer (`PATH_MAX`).
const PATH_MAX_BYTES: usize = 4096;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Its number in the kernel.
    pub id: u32,
    /// The number of the mount that it is on.
    pub parent: u32,
    /// Where it is, with its escapes (`\040`) resolved.
    pub point: String,
    /// Peer group in which its mounts are shared; `None` where it shares none.
    pub shared: Option<u32>,
    /// Peer group from which it receives mounts (a mount namespace that follows the host's).
    pub master: Option<u32>,
}

/// What is mounted where NVIDIA's containers share files with the host, in the order of the kernel: a later one on the same
/// point hides the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunNvidiaMounts {
    /// The mount that holds `/run/nvidia` (often `/run`), or the one at `/run/nvidia` itself; `None` where none could be read.
    pub holder: Option<Mount>,
    /// Mounts at `/run/nvidia` itself.
    pub at: Vec<Mount>,
    /// Mounts below it.
    pub below: Vec<Mount>,
    /// Lines that could not be read, or were more than are kept.
    pub skipped: usize,
}

impl RunNvidiaMounts {
    /// Reads the text of a mountinfo file. Any bytes will do: a line that is not one of the kernel's is counted and skipped.
    #[must_use]
    pub fn read(mountinfo: &[u8]) -> Self {
        let mut mounts = Self::default();
        for line in mountinfo.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match mount(line) {
                Some(mount) => mounts.take(mount),
                None => mounts.skipped = mounts.skipped.saturating_add(1),
            }
        }
        mounts
    }

    fn take(&mut self, mount: Mount) {
        let is_above = is_below(RUN_NVIDIA, &mount.point);
        if mount.point == RUN_NVIDIA || is_above {
            // The deepest one holds it, and of several at one point the last.
            let deeper = self.holder.as_ref().is_none_or(|held| held.point.len() <= mount.point.len());
            if deeper {
                self.holder = Some(mount.clone());
            }
        }
        let list = if mount.point == RUN_NVIDIA {
            &mut self.at
        } else if is_below(&mount.point, RUN_NVIDIA) {
            &mut self.below
        } else {
            return;
        };
        if list.len() < KEPT_MAX { list.push(mount) } else { self.skipped = self.skipped.saturating_add(1) }
    }

    /// True where what a container mounts below `/run/nvidia` arrives on the host; `None` where the holder is not known.
    #[must_use]
    pub fn is_shared(&self) -> Option<bool> {
        self.holder.as_ref().map(|holder| holder.shared.is_some())
    }

    /// How many mounts lie on one another at a point.
    #[must_use]
    pub fn layers(&self, point: &str) -> usize {
        self.at.iter().chain(&self.below).filter(|mount| mount.point == point).count()
    }

    /// True where a driver container's root is mounted.
    #[must_use]
    pub fn has_driver_root(&self) -> bool {
        self.layers(DRIVER_ROOT) > 0
    }
}

/// True where `path` is below `folder`, not where it is the folder itself.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// `36 35 98:0 /root /mount\040point rw,noatime shared:1 master:2 - ext4 /dev/x rw`.
fn mount(line: &[u8]) -> Option<Mount> {
    let line = std::str::from_utf8(line).ok()?;
    let mut columns = line.split(' ');
    let (id, parent) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
    let (_device, _root, point, _options) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let point = unescaped(point).filter(|point| point.starts_with('/'))?;
    let (mut shared, mut master, mut ended) = (None, None, false);
    for field in columns {
        if field == "-" {
            ended = true;
            break;
        }
        if let Some(group) = field.strip_prefix("shared:") {
            shared = Some(group.parse().ok()?);
        } else if let Some(group) = field.strip_prefix("master:") {
            master = Some(group.parse().ok()?);
        }
    }
    ended.then_some(Mount { id, parent, point, shared, master })
}

/// The kernel writes space, tab, newline and backslash as three octal digits (`mangle_path`). `None` for what it cannot have written.
fn unescaped(text: &str) -> Option<String> {
    if text.len() > PATH_MAX_BYTES.saturating_mul(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = others;
            continue;
        }
        let (digits, others) = others.split_at_checked(3)?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        bytes.push(u8::from_str_radix(digits, 8).ok()?);
        rest = others;
    }
    String::from_utf8(bytes).ok().filter(|path| path.len() <= PATH_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A systemd machine: everything is shared.
    const HOST: &str = "22 28 0:21 / /proc rw - proc proc rw\n\
        28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        31 28 0:25 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=1k,mode=755\n\
        32 31 0:26 / /run/lock rw shared:6 - tmpfs tmpfs rw\n";

    fn read(more: &str) -> RunNvidiaMounts {
        RunNvidiaMounts::read(format!("{HOST}{more}").as_bytes())
    }

    #[test]
    fn the_deepest_mount_above_holds_it() {
        let mounts = read("");
        assert_eq!(mounts.holder.as_ref().unwrap().point, "/run");
        assert_eq!((mounts.is_shared(), mounts.skipped), (Some(true), 0));
        let private = RunNvidiaMounts::read(b"1 0 254:0 / / rw - ext4 /dev/vda rw\n");
        assert_eq!((private.holder.as_ref().unwrap().point.as_str(), private.is_shared()), ("/", Some(false)));
        let bound = read("40 31 0:25 /nvidia /run/nvidia rw shared:5 - tmpfs tmpfs rw\n");
        assert_eq!((bound.holder.as_ref().unwrap().id, bound.at.len()), (40, 1));
        // A second one on top, which is private, is the one that counts.
        let twice =
            read("40 31 0:25 / /run/nvidia rw shared:5 - tmpfs t rw\n41 40 0:9 / /run/nvidia rw - tmpfs t rw\n");
        assert_eq!((twice.is_shared(), twice.layers(RUN_NVIDIA)), (Some(false), 2));
        assert_eq!(RunNvidiaMounts::read(b"").is_shared(), None);
    }

    #[test]
    fn each_restart_of_a_killed_container_adds_a_layer() {
        let layer = "50 31 0:60 / /run/nvidia/driver rw shared:9 - overlay overlay rw\n\
            51 50 0:4 / /run/nvidia/driver/proc rw shared:10 - proc proc rw\n";
        let mounts = read(&layer.repeat(3));
        assert_eq!((mounts.layers("/run/nvidia/driver"), mounts.below.len()), (3, 6));
        assert!(mounts.has_driver_root() && !read("").has_driver_root());
    }

    #[test]
    fn neighbours_are_not_below_it() {
        let mounts =
            read("60 31 0:7 / /run/nvidia-persistenced rw - tmpfs t rw\n61 31 0:8 / /run/nvidiax/y rw - tmpfs t rw\n");
        assert!(mounts.at.is_empty() && mounts.below.is_empty());
        assert!(is_below("/run/nvidia/x", "/run/nvidia") && is_below("/x", "/") && !is_below("/", "/"));
        assert!(!is_below("/run/nvidia", "/run/nvidia") && !is_below("/run/nvidia/", "/run/nvidia"));
    }

    #[test]
    fn escapes_are_resolved_and_bad_lines_counted() {
        let mounts = read("70 31 0:7 / /run/nvidia/a\\040b\\134c rw - tmpfs t rw\n");
        assert_eq!(mounts.below.first().unwrap().point, "/run/nvidia/a b\\c");
        for bad in [
            "x",
            "70 31 0:7 / /run/nvidia/x rw shared:1",
            "70 31 0:7 / /run/nvidia/\\04 rw - t t rw",
            "70 31 0:7 / /run/nvidia/\\999 rw - t t rw",
            "70 31 0:7 / /run/nvidia/\\377 rw - t t rw",
            "70 31 0:7 / relative rw - t t rw",
            "-1 31 0:7 / /run/nvidia/x rw - t t rw",
            "70 31 0:7 / /run/nvidia/x rw shared:x - t t rw",
            "99999999999 31 0:7 / /run/nvidia/x rw - t t rw",
        ] {
            let mounts = read(&format!("{bad}\n"));
            assert_eq!((mounts.skipped, mounts.below.len()), (1, 0), "{bad}");
        }
    }

    #[test]
    fn a_flood_is_bounded() {
        let line = "50 31 0:60 / /run/nvidia/driver rw shared:9 - overlay overlay rw\n";
        let mounts = read(&line.repeat(KEPT_MAX + 7));
        assert_eq!((mounts.below.len(), mounts.skipped), (KEPT_MAX, 7));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_none_is_kept_that_is_elsewhere(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mounts = RunNvidiaMounts::read(&bytes);
            prop_assert!(mounts.below.iter().all(|mount| is_below(&mount.point, RUN_NVIDIA)));
        }

        #[test]
        fn lines_like_the_kernels_are_read(
            text in "([0-9]{1,11} [0-9]{1,3} 0:[0-9] / /run(/nvidia(/[a-z\\\\0-7]{0,9}){0,3})? rw( shared:[0-9]{1,11})?( master:[0-9])?( -)? t t rw\n){0,9}"
        ) {
            let mounts = RunNvidiaMounts::read(text.as_bytes());
            let lines = text.lines().count();
            prop_assert!(mounts.skipped + mounts.at.len() + mounts.below.len() <= lines);
            prop_assert_eq!(mounts.is_shared().is_some(), mounts.holder.is_some());
        }
    }
}
