//! Starts long-lived processes of the package where there is no systemd: the hands and the front.
//!
//! They are started as [`Own`] holds them and not by their paths: the user that the front becomes may have no right to enter the
//! folder that it lies in (homes are closed to others), and after an update the path leads to another version, or nowhere.

use crate::own::Own;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::{AccessFlags, Gid, Uid, faccessat, setfsgid, setfsuid};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Child;

/// Starts a hand with the socket as standard input, in a process group of its own (a
/// Ctrl-C is for us alone; it leaves when the socket closes), with an environment that holds nothing of ours. Its messages go
/// where ours go.
///
/// # Errors
/// What the host reported: no process can be started.
pub fn with_socket(program: &Own, args: &[OsString], socket: OwnedFd) -> io::Result<Child> {
    program
        .command()?
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
}

/// The front as the launcher starts it.
#[derive(Debug)]
pub struct Front<'a> {
    /// The program.
    pub program: &'a Own,
    /// Its arguments.
    pub args: &'a [OsString],
    /// uid and gid to become, with no further group; none = stay.
    pub become_user: Option<(u32, u32)>,
    /// Its standard input; none = nothing to read.
    pub input: Option<OwnedFd>,
}

/// Starts the front, in a process group of its own, with our environment (systemd's notification socket is in it).
///
/// # Errors
/// What the host reported; `PermissionDenied` where the user to become may not execute our file.
pub fn front(front: Front<'_>) -> io::Result<Child> {
    let mut command = front.program.command()?;
    let input = front.input.map_or_else(Stdio::null, Stdio::from);
    command.args(front.args).stdin(input).process_group(0).kill_on_drop(true);
    if let Some((uid, gid)) = front.become_user {
        // The standard library drops the supplementary groups where root becomes somebody else.
        command.uid(uid).gid(gid);
    }
    command.spawn()
}

/// The first folder on the way to `path` that the user may not enter, or `path` itself where it is not a folder and the user
/// may not read; none where the way is open, as far as it exists. Asked of the kernel with that user's rights to files (the
/// further groups stay ours), so that access lists count as well.
#[must_use]
pub fn closed_to(uid: u32, gid: u32, path: &Path) -> Option<PathBuf> {
    let before = (setfsgid(Gid::from_raw(gid)), setfsuid(Uid::from_raw(uid)));
    let way: Vec<&Path> = path.ancestors().filter(|part| !part.as_os_str().is_empty()).collect();
    let closed = way.into_iter().rev().find(|part| {
        let wanted = if part.is_dir() { AccessFlags::X_OK } else { AccessFlags::R_OK };
        faccessat(AT_FDCWD, *part, wanted, AtFlags::AT_EACCESS) == Err(Errno::EACCES)
    });
    setfsuid(before.1);
    setfsgid(before.0);
    closed.map(Path::to_owned)
}

/// Opens the kernel log for reading, or the named pipe that takes the place of it. A pipe is kept open for writing as well, so that
/// it does not end when a writer goes.
///
/// # Errors
/// What the host answered.
pub fn open_log(path: &Path) -> io::Result<OwnedFd> {
    let is_pipe = std::fs::metadata(path)?.file_type().is_fifo();
    let nonblocking = OFlag::O_NONBLOCK.bits();
    Ok(std::fs::File::options().read(true).write(is_pipe).custom_flags(nonblocking).open(path)?.into())
}

/// A folder of ours, open: what is done in it through [`Folder::inside`] is done there, whatever its path leads to by then.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder, makes it where there is none (its parents included), and gives it to a user and a group.
    ///
    /// # Errors
    /// A link or something else is in its place, which anyone who owns the folder above it could have put there to be given
    /// what it leads to; or what the host reported.
    pub fn own(path: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
            }
            Err(error) => return Err(error),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?;
        std::os::unix::fs::fchown(&folder, Some(uid), Some(gid))?;
        Ok(Self(folder))
    }

    /// The path of a name in it, good as long as the folder is open.
    #[must_use]
    pub fn inside(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(name)
    }
}

/// Removes a socket that an earlier run left; anything else in its place is an error.
///
/// # Errors
/// There is something that is no socket, or what the host reported.
pub fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets the permissions of a file of ours, in a folder that nobody else may write in.
///
/// # Errors
/// What the host answered.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Makes a user and a group the owner of a file of ours, in a folder that nobody else may write in.
///
/// # Errors
/// What the host answered.
pub fn give_to(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{getgid, getuid};
    use std::os::unix::fs::{MetadataExt, symlink};

    fn own(path: &Path) -> io::Result<Folder> {
        Folder::own(path, 0o755, getuid().as_raw(), getgid().as_raw())
    }

    #[test]
    fn a_folder_that_a_user_may_not_enter_is_found_and_our_rights_are_ours_again() {
        let above = tempfile::tempdir().unwrap();
        let (home, file) = (above.path().join("home"), above.path().join("home/below/file"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        let to_nobody = |path: &Path| closed_to(65_534, 65_534, path);
        let mode = |path: &Path, bits| set_mode(path, bits).unwrap();
        mode(above.path(), 0o755);
        mode(&home, 0o700);
        if !getuid().is_root() {
            assert_eq!(closed_to(getuid().as_raw(), getgid().as_raw(), &file), None);
            return;
        }
        assert_eq!(to_nobody(&file), Some(home.clone()));
        assert_eq!(to_nobody(&home.join("not/made/yet")), Some(home.clone()));
        mode(&home, 0o711);
        mode(&file, 0o640);
        assert_eq!(to_nobody(&file), Some(file.clone()), "it may not read it");
        mode(&file, 0o644);
        assert_eq!(to_nobody(&file), None);
        assert_eq!(to_nobody(&home.join("not/made/yet")), None);
        mode(&home, 0o700);
        assert_eq!(closed_to(0, 0, &file), None);
        std::fs::write(home.join("ours"), "").unwrap();
    }

    #[test]
    fn a_planted_link_is_not_given_away() {
        let above = tempfile::tempdir().unwrap();
        let (precious, link) = (above.path().join("precious"), above.path().join("hands"));
        std::fs::create_dir(&precious).unwrap();
        symlink(&precious, &link).unwrap();
        let before = precious.metadata().unwrap().ctime_nsec();
        assert!(own(&link).is_err());
        assert_eq!(precious.metadata().unwrap().ctime_nsec(), before, "not even its owner was written");
        std::fs::write(above.path().join("file"), "").unwrap();
        assert!(own(&above.path().join("file")).is_err());
    }

    #[test]
    fn what_is_made_inside_stays_inside_when_the_path_is_turned_into_a_link() {
        let above = tempfile::tempdir().unwrap();
        let (elsewhere, path) = (above.path().join("elsewhere"), above.path().join("run/hands"));
        std::fs::create_dir(&elsewhere).unwrap();
        let folder = own(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o755);
        std::fs::rename(&path, above.path().join("run/was")).unwrap();
        symlink(&elsewhere, &path).unwrap();
        std::fs::write(folder.inside("s"), "").unwrap();
        assert!(above.path().join("run/was/s").exists() && !elsewhere.join("s").exists());
    }
}
