//! Reads the CDI specifications in an engine's directories, and writes and removes our own: for the host hand alone.

use super::store::{StoreError, read_bounded, remove_named, write_named};
use model::cdi::{CdiFile, FILE_MAX_BYTES, SpecVersion, is_spec, parse};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// More files than this are not read in one directory.
const FILES_MAX: usize = 64;
/// More sentences than this are not kept.
const PROBLEMS_MAX: usize = 16;
/// Engines run as root, and people look with `nvidia-ctk cdi list`.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// Where the unit of the hand has a tree of its own: what an engine sees there is not known here.
const OTHERWISE_HERE: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Our file could not be written or removed.
#[derive(Debug, thiserror::Error)]
pub enum CdiFilesError {
    /// The directory could not be made.
    #[error("cannot make the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The file could not.
    #[error(transparent)]
    File(#[from] StoreError),
}

impl CdiFilesError {
    /// The number of the host's answer, where it is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Directory { source, .. } | Self::File(StoreError::Host { source, .. }) => source.raw_os_error(),
            Self::File(_) => None,
        }
    }
}

/// The specifications of GPUs in these directories, in their order, with what each names that is not there; beside them, what could
/// not be looked at. Of a file that not everybody may read it is not reported what is wrong with it. Blocking.
#[must_use]
pub fn cdi_files(directories: &[String], newest: SpecVersion) -> (Vec<CdiFile>, Vec<String>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for directory in directories.iter().map(Path::new) {
        let names = match names(directory) {
            Ok(names) => names,
            Err(error) => {
                problems.push(format!("{}: {error}", directory.display()));
                continue;
            }
        };
        if names.len() > FILES_MAX {
            problems.push(format!(
                "{}: it has more than {FILES_MAX} files, and the others are not read",
                directory.display()
            ));
        }
        files.extend(names.iter().take(FILES_MAX).filter_map(|name| file(&directory.join(name), name, newest)));
    }
    problems.truncate(PROBLEMS_MAX);
    (files, problems)
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        // Directories need not be there.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_spec(name)).take(FILES_MAX.saturating_add(1)).collect();
    names.sort_unstable();
    Ok(names)
}

/// `None` for a file of another kind.
fn file(path: &Path, name: &str, newest: SpecVersion) -> Option<CdiFile> {
    let real = fs::canonicalize(path);
    let bytes = real
        .map_err(|error| error.to_string())
        .and_then(|real| read_bounded(&real, FILE_MAX_BYTES).map_err(|error| error.to_string()));
    let is_public = fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0);
    let read = match bytes.and_then(|bytes| parse(name, &bytes)) {
        Ok(None) => return None,
        Ok(Some(spec)) => Ok(spec),
        Err(why) if is_public => Err(why),
        Err(_) => Err("it is not a CDI specification, or cannot be read".to_owned()),
    };
    Some(CdiFile::of(path.display().to_string(), read.as_ref().map_err(Clone::clone), newest, is_missing))
}

/// A path that a specification names is not there, for certain: one that cannot be looked at may be. Blocking.
#[must_use]
pub fn is_missing(path: &str) -> bool {
    let path = Path::new(path);
    let is_missing = || matches!(fs::metadata(path), Err(error) if error.kind() == ErrorKind::NotFound);
    !OTHERWISE_HERE.iter().any(|own| path.starts_with(own)) && is_missing()
}

/// Replaces our file as a whole or not at all, and makes its directory where it is missing. Blocking.
///
/// # Errors
/// Something else than a regular file has its name, or the host refused; the old file is as it was.
pub fn put_cdi_file(path: &Path, bytes: &[u8]) -> Result<(), CdiFilesError> {
    let (directory, name) = parts(path)?;
    let refused = |source| CdiFilesError::Directory { path: directory.to_owned(), source };
    match fs::create_dir(directory) {
        // The process may have a stricter umask.
        Ok(()) => fs::set_permissions(directory, fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(refused)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(error)),
    }
    Ok(write_named(directory, name, bytes, FILE_MODE)?)
}

/// Removes our file; it need not be there. Blocking.
///
/// # Errors
/// Something else than a regular file has its name, or the host refused.
pub fn remove_cdi_file(path: &Path) -> Result<(), CdiFilesError> {
    let (directory, name) = parts(path)?;
    if !directory.exists() {
        return Ok(());
    }
    Ok(remove_named(directory, name)?)
}

fn parts(path: &Path) -> Result<(&Path, &str), StoreError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let parts = path.parent().zip(name);
    parts.ok_or_else(|| StoreError::BadName { dir: PathBuf::new(), name: path.display().to_string() })
}
