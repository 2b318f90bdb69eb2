//! Writes a checkpoint to the file that its caller names, with the caller's rights: whole, or not at all.

use crate::failure::Failure;
use std::fs::{File, OpenOptions, remove_file, rename, symlink_metadata};
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Everybody may read it, as far as the caller's umask lets them: it holds no secret.
const MODE: u32 = 0o644;
/// More names of temporary files than are ever left behind.
const NAMES: u32 = 16;

/// Writes it beside the file and puts it in its place.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    put(file, text).map_err(|error| Failure::Refused {
        status: crate::failure::BROKEN,
        message: format!("cannot write {}: {error}; nothing was written", file.display()),
    })
}

fn put(file: &Path, text: &str) -> Result<(), Error> {
    // A rename takes the place of whatever is there: of a device or a link as well.
    match symlink_metadata(file) {
        Ok(there) if !there.is_file() => return Err(Error::other("it exists and is not a regular file")),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let name = file.file_name().ok_or_else(|| Error::other("the path has no file name"))?;
    let beside = |number: u32| {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}", std::process::id()));
        file.with_file_name(hidden)
    };
    let mut last = Error::other("every temporary name is taken");
    for beside in (0..NAMES).map(beside) {
        // Created by this call, or not at all: no link that somebody has put there is followed.
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside) {
            Ok(created) => {
                let done = fill(created, text).and_then(|()| rename(&beside, file));
                if done.is_err() {
                    // The first fault counts.
                    let _left = remove_file(&beside);
                }
                return done;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn fill(mut created: File, text: &str) -> Result<(), Error> {
    created.write_all(text.as_bytes())?;
    created.write_all(b"\n")?;
    created.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            folder.read_dir().unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoint.json");
        for text in ["{}", "{\"Version\": 1}"] {
            write(&file, text).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{text}\n"));
        }
        assert_eq!(names(folder.path()), ["checkpoint.json"]);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o133, 0, "0644 at most");
    }

    #[test]
    fn what_is_no_regular_file_stays_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("kept"), "kept").unwrap();
        symlink(at("kept"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for target in ["link", "folder", "absent/checkpoint.json"] {
            let fault = write(&at(target), "{}").unwrap_err().to_string();
            assert!(fault.contains(target) && fault.contains("nothing was written"), "{fault}");
        }
        // Somebody has guessed the name of the temporary file.
        symlink(at("kept"), at(&format!(".new.{}-0", std::process::id()))).unwrap();
        write(&at("new"), "{}").unwrap();
        assert_eq!(std::fs::read_to_string(at("kept")).unwrap(), "kept");
        assert!(at("new").symlink_metadata().unwrap().is_file() && at("link").is_symlink());
    }
}
