//! Reads `nvidia-smi -q -x` of any driver from 3xx to 6xx, and explains what it states instead of XML when it fails.

mod draft;
mod draft_value;
mod ended;
mod failure;
mod health;
mod leaf;
mod mend;
mod one_line;
mod read_report;
mod silent;
mod text;
mod walk;
mod xml_place;

pub use ended::{ARGUMENTS, document};
pub(crate) use failure::remedy;
pub use failure::{answer, explain_failure};
pub use leaf::absence_of;
pub use silent::silent_in;

use crate::driver::{DriverReport, ProbeError};

/// Who is named in the faults of this module.
const WHAT: &str = "nvidia-smi -q -x";

/// Largest document that is read, in bytes. Eight GPUs make 0.4 MB at most.
pub const DOCUMENT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Deepest nesting that is followed; the driver's documents have eight levels.
pub const DEPTH_MAX: usize = 32;

/// Reads one document.
///
/// Each value is found by its whole path, never by its name alone: a MIG slice, an accounted process and three other power
/// blocks use the same names. An unknown element is ignored, and one bad value costs itself only. What was odd about the
/// document (text around it, GPUs without an address, duplicate UUIDs) is in the report's `problems`.
///
/// # Errors
/// The document is no document: too large, not XML, not nvidia-smi's, cut off, or its tags do not match. Nothing of a
/// document that never closes is believed.
pub fn parse(bytes: &[u8]) -> Result<DriverReport, ProbeError> {
    if bytes.len() > DOCUMENT_MAX_BYTES {
        return Err(garbled(format!("{} bytes, more than the {DOCUMENT_MAX_BYTES} that are read", bytes.len())));
    }
    let document = text::document(bytes)?;
    let mut report = read_report::Report::default();
    if document.is_lossy {
        report.problem("the document is not UTF-8: the values that are not were dropped".to_owned());
    }
    if let Some(said) = document.before {
        report.silent.extend(silent_in(said));
        report.problem(format!("text before the XML was ignored: {}", one_line::excerpt(said)));
    }
    let rest = walk::walk(&document, &mut report)?;
    if !rest.trim().is_empty() {
        report.silent.extend(silent_in(rest));
        report.problem(format!("text after the XML was ignored: {}", one_line::excerpt(rest.trim())));
    }
    Ok(report.finish())
}

fn garbled(why: String) -> ProbeError {
    ProbeError::Garbled { what: WHAT.to_owned(), why }
}
