//! The programs of the package, and where each of them is.

use std::path::{Path, PathBuf};

/// Where the programs are that people do not start themselves.
const LIBEXEC: &str = "/usr/libexec/gpuhostd";
/// Where the others are.
const BIN: &str = "/usr/bin";

/// A program of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnProgram {
    /// The front.
    Front,
    /// The disposable child of the hands.
    Child,
    /// Snapshot and doctor.
    Collect,
}

impl OwnProgram {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Front, Self::Child, Self::Collect];

    /// Its file name, which is the name of its package in the workspace as well.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Front => "gpuhostd",
            Self::Child => "gpuhostd-child",
            Self::Collect => "gpuhostd-collect",
        }
    }

    /// Where the package installs it.
    #[must_use]
    pub fn installed(self) -> PathBuf {
        let folder = if self == Self::Front { BIN } else { LIBEXEC };
        Path::new(folder).join(self.name())
    }

    /// Where it is: beside the program that runs, so that both are of one build; else where the package installs it. Never looked for
    /// in `PATH`.
    #[must_use]
    pub fn path(self) -> PathBuf {
        let beside = std::env::current_exe().ok().map(|running| running.with_file_name(self.name()));
        beside.filter(|path| path.is_file()).unwrap_or_else(|| self.installed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_alone_is_for_people() {
        assert_eq!(OwnProgram::Front.installed(), Path::new("/usr/bin/gpuhostd"));
        for other in OwnProgram::ALL.into_iter().filter(|program| *program != OwnProgram::Front) {
            assert_eq!(other.installed().parent(), Some(Path::new("/usr/libexec/gpuhostd")), "{other:?}");
        }
    }

    #[test]
    fn what_is_not_beside_us_is_the_installed_one_whatever_path_says() {
        // The test's own executable lies in a folder of its own, below that of the programs.
        assert_eq!(OwnProgram::Child.path(), Path::new("/usr/libexec/gpuhostd/gpuhostd-child"));
    }
}
