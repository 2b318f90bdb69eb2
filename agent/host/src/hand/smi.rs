//! Runs `nvidia-smi -q -x` and judges how it ended; what its document says is the parser's business.

use super::probe::{Parse, run_fault};
use super::process::{Finished, Program, Supervisor};
use model::driver::{DriverReport, DriverSource, ProbeFault};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

/// The arguments are fixed: the whole state as XML.
pub(super) const ARGUMENTS: [&str; 2] = ["-q", "-x"];
/// Element that every document has at its root, whatever stands before it.
const ROOT: &[u8] = b"<nvidia_smi_log";
/// Most of its words that a fault repeats.
const SAID_MAX_CHARS: usize = 400;

/// Asks the first nvidia-smi that there is.
///
/// # Errors
/// There is none, it hangs, crashes, fails, or its document cannot be parsed.
pub(super) async fn report(
    supervisor: &Supervisor,
    paths: &[String],
    deadline: Duration,
    parse: Parse,
) -> Result<DriverReport, ProbeFault> {
    let (what, finished) = run(supervisor, paths, deadline).await?;
    judge(&what, &finished, parse, DriverSource::Smi)
}

/// Runs it: what was run, in words, and how it ended.
pub(super) async fn run(
    supervisor: &Supervisor,
    paths: &[String],
    deadline: Duration,
) -> Result<(String, Finished), ProbeFault> {
    let Some(path) = paths.iter().find(|path| Path::new(path).is_file()) else {
        let what = format!("nvidia-smi (looked for as {})", paths.join(", "));
        return Err(ProbeFault::Absent { what, said: "there is no such file".to_owned() });
    };
    let what = format!("nvidia-smi ({path})");
    let mut program = Program::new(path, ARGUMENTS.map(OsString::from), deadline);
    program.env.extend(library_path(path));
    let finished = supervisor.run("nvidia-smi", program).await.map_err(|fault| run_fault(&what, fault))?;
    Ok((what, finished))
}

/// A driver that a container has installed under its own root finds its libraries there only when told.
fn library_path(path: &str) -> Option<(String, OsString)> {
    let root = path.strip_suffix("/usr/bin/nvidia-smi").filter(|root| !root.is_empty())?;
    let folders = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib/aarch64-linux-gnu:{root}/usr/lib64");
    Some(("LD_LIBRARY_PATH".to_owned(), folders.into()))
}

pub(super) fn judge(
    what: &str,
    finished: &Finished,
    parse: Parse,
    source: DriverSource,
) -> Result<DriverReport, ProbeFault> {
    match (finished.status.code(), finished.status.signal()) {
        (Some(status), _) => document(what, status, &finished.stdout, &finished.stderr, parse, source),
        (None, signal) => Err(ProbeFault::Crashed { what: what.to_owned(), signal: signal.unwrap_or_default() }),
    }
}

/// A bad status beside a whole document is a problem and no fault: a corrupt infoROM is status 14, and everything else
/// is told. Without a document its words stand on standard output, seldom on standard error.
pub(super) fn document(
    what: &str,
    status: i32,
    stdout: &[u8],
    stderr: &[u8],
    parse: Parse,
    source: DriverSource,
) -> Result<DriverReport, ProbeFault> {
    let has_document = stdout.windows(ROOT.len()).any(|window| window == ROOT);
    let parsed = (has_document || status == 0).then(|| parse(stdout));
    let mut report = match parsed {
        Some(Ok(report)) => report,
        Some(Err(fault)) if status == 0 => return Err(fault),
        Some(Err(_)) | None => {
            let words = if stdout.trim_ascii().is_empty() { stderr } else { stdout };
            return Err(ProbeFault::Failed { what: what.to_owned(), status, said: said(words) });
        }
    };
    report.source = source;
    if status != 0 {
        report.problems.push(format!("{what} ended with status {status} after its document"));
    }
    Ok(report)
}

fn said(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(SAID_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests;
