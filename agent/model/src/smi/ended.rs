//! What a run of `nvidia-smi -q -x` reported, by how it ended and what it wrote.

use crate::driver::{DriverReport, DriverSource, ProbeError};
use crate::printable::printable;

/// The arguments are fixed: the whole state as XML.
pub const ARGUMENTS: [&str; 2] = ["-q", "-x"];
/// Element that every document has at its root, whatever is before it.
const ROOT: &[u8] = b"<nvidia_smi_log";
/// Most of its words that a fault repeats.
const SAID_MAX_CHARS: usize = 400;

/// A bad status beside a whole document is a problem and no fault: a corrupt infoROM is status 14, and everything else
/// is reported. Without a document its words stand on standard output, seldom on standard error.
///
/// # Errors
/// It failed without a document, or the document is none.
pub fn document(
    what: &str,
    status: i32,
    stdout: &[u8],
    stderr: &[u8],
    source: DriverSource,
) -> Result<DriverReport, ProbeError> {
    let has_document = stdout.windows(ROOT.len()).any(|window| window == ROOT);
    let parsed = (has_document || status == 0).then(|| super::parse(stdout));
    let mut report = match parsed {
        Some(Ok(report)) => report,
        Some(Err(fault)) if status == 0 => return Err(fault),
        Some(Err(_)) | None => {
            let words = if stdout.trim_ascii().is_empty() { stderr } else { stdout };
            return Err(ProbeError::Failed { what: what.to_owned(), status, said: printed(words) });
        }
    };
    report.source = source;
    if status != 0 {
        report.problems.push(format!("{what} exited with status {status} after its document"));
    }
    Ok(report)
}

fn printed(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let words: Vec<&str> = text.split_whitespace().collect();
    printable(&words.join(" "), SAID_MAX_CHARS)
}
