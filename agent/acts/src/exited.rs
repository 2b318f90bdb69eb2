//! What a disposable child left behind when it exited, as the cause of an error that crosses a port.

use model::os_cause::OsCause;
use model::printable::printable;
use protocol::child;
use spawn::{Finished, RunError};

/// The longest text of a child that is passed on, in characters.
const TEXT_MAX_CHARS: usize = 400;

/// Why there is no finished child, with the number of the host where it refused to start one.
pub(crate) fn as_cause(fault: &RunError) -> OsCause {
    let errno = match fault {
        RunError::Start { source, .. } | RunError::Supervision(source) => source.raw_os_error(),
        RunError::Timeout { .. } | RunError::Stuck { .. } | RunError::TooMuch { .. } | RunError::Abandoned => None,
    };
    OsCause { said: fault.to_string(), errno }
}

/// Whether a child reports success with its exit status; else what it reported on standard error.
pub(crate) fn ended(finished: &Finished) -> Result<(), OsCause> {
    if finished.status.success() {
        return Ok(());
    }
    let cause = on_stderr(finished);
    Err(if cause.said.is_empty() {
        OsCause::found(format!("the child process exited with {}", finished.status))
    } else {
        cause
    })
}

/// Why a child has no answer that can be parsed.
pub(crate) fn no_answer(finished: &Finished, error: &serde_json::Error) -> OsCause {
    ended(finished).err().unwrap_or_else(|| OsCause::found(format!("its output cannot be parsed: {error}")))
}

/// What a child reported on standard error: its failure with the number of the host, or whatever text is there.
pub(crate) fn on_stderr(finished: &Finished) -> OsCause {
    let text = String::from_utf8_lossy(&finished.stderr);
    let cause = child::failure_in(&text).unwrap_or_else(|| OsCause::found(text.trim()));
    OsCause { said: printable(&cause.said, TEXT_MAX_CHARS), ..cause }
}
