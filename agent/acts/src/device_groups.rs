//! Which group may open each device file that a workspace can be given: its number is another one on each host.

use model::os_cause::OsCause;
use model::ports::ActError;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Device files that are not a GPU's.
const SINGLE: [&str; 3] = ["kvm", "net/tun", "dxg"];
/// More than any host has.
const MOST: usize = 1024;

/// Those below this `/dev`.
///
/// # Errors
/// They could not be looked at.
pub async fn list(dev: PathBuf) -> Result<BTreeMap<String, u32>, ActError> {
    let looked = tokio::task::spawn_blocking(move || groups(&dev)).await;
    looked.map_err(|broken| ActError::Refused {
        attempted: "list the groups of device files".to_owned(),
        cause: OsCause::found(broken.to_string()),
    })
}

fn groups(dev: &Path) -> BTreeMap<String, u32> {
    let of_drm = std::fs::read_dir(dev.join("dri")).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = SINGLE.iter().map(|name| dev.join(name)).chain(of_drm).take(MOST);
    let group = |path: PathBuf| {
        let found = std::fs::symlink_metadata(&path).ok().filter(|found| found.file_type().is_char_device())?;
        let below = path.strip_prefix(dev).ok()?;
        Some((Path::new("/dev").join(below).to_str()?.to_owned(), found.gid()))
    };
    all.filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    use nix::unistd::{Gid, chown, geteuid};
    use std::os::unix::fs::symlink;

    #[test]
    fn the_group_is_the_files_own_whatever_its_name_and_links_are_none() {
        if !geteuid().is_root() {
            println!("SKIPPED: only root makes device files");
            return;
        }
        let dev = tempfile::tempdir().unwrap();
        std::fs::create_dir(dev.path().join("dri")).unwrap();
        std::fs::create_dir(dev.path().join("dri/by-path")).unwrap();
        for (name, gid) in [("kvm", 104), ("dri/card1", 44), ("dri/renderD129", 109)] {
            let path = dev.path().join(name);
            mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o660), makedev(226, 1)).unwrap();
            chown(&path, None, Some(Gid::from_raw(gid))).unwrap();
        }
        symlink("card1", dev.path().join("dri/card0")).unwrap();
        std::fs::write(dev.path().join("dxg"), "").unwrap();
        let expected = [("/dev/dri/card1", 44), ("/dev/dri/renderD129", 109), ("/dev/kvm", 104)];
        assert_eq!(groups(dev.path()), expected.map(|(path, gid)| (path.to_owned(), gid)).into());
        assert!(groups(Path::new("/nonexistent")).is_empty());
    }
}
