//! The shells, and their scripts.

use clap::ValueEnum;

/// A shell for which there is a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// The GNU shell
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

impl Shell {
    /// Its script.
    pub(crate) const fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../../../../packaging/completions/gpuhostctl.bash"),
            Self::Zsh => include_str!("../../../../packaging/completions/gpuhostctl.zsh"),
            Self::Fish => include_str!("../../../../packaging/completions/gpuhostctl.fish"),
        }
    }
}
