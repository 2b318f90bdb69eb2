//! Shows when a file may have changed: the kernel shows what happens in its folder, and in the folder of the file that it links to.

use crate::readiness;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// A watch over one file, for one event: after it the file may be another one in another folder, and a new watch is made. Events
/// count from the moment in which it was made, so anyone who reads the file afterwards misses none.
pub struct FileWatch {
    events: Inotify,
    /// The same descriptor a second time: what the poller watches.
    ready: AsyncFd<OwnedFd>,
    names: Names,
}

/// Whose events matter.
#[derive(Debug)]
enum Names {
    /// All that happens in the folder.
    All,
    /// Files of these names.
    These(Vec<OsString>),
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWatch").field("names", &self.names).finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Watches the file. Neither it nor its folder need be there: the coming of a folder on the way to it is an event. Reads the file system, and needs a running Tokio runtime.
    ///
    /// # Errors
    /// A folder on the way to it cannot be watched, or the kernel gives no watch (`fs.inotify.max_user_instances`).
    pub fn of(path: &Path) -> io::Result<Self> {
        let events = listening()?;
        let real = std::fs::canonicalize(path).ok();
        let mut names = Vec::new();
        for file in [Some(path), real.as_deref()].into_iter().flatten() {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
                return Err(io::Error::from(Errno::EINVAL));
            };
            match events.add_watch(folder, events_of_a_folder()) {
                Ok(_) => names.push(name.to_owned()),
                Err(Errno::ENOENT) => return Self::of_coming(path, folder),
                Err(errno) => return Err(errno.into()),
            }
        }
        Self::with(events, Names::These(names))
    }

    /// Watches for the coming of the folder that the file would be in: to look for it from time to time would be a wake-up for nothing
    /// on a host that never has it.
    fn of_coming(path: &Path, folder: &Path) -> io::Result<Self> {
        let above = Self::of(folder)?;
        // It may have come between the two looks, and then no event comes of what happens in it.
        if folder.exists() { Self::of(path) } else { Ok(above) }
    }

    /// Watches all files of a folder, or its coming where it is not there. What a link in it leads to is not watched. Reads the
    /// file system, and needs a running Tokio runtime.
    ///
    /// # Errors
    /// As [`FileWatch::of`].
    pub fn of_folder(path: &Path) -> io::Result<Self> {
        let events = listening()?;
        match events.add_watch(path, events_of_a_folder()) {
            Ok(_) => Self::with(events, Names::All),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Self::of(path),
            Err(errno) => Err(errno.into()),
        }
    }

    fn with(events: Inotify, names: Names) -> io::Result<Self> {
        let ready = readiness::readable(events.as_fd().try_clone_to_owned()?)?;
        Ok(Self { events, ready, names })
    }

    /// Waits until something happened that can have changed the file: it was written, put in its place, removed, or given another
    /// mode; or the folder itself went away.
    ///
    /// # Errors
    /// The kernel reports no more.
    pub async fn changed(self) -> io::Result<()> {
        let Self { events, mut ready, names } = self;
        let matters = |event: &InotifyEvent| match (&event.name, &names) {
            // The folder itself, or more events than the queue holds.
            (None, _) | (Some(_), Names::All) => true,
            // A volume of Kubernetes is changed by a link that lies beside the files (`..data`).
            (Some(name), Names::These(names)) => names.contains(name) || name.as_bytes().starts_with(b".."),
        };
        loop {
            let mut guard = ready.readable_mut().await?;
            match events.read_events() {
                Ok(events) if events.iter().any(matters) => return Ok(()),
                Ok(_) => {}
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn listening() -> io::Result<Inotify> {
    Ok(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?)
}

fn events_of_a_folder() -> AddWatchFlags {
    AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    async fn sees(path: &Path, what: impl FnOnce()) {
        let watch = FileWatch::of(path).unwrap();
        what();
        let seen = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
        seen.expect("an event in its time").unwrap();
    }

    #[tokio::test]
    async fn each_way_to_change_a_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("token"), dir.path().join("token.new"));
        sees(&file, || fs::write(&file, "one").unwrap()).await;
        sees(&file, || fs::write(&file, "two").unwrap()).await;
        fs::write(&other, "three").unwrap();
        sees(&file, || fs::rename(&other, &file).unwrap()).await;
        sees(&file, || fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap()).await;
        sees(&file, || fs::remove_file(&file).unwrap()).await;
    }

    #[tokio::test]
    async fn what_lies_behind_a_link_and_a_volume_of_kubernetes_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for generation in ["..1", "..2"] {
            fs::create_dir(at(generation)).unwrap();
            fs::write(at(generation).join("token"), generation).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/token", at("token")).unwrap();
        sees(&at("token"), || fs::write(at("..1/token"), "edited").unwrap()).await;
        sees(&at("token"), || {
            symlink("..2", at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        })
        .await;
        sees(&at("token"), || fs::write(at("..2/token"), "edited").unwrap()).await;
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_seen_to_come_and_one_that_goes_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let above = dir.path().join("above");
        let folder = above.join("folder");
        sees(&folder.join("token"), || fs::create_dir(&above).unwrap()).await;
        sees(&folder.join("token"), || fs::create_dir(&folder).unwrap()).await;
        fs::write(above.join("file"), "").unwrap();
        FileWatch::of(&above.join("file/token")).unwrap_err();
        sees(&folder.join("token"), || fs::remove_dir(&folder).unwrap()).await;
    }

    #[tokio::test]
    async fn what_happens_to_other_files_is_no_event() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "one").unwrap();
        let watch = FileWatch::of(&file).unwrap();
        for n in 0..300 {
            fs::write(dir.path().join(format!("other-{n}")), "x").unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "one", "reading is no change");
        let seen = tokio::time::timeout(Duration::from_millis(200), watch.changed()).await;
        seen.unwrap_err();
    }

    #[tokio::test]
    async fn a_folder_is_seen_to_come_to_change_and_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("desired.d");
        let happenings: [fn(&Path); 5] = [
            |folder| fs::create_dir(folder).unwrap(),
            |folder| fs::write(folder.join("a.toml"), "").unwrap(),
            |folder| fs::rename(folder.join("a.toml"), folder.join("b.toml")).unwrap(),
            |folder| fs::remove_file(folder.join("b.toml")).unwrap(),
            |folder| fs::remove_dir(folder).unwrap(),
        ];
        for happens in happenings {
            let watch = FileWatch::of_folder(&folder).unwrap();
            happens(&folder);
            let seen = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
            seen.expect("an event in its time").unwrap();
        }
    }
}
