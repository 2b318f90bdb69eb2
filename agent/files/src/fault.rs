//! Why a file could not be read, in words that name it and say what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is where a plain file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// A folder.
    Folder,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl ReadErrorKind {
    /// In words, `a named pipe`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Folder => "a directory",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        }
    }
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is a link, and what it leads to does not exist.
    #[error("{} is a link to a file that does not exist", path.display())]
    DeadLink {
        /// The link.
        path: PathBuf,
    },
    /// Something else than a plain file is there. It was not opened.
    #[error("{} is {}, and only a regular file is read", path.display(), kind.words())]
    NotPlain {
        /// The name.
        path: PathBuf,
        /// What is there.
        kind: ReadErrorKind,
    },
    /// It is larger than anything that belongs there.
    #[error("{} is larger than {max_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        max_bytes: usize,
    },
    /// It is not UTF-8.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file system does not answer.
    #[error("{path} did not answer within {} s: its file system hangs (`findmnt -T {path}` shows it)", after.as_secs(), path = path.display())]
    Hangs {
        /// The file or folder.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// The host refused.
    #[error("cannot read {}: {error}", path.display())]
    Host {
        /// The file or folder.
        path: PathBuf,
        /// What the host answered.
        error: io::Error,
    },
}

impl ReadError {
    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::DeadLink { path }
            | Self::NotPlain { path, .. }
            | Self::TooLarge { path, .. }
            | Self::NotText { path }
            | Self::Hangs { path, .. }
            | Self::Host { path, .. } => path,
        }
    }

    /// The host did not allow it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Host { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}
