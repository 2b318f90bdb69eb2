//! Files that are named on the command line: plain files, or what the shell pipes in; bounded in size and in time.

use crate::failure::Failure;
use files::ReadError;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// True where standard input is meant.
pub(crate) fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// How messages name it.
pub(crate) fn name(file: &Path) -> String {
    if is_standard(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// The content of a file, or of standard input where it is `-`; no more than `max_bytes`.
pub(crate) fn read(file: &Path, max_bytes: usize) -> Result<Vec<u8>, Failure> {
    if is_standard(file) {
        return Ok(files::all_of(std::io::stdin(), Path::new("standard input"), max_bytes)?);
    }
    let opened = open(file)?;
    Ok(opened.read(file, max_bytes)?)
}

/// The same as text.
pub(crate) fn read_text(file: &Path, max_bytes: usize) -> Result<String, Failure> {
    Ok(files::as_text(read(file, max_bytes)?, &PathBuf::from(name(file)))?)
}

/// A descriptor of the file, or of standard input where it is `-`, for somebody else to read.
pub(crate) fn descriptor(file: &Path) -> Result<OwnedFd, Failure> {
    if is_standard(file) {
        let duplicated = std::io::stdin().as_fd().try_clone_to_owned();
        let refused = |error| ReadError::Host { path: PathBuf::from("standard input"), error };
        return Ok(duplicated.map_err(refused)?);
    }
    Ok(open(file)?.file.into())
}

fn open(file: &Path) -> Result<files::Plain, Failure> {
    let path = file.to_owned();
    Ok(files::in_time(file, files::USUAL_TIME, move || files::open_input(&path))?)
}
