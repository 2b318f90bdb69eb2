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
/// They print two lines. A file system that does not respond takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const WORDS_MAX_CHARS: usize = 400;

/// The installed programs. Clones share the register of children that hang.
#[derive(Debug, Clone)]
pub struct ToolkitPrograms {
    folder: PathBuf,
    within: Duration,
    supervisor: Supervisor,
}

impl ToolkitPrograms {
    /// Those in this folder; each has this long to answer.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, within: Duration) -> Self {
        Self { folder: folder.into(), within, supervisor: Supervisor::default() }
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

    async fn asked(&self, path: &Path) -> Result<(), ActError> {
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
            Ok(finished) if finished.status.success() => Ok(()),
            Ok(finished) => {
                let words = printable(String::from_utf8_lossy(&finished.stderr).trim(), WORDS_MAX_CHARS);
                refused(format!("it exited with {}: {words}", finished.status))
            }
            Err(fault) => refused(as_cause(&fault).said),
        }
    }
}
