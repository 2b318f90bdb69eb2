//! Atomic files of our own state: replaced as a whole or not at all, on disk before it is reported, and never through a link.

use model::os_cause::{CauseSite, OsCause};
use model::ports::JournalError;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A file of ours could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The name would leave the folder, or names nothing.
    #[error("{name:?} is not the name of a file in {}", dir.display())]
    BadName {
        /// The folder.
        dir: PathBuf,
        /// What was given.
        name: String,
    },
    /// A link, pipe, device or folder is where a plain file should be.
    #[error("{} is not a regular file; find out what created it, and remove it", path.display())]
    NotPlain {
        /// The file.
        path: PathBuf,
    },
    /// Something has the name of a file that was to be made.
    #[error("{} already exists and was not read: it is not replaced", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Something else than a plain file is where a caller wants a file written.
    #[error("{} is {what}, and only a regular file is replaced: set another path", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
        /// What is there, in words.
        what: &'static str,
    },
    /// It is larger than anything that we write.
    #[error("{} is larger than {max_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        max_bytes: usize,
    },
    /// The host refused.
    #[error("cannot {attempted} {}: {}", path.display(), OsCause::from(source).with_remedy(CauseSite::StateFile(path)))]
    Host {
        /// `open`, `write`, …
        attempted: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// The error as it crosses a port, with the number of the host; `attempted` and `on` where none of the host's calls failed.
    pub(super) fn into_journal_error(self, attempted: &str, on: &Path) -> JournalError {
        match self {
            Self::Host { attempted, path, source } => {
                JournalError { attempted: attempted.to_owned(), path, cause: source.into() }
            }
            fault @ (Self::Missing { .. }
            | Self::BadName { .. }
            | Self::NotPlain { .. }
            | Self::Exists { .. }
            | Self::InTheWay { .. }
            | Self::TooLarge { .. }) => {
                let cause = OsCause::found(fault.to_string());
                JournalError { attempted: attempted.to_owned(), path: on.to_owned(), cause }
            }
        }
    }
}

fn host(attempted: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Host { attempted, path: path.clone(), source }
}

fn errno(attempted: &'static str, path: &Path) -> impl Fn(Errno) -> StoreError {
    let host = host(attempted, path);
    move |errno| host(errno.into())
}

/// The folder itself must not be a link: who can plant one there could send our state anywhere.
fn open_folder(dir: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(dir, flags, Mode::empty()).map_err(errno("open the directory", dir))
}

fn check_name(dir: &Path, name: &str) -> Result<(), StoreError> {
    let fits = (1..=200).contains(&name.len()) && !name.contains(['/', '\0']) && name != "." && name != "..";
    if fits { Ok(()) } else { Err(StoreError::BadName { dir: dir.to_owned(), name: name.to_owned() }) }
}

/// Replaces `dir/name` by `bytes` with these permissions (`0o600`). When it returns, the new content is on disk; when it
/// fails or the power does, the old one is. Blocking.
///
/// # Errors
/// The folder is missing or a link, the name would leave it, or the host refused.
pub fn write_atomic(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let path = dir.join(name);
    put(dir, name, bytes, mode, |folder, draft| {
        renameat(folder, draft, folder, name).map_err(errno("rename to its final name", &path))
    })
}

/// The same for a file that is not there yet. Whatever has the name already stays as it is.
///
/// # Errors
/// As [`write_atomic`]; [`StoreError::Exists`] where something has the name.
pub(super) fn create_atomic(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let path = dir.join(name);
    put(dir, name, bytes, mode, |folder, draft| {
        // A second name for the draft, since a rename would replace what has the first.
        linkat(folder, draft, folder, name, AtFlags::empty()).map_err(|said| {
            if said == Errno::EEXIST {
                StoreError::Exists { path: path.clone() }
            } else {
                errno("link to its final name", &path)(said)
            }
        })
    })
}

/// Writes the draft, has `publish` give it its name, and takes the draft's own name away.
fn put(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    mode: u32,
    publish: impl FnOnce(&OwnedFd, &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    check_name(dir, name)?;
    let folder = open_folder(dir)?;
    // Each file has one writer, so that one name for the unfinished copy is enough and a crash leaves one at most.
    let draft = format!(".{name}.new");
    let path = dir.join(&draft);
    match unlinkat(&folder, draft.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(said) => return Err(errno("remove", &path)(said)),
    }
    let written = write_draft(&folder, &draft, &path, bytes, mode).and_then(|()| publish(&folder, &draft));
    // After a rename there is none. The first error shows what happened; that the draft could not be removed either would only
    // hide it, and the next write removes it.
    let _ = unlinkat(&folder, draft.as_str(), UnlinkatFlags::NoRemoveDir);
    written?;
    fsync(&folder).map_err(errno("sync the directory", dir))
}

/// As [`write_atomic`], for a file that somebody else has named: what is no plain file there stays as it is, a link and a device
/// too. Blocking.
///
/// # Errors
/// As [`write_atomic`], and [`StoreError::InTheWay`].
pub fn write_named(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    check_named(dir, name)?;
    write_atomic(dir, name, bytes, mode)
}

/// Whether [`write_named`] would find something in its way. Blocking.
///
/// # Errors
/// As [`write_named`].
pub fn check_named(dir: &Path, name: &str) -> Result<(), StoreError> {
    check_name(dir, name)?;
    let folder = open_folder(dir)?;
    let path = dir.join(name);
    let status = match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => status,
        Err(Errno::ENOENT) => return Ok(()),
        Err(said) => return Err(errno("look at", &path)(said)),
    };
    let what = match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFLNK => "a link",
        SFlag::S_IFIFO => "a named pipe",
        SFlag::S_IFSOCK => "a socket",
        _ => "a device",
    };
    Err(StoreError::InTheWay { path, what })
}

/// As [`remove`], for a file that somebody else has named: what is no plain file there stays. Blocking.
///
/// # Errors
/// As [`remove`], and [`StoreError::InTheWay`].
pub fn remove_named(dir: &Path, name: &str) -> Result<(), StoreError> {
    check_named(dir, name)?;
    remove(dir, name)
}

fn write_draft(folder: &OwnedFd, draft: &str, path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let private = Mode::S_IRUSR | Mode::S_IWUSR;
    let mut file = File::from(openat(folder, draft, flags, private).map_err(errno("create", path))?);
    file.write_all(bytes).map_err(host("write", path))?;
    fchmod(&file, Mode::from_bits_truncate(mode)).map_err(errno("set the permissions of", path))?;
    file.sync_all().map_err(host("write to disk", path))
}

/// Reads a plain file of at most `max_bytes`. Blocking, but never on a pipe or a device.
///
/// # Errors
/// [`StoreError::Missing`] where there is none; else what is wrong with it.
pub fn read_bounded(path: &Path, max_bytes: usize) -> Result<Vec<u8>, StoreError> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|said| {
        if said == Errno::ENOENT {
            StoreError::Missing { path: path.to_owned() }
        } else if said == Errno::ELOOP || said == Errno::ENXIO {
            // ELOOP is what a link reports, ENXIO a socket.
            StoreError::NotPlain { path: path.to_owned() }
        } else {
            errno("open", path)(said)
        }
    })?;
    let status: FileStat = fstat(&file).map_err(errno("look at", path))?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(StoreError::NotPlain { path: path.to_owned() });
    }
    let bound = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    File::from(file).take(bound).read_to_end(&mut content).map_err(host("read", path))?;
    if content.len() > max_bytes {
        return Err(StoreError::TooLarge { path: path.to_owned(), max_bytes });
    }
    Ok(content)
}

/// Removes `dir/name`, for good when it returns; a file that is not there is no error. Blocking.
///
/// # Errors
/// The folder is missing or a link, the name would leave it, or the host refused.
pub fn remove(dir: &Path, name: &str) -> Result<(), StoreError> {
    check_name(dir, name)?;
    let folder = open_folder(dir)?;
    match unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => fsync(&folder).map_err(errno("sync the directory", dir)),
        Err(Errno::ENOENT) => Ok(()),
        Err(said) => Err(errno("remove", &dir.join(name))(said)),
    }
}
