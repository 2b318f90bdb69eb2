//! Reads bounded texts below one root of the file system, and gives the reason where it cannot.

use files::ReadError;
use model::absence::{Absence, Reading};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Nothing that is read here is larger.
const FILE_MAX_BYTES: usize = 2 * 1024 * 1024;
/// No folder that is listed here has more entries that matter.
const ENTRIES_MAX: usize = 100_000;

/// A root of the file system.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
}

/// Why a path cannot be read.
pub(super) fn absence(error: &Error) -> Absence {
    // EIO and the like are told in the host's words.
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
        Absence::None
    } else if error.kind() == ErrorKind::PermissionDenied {
        Absence::NoPermission
    } else {
        Absence::Unreadable(error.to_string())
    }
}

impl Place {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// An absolute path of the host, below this root.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A path below this root, as the host itself names it.
    pub(super) fn name(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        format!("/{}", inside.display().to_string().trim_start_matches('/'))
    }

    /// True where it is there; a link is followed, and what cannot be looked at is not there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Whether it is there, where that can be reported.
    pub(super) fn is_there(&self, path: &str) -> Reading<bool> {
        match self.path(path).try_exists() {
            Ok(there) => Reading::Known(there),
            Err(error) => Reading::Absent(absence(&error)),
        }
    }

    /// The bytes of a plain file; a pipe or a device in its place is not read.
    pub(super) fn bytes(&self, path: &str) -> Result<Vec<u8>, Absence> {
        let path = self.path(path);
        files::read(&path, FILE_MAX_BYTES).map_err(|fault| match fault {
            ReadError::Missing { .. } | ReadError::DeadLink { .. } => Absence::None,
            ReadError::Host { error, .. } => absence(&error),
            ReadError::NotPlain { kind, .. } => {
                Absence::Unreadable(format!("{} is {}, not a regular file", self.name(&path), kind.words()))
            }
            ReadError::TooLarge { .. } | ReadError::NotText { .. } | ReadError::Hangs { .. } => {
                Absence::Unreadable(fault.to_string())
            }
        })
    }

    /// The content as text; bytes that are no text are replaced.
    pub(super) fn text(&self, path: &str) -> Result<String, Absence> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The content as a value.
    pub(super) fn read<T>(&self, path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
        match self.text(path) {
            Ok(text) => parse(text.trim_end()).map_or_else(|| Reading::Absent(Absence::garbled(&text)), Reading::Known),
            Err(why) => Reading::Absent(why),
        }
    }

    /// Names in a folder, sorted.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, Absence> {
        let listed = std::fs::read_dir(self.path(folder)).map_err(|error| absence(&error))?;
        let mut names: Vec<String> =
            listed.flatten().take(ENTRIES_MAX).filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Where a link leads to.
    pub(super) fn link(&self, path: &str) -> Option<PathBuf> {
        std::fs::read_link(self.path(path)).ok()
    }
}
