//! Writes what was imported with the caller's rights: each file whole or not at all, and a token never readable by others.

use crate::failure::{BROKEN, Failure};
use files::ReadError;
use model::enrol::Secret;
use std::fs::{File, OpenOptions, remove_file, rename, symlink_metadata};
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// A file that is there is compared up to this size.
const MOST_BYTES: usize = 1 << 20;
/// More names of temporary files than are ever left behind.
const NAMES: u32 = 16;
/// The group that the daemon runs in.
const GROUP: &str = "gpuhostd";
/// Where groups are listed.
const GROUPS: &str = "/etc/group";

/// What a file gets.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// These settings, with this mode.
    Config(&'a str, u32),
    /// This token: for root and the daemon's group, or where that cannot be given, for the caller alone.
    Token(&'a Secret),
}

impl Content<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Config(text, _) => text.as_bytes().to_vec(),
            Self::Token(token) => format!("{}\n", token.expose()).into_bytes(),
        }
    }
}

/// What is there already.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// The same content.
    Same,
    /// Another content.
    Other,
}

/// Compares what is there.
pub(super) fn found(path: &Path, content: &Content<'_>) -> Result<Found, Failure> {
    if symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        let message = format!("{} exists and is not a regular file; remove it, or name another file", path.display());
        return Err(Failure::Refused { status: crate::failure::status_of_code("conflict"), message });
    }
    let opened = path.to_owned();
    match files::in_time(path, files::USUAL_TIME, move || files::open(&opened)) {
        Err(ReadError::Missing { .. }) => Ok(Found::Nothing),
        Err(fault) => Err(fault.into()),
        Ok(plain) => match plain.read(path, MOST_BYTES) {
            Ok(bytes) if bytes == content.bytes() => Ok(Found::Same),
            Ok(_) | Err(_) => Ok(Found::Other),
        },
    }
}

/// Writes a file beside its place and puts it there; what the caller should know of it.
pub(super) fn write(path: &Path, content: &Content<'_>) -> Result<Option<String>, Failure> {
    put(path, content).map_err(|error| Failure::Refused {
        status: BROKEN,
        message: format!("cannot write {}: {error}; the file is as it was before", path.display()),
    })
}

fn put(path: &Path, content: &Content<'_>) -> Result<Option<String>, Error> {
    let name = path.file_name().ok_or_else(|| Error::other("the path has no file name"))?;
    let beside = |number: u32| {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}", std::process::id()));
        path.with_file_name(hidden)
    };
    let mut last = Error::other("every temporary name is taken");
    for beside in (0..NAMES).map(beside) {
        // Created by this call, or not at all, and for nobody else until it has its owner.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside) {
            Ok(created) => {
                let done = fill(created, path, content).and_then(|note| rename(&beside, path).map(|()| note));
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

fn fill(mut created: File, path: &Path, content: &Content<'_>) -> Result<Option<String>, Error> {
    let mode = |created: &File, mode| created.set_permissions(PermissionsExt::from_mode(mode));
    let note = match content {
        Content::Config(_, bits) => {
            mode(&created, *bits)?;
            None
        }
        // The group first: no one else's group is ever given the right to read.
        Content::Token(_) => match group().map(|group| fchown(&created, Some(0), Some(group))) {
            Some(Ok(())) => {
                mode(&created, 0o640)?;
                None
            }
            Some(Err(_)) | None => {
                let path = path.display();
                Some(format!(
                    "{path} is for its owner alone, because it could not be given to root and the group {GROUP}; run: \
                     chown root:{GROUP} {path} && chmod 0640 {path}"
                ))
            }
        },
    };
    created.write_all(&content.bytes())?;
    created.sync_all()?;
    Ok(note)
}

/// The number of the daemon's group, where this host has it.
fn group() -> Option<u32> {
    let path = Path::new(GROUPS);
    let opened = files::in_time(path, files::USUAL_TIME, move || files::open(path)).ok()?;
    let text = String::from_utf8(opened.read(path, MOST_BYTES).ok()?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(GROUP)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}
