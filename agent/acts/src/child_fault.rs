//! What went wrong with a child, as what went wrong with a probe.

use model::driver::ProbeError;
use model::os_cause::OsCause;
use model::time::whole_millis;
use spawn::RunError;
use std::io::ErrorKind;

/// A child's fault as a probe's fault.
pub(crate) fn run_fault(what: &str, fault: &RunError) -> ProbeError {
    let what = what.to_owned();
    let failed = |what, error: &std::io::Error, said| ProbeError::Failed {
        what,
        status: error.raw_os_error().unwrap_or_default(),
        said,
    };
    let said = fault.to_string();
    match fault {
        RunError::Start { source, .. } if source.kind() == ErrorKind::NotFound => ProbeError::Absent { what, said },
        RunError::Start { source, .. } => failed(what, source, said),
        RunError::Supervision(source) => failed(what, source, said),
        RunError::Timeout { after } => ProbeError::Timeout { what, after_ms: whole_millis(*after) },
        RunError::Stuck { pid } => ProbeError::Stuck { what, pid: *pid },
        RunError::TooMuch { .. } => ProbeError::Garbled { what, why: said },
        RunError::Abandoned => ProbeError::HandUnavailable { what, cause: OsCause::found(said) },
    }
}
