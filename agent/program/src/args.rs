//! Command lines that are invalid.

/// A command line that is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// Unknown or incomplete option.
    #[error("{0}; see --help")]
    Syntax(#[from] lexopt::Error),
    /// A word that is not known.
    #[error("{word:?} is not known here: expected {expected}; see --help")]
    Word {
        /// What was given.
        word: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A word that another program of the package knows.
    #[error("{word:?} is no part of this program any more: {instead}")]
    Moved {
        /// What was given.
        word: String,
        /// What to use instead.
        instead: &'static str,
    },
    /// Another root for /sys without `--with-hands`.
    #[error("--sysfs needs --with-hands: hands that systemd starts look at the real /sys")]
    SysfsAlone,
    /// Another kernel log without `--with-hands`.
    #[error("--kernel-log needs --with-hands: under systemd the kernel log is what StandardInput= of the unit names")]
    KernelLogAlone,
}

impl ArgsError {
    /// An unknown word, and what was expected instead.
    #[must_use]
    pub fn word(word: &str, expected: &'static str) -> Self {
        Self::Word { word: word.to_owned(), expected }
    }
}
