//! Gives the MIG monitor capability of NVIDIA's driver a name of its own in `/dev`, by which a unit can be allowed to open it.
//!
//! The driver numbers its capabilities itself (`nv_cap_tables_init`; the numbers are in `/proc/driver/nvidia-caps/mig-minors`), and one
//! of its numbers, `config`, lets its opener cut a GPU up. A unit names device files only by path or by whole major number. So the
//! path must be one that leads to the monitor and to nothing else, whatever the numbers are: a link that is made again before each
//! start of the hand. Where anything is unclear it leads to `/dev/null`.

use nix::sys::stat::{major, minor};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// The one argument of the child that is to make the link.
pub(crate) const WORD: &str = "name-mig-monitor";
/// Folder and name of the link below `/dev`; `systemd/gpuhostd-host.service` has them too.
const LINK: (&str, &str) = ("gpuhostd", "mig-monitor");

/// Makes the link on this host. Blocking.
pub(crate) fn make() -> Result<(), String> {
    let made = link(Path::new("/proc"), Path::new("/dev"));
    made.map(|_| ()).map_err(|error| format!("cannot make /dev/{}/{}: {error}", LINK.0, LINK.1))
}

/// Makes the link, and reports where it leads.
fn link(proc: &Path, dev: &Path) -> io::Result<PathBuf> {
    let target = monitor(proc, dev).unwrap_or_else(|| dev.join("null"));
    let folder = dev.join(LINK.0);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let (draft, name) = (folder.join(format!(".{}.new", LINK.1)), folder.join(LINK.1));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    symlink(&target, &draft)?;
    fs::rename(&draft, &name)?;
    Ok(target)
}

/// The node of the monitor capability, where there is one and its number is beyond doubt.
fn monitor(proc: &Path, dev: &Path) -> Option<PathBuf> {
    let number = monitor_minor(&fs::read_to_string(proc.join("driver/nvidia-caps/mig-minors")).ok()?)?;
    let driver = caps_major(&fs::read_to_string(proc.join("devices")).ok()?)?;
    let node = dev.join("nvidia-caps").join(format!("nvidia-cap{number}"));
    // Nothing but the node itself: a link could lead to another capability.
    let about = fs::symlink_metadata(&node).ok()?;
    let is_it = about.file_type().is_char_device() && (major(about.rdev()), minor(about.rdev())) == (driver, number);
    is_it.then_some(node)
}

/// The number after `monitor`, where that word occurs once and no other capability has the number.
fn monitor_minor(text: &str) -> Option<u64> {
    let rows = || text.lines().filter_map(|line| line.trim().rsplit_once(' '));
    let mut named = rows().filter(|(name, _)| *name == "monitor");
    let (_, number) = named.next().filter(|_| named.next().is_none())?;
    let number: u64 = number.parse().ok()?;
    let others = rows().filter(|(name, other)| *name != "monitor" && other.parse() == Ok(number));
    (others.count() == 0).then_some(number)
}

/// The major number of the character devices `nvidia-caps`.
fn caps_major(text: &str) -> Option<u64> {
    let characters = text.lines().skip_while(|line| line.trim() != "Character devices:").skip(1);
    let mut rows = characters.take_while(|line| !line.trim().is_empty()).filter_map(|line| line.trim().split_once(' '));
    rows.find(|(_, name)| *name == "nvidia-caps").and_then(|(number, _)| number.parse().ok())
}

#[cfg(test)]
mod tests;
