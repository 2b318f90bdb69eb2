//! An error with the chain of its causes, as one line for a person.

use std::error::Error;

/// The error and what caused it, from the outermost to the innermost, joined by colons. A cause that the text before it names already
/// is left out: many errors, ours and those of libraries, have their cause in their own text.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        cause = inner.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Fault {
        #[error("the socket failed")]
        Silent(#[source] Box<Fault>),
        #[error("cannot read x: {0}")]
        Telling(#[source] std::io::Error),
    }

    #[test]
    fn each_cause_is_said_once() {
        let cut = || std::io::Error::from_raw_os_error(28);
        let told = "cannot read x: No space left on device (os error 28)";
        assert_eq!(with_causes(&Fault::Telling(cut())), told);
        assert_eq!(with_causes(&Fault::Silent(Box::new(Fault::Telling(cut())))), format!("the socket failed: {told}"));
        assert_eq!(with_causes(&cut()), "No space left on device (os error 28)");
    }
}
