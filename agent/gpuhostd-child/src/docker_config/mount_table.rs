//! Where a path leads in the mount namespace of a process: the device and the path on it, from `/proc/PID/mountinfo` (`proc(5)`).
//!
//! The links `/proc/PID/root` and `/proc/PID/ns/mnt` would answer it at once, but the kernel shows them only to a process with all the
//! capabilities of the other one, and the host hand has none.

use std::path::{Path, PathBuf};

/// A file or directory, regardless of where its file system is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OnDevice {
    /// `MAJOR:MINOR`.
    device: String,
    path: PathBuf,
}

/// Where `path`, which has no links, leads; `None` where no mount of the table holds it: the process has another root directory.
pub(super) fn on_device(mountinfo: &str, path: &Path) -> Option<OnDevice> {
    let mounts = mountinfo.lines().filter_map(mount);
    // Of two mounts at one place the later one hides the earlier one.
    let (device, root, point) = mounts
        .filter(|(_, _, point)| path.starts_with(point))
        .max_by_key(|(_, _, point)| point.components().count())?;
    let below = path.strip_prefix(point).ok()?;
    let path = if below.as_os_str().is_empty() { root } else { root.join(below) };
    Some(OnDevice { device, path })
}

/// `ID PARENT MAJOR:MINOR ROOT POINT …`.
fn mount(line: &str) -> Option<(String, PathBuf, PathBuf)> {
    let mut fields = line.split(' ').skip(2);
    let device = fields.next()?.to_owned();
    Some((device, unescaped(fields.next()?), unescaped(fields.next()?)))
}

/// Space, tab, line feed and backslash are written as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.into_iter().fold(field.to_owned(), |text, (from, to)| text.replace(from, to)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:20 / /proc rw - proc proc rw\n";

    fn same(one: &str, other: &str, path: &str) -> bool {
        let found = on_device(one, Path::new(path));
        found.is_some() && found == on_device(other, Path::new(path))
    }

    #[test]
    fn a_bind_mount_of_the_same_directory_leads_to_the_same_file() {
        let sandbox = "90 1 8:1 / / ro - ext4 /dev/sda1 rw\n91 90 8:1 /etc/docker /etc/docker rw - ext4 /dev/sda1 rw\n";
        assert!(same(HOST, sandbox, "/etc/docker/daemon.json"));
        let sub_volume = "22 1 0:30 /@ / rw - btrfs /dev/sda1 rw\n";
        let bound = "22 1 0:30 /@ / ro - btrfs x rw\n91 90 0:30 /@/etc/docker /etc/docker rw - btrfs x rw\n";
        assert!(same(sub_volume, bound, "/etc/docker"));
    }

    #[test]
    fn another_root_or_something_mounted_over_it_is_another_file() {
        for other in [
            "90 1 0:44 / / rw - overlay overlay rw\n",
            "90 1 8:1 /srv/root / rw - ext4 /dev/sda1 rw\n",
            "90 1 8:1 / / rw - ext4 x rw\n91 90 0:45 / /etc/docker rw - tmpfs tmpfs rw\n",
            "90 1 8:1 / / rw - ext4 x rw\n91 90 8:1 /etc/docker /etc/docker rw - ext4 x rw\n92 91 0:45 / /etc/docker rw - tmpfs t rw\n",
            // chroot(2) into a directory that is no mount point: the mounts above it are not listed.
            "23 22 0:20 / /proc rw - proc proc rw\n",
            "",
        ] {
            assert!(!same(HOST, other, "/etc/docker/daemon.json"), "{other}");
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_below_a_mount() {
        let table = format!("{HOST}30 22 0:50 / /etc/dock rw - tmpfs t rw\n31 22 8:2 / /a\\040b rw - ext4 x rw\n");
        assert!(same(HOST, &table, "/etc/docker"));
        assert_eq!(on_device(&table, Path::new("/a b/c")).unwrap().device, "8:2");
    }
}
