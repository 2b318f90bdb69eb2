//! Reads small text files of the kernel with a bound, into a value or the reason for its absence.

use files::ReadError;
use model::absence::{Absence, Reading};
use std::path::Path;

/// `/proc/stat` of a machine with thousands of interrupts stays below this; nothing else here is larger.
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// A line that stands for one fact.
const LINE_MAX_BYTES: usize = 256;

/// Why a file gave no value.
pub(super) fn absence(fault: &ReadError) -> Absence {
    match fault {
        ReadError::Missing { .. } => Absence::NotReported,
        fault if fault.is_denied() => Absence::NoPermission,
        ReadError::Host { error, .. } => Absence::Unreadable(error.to_string()),
        ReadError::DeadLink { .. }
        | ReadError::NotPlain { .. }
        | ReadError::TooLarge { .. }
        | ReadError::NotText { .. }
        | ReadError::Hangs { .. } => Absence::Unreadable(fault.to_string()),
    }
}

/// The whole content.
pub(super) fn content(path: &Path) -> Result<String, Absence> {
    let bytes = files::read(path, FILE_MAX_BYTES).map_err(|fault| absence(&fault))?;
    String::from_utf8(bytes).map_err(|error| Absence::garbled(&String::from_utf8_lossy(error.as_bytes())))
}

/// The content as a value.
pub(super) fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    match content(path) {
        Ok(text) => parse(text.trim_end()).map_or_else(|| Reading::Absent(Absence::garbled(&text)), Reading::Known),
        Err(why) => Reading::Absent(why),
    }
}

/// The first line, where it is one that can be shown; an empty file reports that there is none.
pub(super) fn first_line(path: &Path) -> Reading<String> {
    let line = read(path, |text| {
        let line = text.lines().next().unwrap_or_default().trim();
        let fits = line.len() <= LINE_MAX_BYTES && !line.chars().any(char::is_control);
        fits.then(|| line.to_owned())
    });
    if line.known().is_some_and(String::is_empty) { Reading::Absent(Absence::None) } else { line }
}
