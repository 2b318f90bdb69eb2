//! Asks the programs that NVIDIA's toolkit container installs on the host for their version, each in a child with a deadline.

use crate::exited::as_cause;
use model::os_cause::OsCause;
use model::ports::ActError;
use model::printable::printable;
use spawn::{Own, Program, Supervisor};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the toolkit container installs them.
const FOLDER: &str = "/usr/local/nvidia/toolkit";
/// The runtime that Docker starts; without it nothing works.
const RUNTIME: &str = "nvidia-container-runtime";
/// Generates CDI specifications; asked if it is installed.
const CTK: &str = "nvidia-ctk";
/// Where a package installs it.
const PACKAGED: &str = "/usr/bin/nvidia-ctk";
/// They print two lines. A file system that does not respond takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const WORDS_MAX_CHARS: usize = 400;

/// The installed programs. Clones share the register of children that hang.
#[derive(Debug, Clone)]
pub struct ToolkitPrograms {
    folder: PathBuf,
    packaged: PathBuf,
    within: Duration,
    supervisor: Supervisor,
}

impl ToolkitPrograms {
    /// Those in this folder; each has this long to answer.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, within: Duration) -> Self {
        Self { folder: folder.into(), packaged: PACKAGED.into(), within, supervisor: Supervisor::default() }
    }

    /// Those of this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self::new(FOLDER, ANSWER_WITHIN)
    }

    /// True while one of them hangs in the kernel.
    #[must_use]
    pub fn hangs(&self) -> bool {
        !self.supervisor.stuck().is_empty()
    }

    /// Each that is installed answers `--version`.
    ///
    /// # Errors
    /// The runtime is not installed, one of them could be changed by others than root, or it does not answer.
    pub async fn answer(&self) -> Result<(), ActError> {
        self.asked(&self.folder.join(RUNTIME)).await?;
        let ctk = self.folder.join(CTK);
        let found = ctk.clone();
        let is_installed = tokio::task::spawn_blocking(move || found.is_file()).await.unwrap_or(true);
        if is_installed { self.asked(&ctk).await } else { Ok(()) }
    }

    /// The version that its program reports: the one of a package, else the one that the toolkit container has installed. `None`: neither
    /// is installed.
    ///
    /// # Errors
    /// It could be changed by others than root, does not answer, or answers without a version.
    pub async fn version(&self) -> Result<Option<String>, ActError> {
        let places = [self.packaged.clone(), self.folder.join(CTK)];
        let found = tokio::task::spawn_blocking(move || places.into_iter().find(|path| path.is_file())).await;
        let Some(path) = found.unwrap_or_default() else { return Ok(None) };
        let words = self.words(&path).await?;
        toolkit_version(&words).map(Some).ok_or_else(|| ActError::Refused {
            attempted: format!("run {} --version", path.display()),
            cause: OsCause::found(format!("its answer has no version: {}", printable(words.trim(), WORDS_MAX_CHARS))),
        })
    }

    async fn asked(&self, path: &Path) -> Result<(), ActError> {
        self.words(path).await.map(drop)
    }

    /// What it prints.
    async fn words(&self, path: &Path) -> Result<String, ActError> {
        let attempted = format!("run {} --version", path.display());
        let refused = |said: String| {
            let cause = OsCause::found(said);
            Err(ActError::Refused { attempted: attempted.clone(), cause })
        };
        let opened = path.to_owned();
        let checked = tokio::task::spawn_blocking(move || Own::at(&opened).check()).await;
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return refused(format!("{error}; the toolkit container installs it")),
            Err(broken) => return refused(broken.to_string()),
        }
        // A script, which its interpreter opens by its path.
        let program = Program::new(path, ["--version".into()], self.within);
        match self.supervisor.run("toolkit-version", program).await {
            Ok(finished) if finished.status.success() => Ok(String::from_utf8_lossy(&finished.stdout).into_owned()),
            Ok(finished) => {
                let words = printable(String::from_utf8_lossy(&finished.stderr).trim(), WORDS_MAX_CHARS);
                refused(format!("it exited with {}: {words}", finished.status))
            }
            Err(fault) => refused(as_cause(&fault).said),
        }
    }
}

/// `NVIDIA Container Toolkit CLI version 1.17.8`.
fn toolkit_version(words: &str) -> Option<String> {
    let (_, rest) = words.split_once(" version ")?;
    let version = rest.split_whitespace().next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_behind_version() {
        let words = "NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a9b9d0db00d9b1d73c0128c8962c55f4d\n";
        assert_eq!(toolkit_version(words).as_deref(), Some("1.17.8"));
        for other in ["", "version 1", "a version of it", "segmentation fault"] {
            assert_eq!(toolkit_version(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_host_without_the_toolkit_has_no_version_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let programs = ToolkitPrograms {
            packaged: folder.path().join("none"),
            ..ToolkitPrograms::new(folder.path(), ANSWER_WITHIN)
        };
        assert_eq!(programs.version().await, Ok(None));
    }
}
