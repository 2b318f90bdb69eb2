//! Reads below a folder and never outside of it: no link is followed, and only plain files are read.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A folder that is read below.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Miss {
    /// There is none: a fact, and no failure.
    #[error("there is no such file")]
    Missing,
    /// It lies behind a link, or is no plain file.
    #[error("it is not a regular file of this directory")]
    NotPlain,
    /// It is larger than anything that belongs here.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// The host refused.
    #[error("{0}")]
    Refused(String),
}

impl From<Errno> for Miss {
    fn from(errno: Errno) -> Self {
        if matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV) {
            Self::Missing
        } else if matches!(errno, Errno::ELOOP | Errno::EXDEV | Errno::ENXIO) {
            Self::NotPlain
        } else {
            Self::Refused(errno.to_string())
        }
    }
}

impl Root {
    /// Opens the folder; the way to it may have links.
    pub(super) fn open(path: &Path) -> Result<Self, Miss> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    fn below(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Miss> {
        let resolve =
            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        Ok(openat2(&self.0, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))?)
    }

    /// The content of a plain file of at most so many bytes.
    pub(super) fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, Miss> {
        let file = self.below(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        let status = fstat(&file)?;
        if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(Miss::NotPlain);
        }
        let bound = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let mut content = Vec::new();
        let said = |error: std::io::Error| match error.raw_os_error() {
            Some(number) => Miss::from(Errno::from_raw(number)),
            None => Miss::Refused(error.to_string()),
        };
        File::from(file).take(bound).read_to_end(&mut content).map_err(said)?;
        if content.len() > max_bytes { Err(Miss::TooLarge(max_bytes)) } else { Ok(content) }
    }

    /// What a link reports; it is not followed.
    pub(super) fn link(&self, folder: &str, name: &str) -> Result<String, Miss> {
        let folder = self.below(folder, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let target = readlinkat(&folder, name)?;
        target.into_string().map_err(|_| Miss::Refused("it is not text".to_owned()))
    }

    /// Names in a folder, sorted; at most so many.
    pub(super) fn names(&self, folder: &str, most: usize) -> Result<Vec<String>, Miss> {
        let folder = self.below(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        // The folder that is open already, and no other one, under the name that the kernel gives to the descriptor.
        let listed = std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let listed = listed.map_err(|error| Miss::Refused(error.to_string()))?;
        let names = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.take(most).collect();
        names.sort_unstable();
        Ok(names)
    }
}
