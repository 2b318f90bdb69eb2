//! What went wrong with a child, as what went wrong with a probe.

use model::driver::ProbeFault;
use model::time::whole_millis;
use spawn::RunFault;
use std::io::ErrorKind;

/// A child's fault as a probe's fault.
pub(crate) fn run_fault(what: &str, fault: &RunFault) -> ProbeFault {
    let what = what.to_owned();
    let failed = |what, error: &std::io::Error, said| ProbeFault::Failed {
        what,
        status: error.raw_os_error().unwrap_or_default(),
        said,
    };
    let said = fault.to_string();
    match fault {
        RunFault::Start { source, .. } if source.kind() == ErrorKind::NotFound => ProbeFault::Absent { what, said },
        RunFault::Start { source, .. } => failed(what, source, said),
        RunFault::Supervision(source) => failed(what, source, said),
        RunFault::Timeout { after } => ProbeFault::Timeout { what, after_ms: whole_millis(*after) },
        RunFault::Stuck { pid } => ProbeFault::Stuck { what, pid: *pid },
        RunFault::TooMuch { .. } => ProbeFault::Garbled { what, why: said },
        RunFault::Abandoned => ProbeFault::HandUnavailable { what, said },
    }
}
