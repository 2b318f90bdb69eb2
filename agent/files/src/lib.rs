//! Reads files that somebody else placed (an administrator, a caller): plain files only, bounded in size, and in time.
//!
//! A name in `/etc` or on a command line can lead to anything: a named pipe without a writer, `/dev/zero`, a device that acts when
//! it is opened, a mount whose server has gone. [`open`] looks at what is there before it opens it, so that nothing but a plain
//! file is ever opened; [`in_time`] gives up what does not answer.

mod fault;
mod hung;
mod own;

pub use fault::{ReadError, ReadErrorKind};
pub use hung::in_time;
pub use own::{OwnProgram, hold};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open as open_path};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, major, minor};
use nix::sys::statfs::{FsType, fstatfs};
use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the files of one question may take altogether before they are given up: a local disk answers in milliseconds, also
/// under load, and the start of a service is allowed 60 s.
pub const USUAL_TIME: Duration = Duration::from_secs(5);

/// Where pipes without a name lie (`PIPEFS_MAGIC`, `linux/magic.h`).
const PIPEFS: FsType = FsType(0x5049_5045);

/// A plain file, open for reading, with what the file system reports about it.
#[derive(Debug)]
pub struct Plain {
    /// The open file.
    pub file: File,
    /// User id of the owner.
    pub uid: u32,
    /// Permission bits, `0o644`.
    pub mode: u32,
}

/// Opens a plain file. Links are followed, as is usual in `/etc`. `/dev/null` counts as an empty file: a link to it is how systemd
/// masks a fragment. Blocking, but never for a writer; see [`in_time`] for mounts that hang.
///
/// # Errors
/// There is no such file, it is something else than a plain file (which is not opened then), or the host refused.
pub fn open(path: &Path) -> Result<Plain, ReadError> {
    open_where(path, |kind, _| kind.is_none())
}

/// As [`open`], and also takes a pipe that the caller's shell has opened (`<(command)`, `/dev/stdin`): its writer is there, or it
/// ends. A read of it waits for the writer.
///
/// # Errors
/// As [`open`].
pub fn open_input(path: &Path) -> Result<Plain, ReadError> {
    let is_anonymous = |named: &OwnedFd| fstatfs(named).is_ok_and(|status| status.filesystem_type() == PIPEFS);
    open_where(path, |kind, named| match kind {
        None => true,
        Some(ReadErrorKind::Pipe) => is_anonymous(named),
        Some(ReadErrorKind::Folder | ReadErrorKind::Socket | ReadErrorKind::Device) => false,
    })
}

fn open_where(path: &Path, fits: impl FnOnce(Option<ReadErrorKind>, &OwnedFd) -> bool) -> Result<Plain, ReadError> {
    let refused = |errno: Errno| ReadError::Host { path: path.to_owned(), error: errno.into() };
    // A descriptor that only names the file: nothing is opened by it, so that no device can act on it.
    let named =
        open_path(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| missing(path, errno))?;
    let status = fstat(&named).map_err(refused)?;
    let kind = kind_of(&status);
    if !fits(kind, &named) {
        return Err(ReadError::NotPlain { path: path.to_owned(), kind: kind.unwrap_or(ReadErrorKind::Device) });
    }
    // What is not a plain file is a pipe, and is waited for.
    let waits = if kind.is_none() { OFlag::O_NONBLOCK } else { OFlag::empty() };
    let reopened = PathBuf::from(format!("/proc/self/fd/{}", named.as_raw_fd()));
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | waits;
    let file = File::from(open_path(&reopened, flags, Mode::empty()).map_err(refused)?);
    Ok(Plain { file, uid: status.st_uid, mode: status.st_mode & 0o7777 })
}

/// Reads a plain file of at most `max_bytes`; see [`open`]. Blocking.
///
/// # Errors
/// As [`open`], and where it is larger.
pub fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    open(path)?.read(path, max_bytes)
}

/// Reads a plain file of at most `max_bytes` as text; see [`open`]. Blocking.
///
/// # Errors
/// As [`read`], and where it is not UTF-8.
pub fn read_text(path: &Path, max_bytes: usize) -> Result<String, ReadError> {
    open(path)?.read_text(path, max_bytes)
}

impl Plain {
    /// The content, where it is no larger than `max_bytes`; `path` is for messages.
    ///
    /// # Errors
    /// It is larger, or the host refused.
    pub fn read(self, path: &Path, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        all_of(self.file, path, max_bytes)
    }

    /// The content as text, where it is no larger than `max_bytes`; `path` is for messages.
    ///
    /// # Errors
    /// It is larger or not UTF-8, or the host refused.
    pub fn read_text(self, path: &Path, max_bytes: usize) -> Result<String, ReadError> {
        as_text(self.read(path, max_bytes)?, path)
    }
}

/// Reads an input that is open already (standard input), to its end but never more than `max_bytes`; `name` is for messages.
///
/// # Errors
/// It is larger, or the host refused.
pub fn all_of(input: impl Read, name: &Path, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    let bound = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    let refused = |error: Error| ReadError::Host { path: name.to_owned(), error };
    input.take(bound).read_to_end(&mut content).map_err(refused)?;
    if content.len() > max_bytes {
        return Err(ReadError::TooLarge { path: name.to_owned(), max_bytes });
    }
    Ok(content)
}

/// The bytes as text; `name` is for messages.
///
/// # Errors
/// They are not UTF-8.
pub fn as_text(bytes: Vec<u8>, name: &Path) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|_| ReadError::NotText { path: name.to_owned() })
}

/// The files of a folder of fragments whose name ends with `.extension`, in the order of their names. Hidden ones are left out:
/// editors keep their copies under such names. A folder that is not there has none. Blocking.
///
/// # Errors
/// It cannot be listed, or has more than `most` such files.
pub fn fragments(folder: &Path, extension: &str, most: usize) -> Result<Vec<PathBuf>, ReadError> {
    let refused = |error: Error| ReadError::Host { path: folder.to_owned(), error };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(refused)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(refused)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
        if found.len() > most {
            let why = format!("it has more than {most} files that end in .{extension}");
            return Err(refused(Error::other(why)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What is there instead of a plain file.
fn kind_of(status: &FileStat) -> Option<ReadErrorKind> {
    let format = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    // `mem(4)`, `null(4)`: number 3 of the memory devices.
    let is_null = (major(status.st_rdev), minor(status.st_rdev)) == (1, 3);
    match format {
        SFlag::S_IFREG => None,
        SFlag::S_IFCHR if is_null => None,
        SFlag::S_IFDIR => Some(ReadErrorKind::Folder),
        SFlag::S_IFIFO => Some(ReadErrorKind::Pipe),
        SFlag::S_IFSOCK => Some(ReadErrorKind::Socket),
        _ => Some(ReadErrorKind::Device),
    }
}

/// Nothing is there; a link that leads to nothing is no missing file, for somebody placed it.
fn missing(path: &Path, errno: Errno) -> ReadError {
    let path = path.to_owned();
    if errno != Errno::ENOENT {
        return ReadError::Host { path, error: errno.into() };
    }
    let is_there = fstatat(nix::fcntl::AT_FDCWD, &path, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
    if is_there { ReadError::DeadLink { path } } else { ReadError::Missing { path } }
}
