//! `debug daemon-json`: what Docker's configuration would become, without a daemon. It prints, and writes nothing.

use crate::failure::Failure;
use crate::input;
use files::ReadError;
use model::daemon_json::{
    Edited, MOST_BYTES, Refused, RuntimeEntry, RuntimeName, insert, reads_byte_order_mark, remove,
};
use model::refusal::Refusal;
use std::fs::FileType;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Prints the file with the entry put in, or taken out.
pub(crate) fn run(
    add: Option<&RuntimeEntry>,
    out: Option<&RuntimeName>,
    engine: Option<&str>,
    file: &Path,
) -> Result<(), Failure> {
    let refused = |fault| refused(file, fault);
    let before = content(file).map_err(refused)?;
    let reads_mark = engine.is_none_or(reads_byte_order_mark);
    let edited = match (add, out) {
        (Some(entry), _) => insert(before.as_deref(), entry, reads_mark),
        (None, Some(name)) => remove(before.as_deref(), name),
        (None, None) => Ok(Edited::Unchanged),
    };
    match edited.map_err(refused)? {
        Edited::Content(bytes) => print(&bytes),
        Edited::Unchanged => print(&before.unwrap_or_default()),
        Edited::NoFile => Ok(()),
    }
}

/// The file is left as it is.
pub(crate) fn refused(file: &Path, refused: Refused) -> Failure {
    let (said, refusal) = (refused.to_string(), Refusal::DaemonJson(refused));
    let message = format!("{}: {said} ({})", input::name(file), refusal.code());
    Failure::Refused { status: refusal.exit_status(), message }
}

/// The bytes; `None` where there is no file. A link that leads nowhere is no missing file: Docker does not start on it.
pub(crate) fn content(file: &Path) -> Result<Option<Vec<u8>>, Refused> {
    let unreadable = |error: std::io::Error| Refused::Unreadable { said: error.to_string() };
    if !input::is_standard(file) {
        match std::fs::metadata(file) {
            Err(error) if error.kind() == ErrorKind::NotFound && file.symlink_metadata().is_err() => return Ok(None),
            Err(error) => return Err(unreadable(error)),
            // To open a named pipe would wait for its other end.
            Ok(found) if !found.is_file() => {
                return Err(Refused::NotAFile { found: kind(found.file_type()).to_owned() });
            }
            Ok(_) => {}
        }
    }
    input::read(file, MOST_BYTES).map(Some).map_err(|fault| {
        if let Failure::File(ReadError::TooLarge { max_bytes, .. }) = fault {
            return Refused::TooLarge { most: max_bytes };
        }
        Refused::Unreadable { said: fault.to_string() }
    })
}

fn kind(found: FileType) -> &'static str {
    match found {
        found if found.is_dir() => "a directory",
        found if found.is_fifo() => "a named pipe",
        found if found.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Byte by byte: text for people would lose what looks like a colour.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| Failure::Output { source })
}
