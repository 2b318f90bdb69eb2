//! Starts long-lived processes of our own where there is no systemd: the hands and the front.

use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Starts the executable with the socket as its standard input, in a process group of its own (a Ctrl-C is for us alone; it
/// leaves when the socket closes), with an environment that holds nothing of ours. Its messages go where ours go.
///
/// # Errors
/// What the host said: there is no such executable, or no process can be started.
pub fn with_socket(exe: &Path, args: &[OsString], socket: OwnedFd) -> io::Result<Child> {
    Command::new(exe)
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
    /// The executable.
    pub exe: &'a Path,
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
/// What the host said.
pub fn front(front: Front<'_>) -> io::Result<Child> {
    let mut command = Command::new(front.exe);
    let input = front.input.map_or_else(Stdio::null, Stdio::from);
    command.args(front.args).stdin(input).process_group(0).kill_on_drop(true);
    if let Some((uid, gid)) = front.become_user {
        // The standard library drops the supplementary groups where root becomes somebody else.
        command.uid(uid).gid(gid);
    }
    command.spawn()
}

/// Opens the kernel log for reading, or the named pipe that stands in for it. A pipe is kept open for writing as well, so that
/// it does not end when a writer goes.
///
/// # Errors
/// What the host said.
pub fn open_log(path: &Path) -> io::Result<OwnedFd> {
    let is_pipe = std::fs::metadata(path)?.file_type().is_fifo();
    let nonblocking = OFlag::O_NONBLOCK.bits();
    Ok(std::fs::File::options().read(true).write(is_pipe).custom_flags(nonblocking).open(path)?.into())
}

/// Makes a folder with these permissions where there is none, its parents included.
///
/// # Errors
/// What the host said.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Removes a socket that an earlier run left; anything else in its place is an error.
///
/// # Errors
/// There is something that is no socket, or what the host said.
pub fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets the permissions of a file of ours.
///
/// # Errors
/// What the host said.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Makes a user and a group the owner of a file or folder of ours.
///
/// # Errors
/// What the host said.
pub fn give_to(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}
