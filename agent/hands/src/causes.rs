//! An error with the chain of its causes, as one line for a log or a report.

use std::error::Error;

/// The error and what caused it, from the outermost to the innermost, joined by colons.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    std::iter::successors(error.source(), |cause| (*cause).source())
        .fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameFault;

    #[test]
    fn the_innermost_cause_is_said_too() {
        let cause = std::io::Error::other("cable cut");
        assert_eq!(with_causes(&FrameFault::Socket(cause)), "the socket failed: cable cut");
    }
}
