//! What a command about the configuration has to report, for a person or for gpuhostctl.

use program::say;
use std::process::ExitCode;

/// Exit status and texts.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct ConfigAnswer {
    /// Exit status.
    pub(super) status: u8,
    /// For standard output.
    pub(super) out: String,
    /// For standard error.
    pub(super) err: String,
}

impl ConfigAnswer {
    /// Adds a line about what failed.
    pub(super) fn fail(&mut self, status: u8, line: &str) {
        self.status = status;
        self.err += line;
        self.err.push('\n');
    }

    /// Prints it: as one line of JSON for gpuhostctl, or as it is.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn deliver(&self, as_json: bool) -> anyhow::Result<ExitCode> {
        if as_json {
            say::out(&(serde_json::to_string(self)? + "\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.err.is_empty() {
            say::error(self.err.trim_end());
        }
        say::out(&self.out)?;
        Ok(ExitCode::from(self.status))
    }
}
