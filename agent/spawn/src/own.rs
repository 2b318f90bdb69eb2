//! A program of the package, held open from the start of the process that will start it.
//!
//! What is started later is the file that was found, whatever its path leads to by then: while a package is upgraded a hand goes on
//! with the child of its own version, and a user who may not enter the folder of the program can still run it.

use files::{OwnProgram, hold};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::process::Command;

/// A program of the package.
#[derive(Debug, Clone)]
pub struct Own {
    path: PathBuf,
    /// The open file, or why it cannot be started.
    file: Result<Arc<OwnedFd>, (io::ErrorKind, String)>,
}

impl Own {
    /// Finds and opens it. One that is not there, or that cannot be trusted, reports it each time that it is to be started.
    #[must_use]
    pub fn find(program: OwnProgram) -> Self {
        Self::at(program.path())
    }

    /// The program at this path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let file = hold(&path).map(Arc::new).map_err(|error| (error.kind(), error.to_string()));
        Self { path, file }
    }

    /// Its path, for people: it is not started by it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there and may be started: nobody may change it who could not change the program that runs.
    ///
    /// # Errors
    /// It could not be opened, or is not to be trusted.
    pub fn check(&self) -> io::Result<()> {
        self.file.as_ref().map(|_| ()).map_err(|(kind, said)| io::Error::new(*kind, said.clone()))
    }

    /// The command that starts it, under its path as name.
    ///
    /// # Errors
    /// It could not be opened, or is not to be trusted.
    pub(crate) fn command(&self) -> io::Result<Command> {
        let file = self.file.as_ref().map_err(|(kind, said)| io::Error::new(*kind, said.clone()))?;
        // The descriptor closes when the program starts; the kernel has opened it by then.
        let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
        command.arg0(&self.path);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command as Plain;

    /// A copy of the shell, made by a process of its own: one that we write ourselves could still be open in a child of another test.
    fn installed(path: &Path) -> u64 {
        let copied = Plain::new("install").args(["-m", "755", "/bin/sh"]).arg(path).status();
        assert!(copied.unwrap().success());
        std::fs::metadata(path).unwrap().ino()
    }

    /// The inode of the program that ran.
    async fn ran(own: &Own) -> u64 {
        let mut command = own.command().unwrap();
        let output = command.args(["-c", "stat -L -c %i /proc/$$/exe; :"]).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    #[tokio::test]
    async fn what_was_found_is_started_also_after_an_upgrade_has_replaced_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, next) = (folder.path().join("child"), folder.path().join("next"));
        let old = installed(&path);
        let own = Own::at(&path);
        assert_eq!(ran(&own).await, old);
        let new = installed(&next);
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(ran(&own).await, old, "the one that was opened");
        assert_eq!(ran(&Own::at(&path)).await, new);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ran(&own).await, old);
    }

    #[test]
    fn what_is_not_there_or_no_program_says_so_when_it_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Own::at(folder.path().join("none"));
        assert_eq!(missing.command().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Own::at(folder.path()).command().unwrap_err().to_string().contains("not a plain file"));
    }
}
