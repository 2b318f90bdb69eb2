//! Docker's configuration file as it is on disk: found through its links, and read only if it is a regular file.

use super::config_fault::ConfigFault;
use files::ReadError;
use model::daemon_json::{MOST_BYTES, Refused};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the file at a path whose links are followed; `None` where nothing is there.
///
/// # Errors
/// Something else than a regular file is there, or it cannot be read.
pub(super) fn content(path: &Path) -> Result<Option<Vec<u8>>, Refused> {
    match files::read(path, MOST_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Missing { .. }) => Ok(None),
        Err(ReadError::DeadLink { .. }) => {
            Err(Refused::Unreadable { said: "it is a symbolic link to a file that does not exist".to_owned() })
        }
        Err(ReadError::NotPlain { kind, .. }) => Err(Refused::NotAFile { found: kind.words().to_owned() }),
        Err(ReadError::TooLarge { max_bytes, .. }) => Err(Refused::TooLarge { most: max_bytes }),
        Err(fault @ (ReadError::NotText { .. } | ReadError::Hangs { .. } | ReadError::Host { .. })) => {
            Err(Refused::Unreadable { said: fault.to_string() })
        }
    }
}

/// The path without links. Of a file that is not there: as far as its directory is.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let through_folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(through_folder).unwrap_or_else(|| path.to_owned())
}

/// The place of the file: its directory, held open, and its name there. What is there is never reached through a link again.
#[derive(Debug)]
pub(super) struct ConfigPlace {
    /// The directory.
    pub(super) folder: OwnedFd,
    /// Its path, for messages.
    pub(super) dir: PathBuf,
    /// Name of the file.
    pub(super) name: String,
}

/// A file that was opened at its place.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// Open for reading.
    pub(super) file: File,
    /// Owner, mode, inode.
    pub(super) status: FileStat,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

impl ConfigPlace {
    /// Opens the directory.
    pub(super) fn open(path: &Path) -> Result<Self, ConfigFault> {
        let parts = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
        let (dir, name) = parts.ok_or_else(|| ConfigFault::said(path, "is not the name of a file"))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = open(dir, flags, Mode::empty()).map_err(ConfigFault::host("open the directory", dir))?;
        Ok(Self { folder, dir: dir.to_owned(), name: name.to_owned() })
    }

    /// Path of the file itself.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Name of the unfinished copy. One name is enough: the file has one writer, and a crash leaves one at most.
    pub(super) fn draft(&self) -> String {
        format!(".{}.gpuhostd-new", self.name)
    }

    /// Name of the copy that is kept of the file before the last write.
    pub(super) fn backup(&self) -> String {
        format!("{}.gpuhostd-backup", self.name)
    }

    /// Name under which the file becomes the backup.
    pub(super) fn next_backup(&self) -> String {
        format!(".{}.gpuhostd-next", self.name)
    }

    /// Whether an interrupted write has left something.
    pub(super) fn has_leftovers(&self) -> bool {
        [self.draft(), self.next_backup()].iter().any(|name| self.dir.join(name).symlink_metadata().is_ok())
    }

    /// Opens and reads what has this name in the directory; `None` where nothing has.
    pub(super) fn file(&self, name: &str) -> Result<Option<ConfigFile>, ConfigFault> {
        let path = self.dir.join(name);
        // Not for a device or a pipe: neither acts on it nor waits for it.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(ConfigFault::host("open", &path)(errno)),
        };
        let status = fstat(&file).map_err(ConfigFault::host("look at", &path))?;
        if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(ConfigFault::said(&path, "is not a regular file any more"));
        }
        let reader = file.try_clone().map_err(|error| ConfigFault::io("read", &path, &error))?;
        let bytes = files::all_of(reader, &path, MOST_BYTES).map_err(|fault| ConfigFault::words(fault.to_string()))?;
        Ok(Some(ConfigFile { file, status, bytes }))
    }

    /// The file, if it is still the one with this digest; `None` stands for no file on both sides.
    pub(super) fn unchanged(&self, digest: Option<&str>) -> Result<Option<ConfigFile>, ConfigFault> {
        let found = self.file(&self.name)?;
        if found.as_ref().map(|file| sha256(&file.bytes)).as_deref() == digest {
            Ok(found)
        } else {
            Err(ConfigFault::changed(&self.path()))
        }
    }
}
