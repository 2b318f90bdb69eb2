//! The spool of events as a file of our own: 0600 in a directory of 0700, appended to or replaced as a whole, and never through a link.

use super::folder::make_private_dir;
use super::store::{StoreError, read_bounded, write_atomic};
use model::event::SPOOL_MAX_BYTES;
use model::ports::{EventLogPort, LedgerError};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::geteuid;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory in that of the daemon's state.
const DIRECTORY: &str = "events";
/// The file.
const FILE: &str = "spool.log";
/// A copy of a damaged one.
const DAMAGED: &str = "spool.log.damaged";

/// The file. No call blocks an async thread.
#[derive(Debug, Clone)]
pub struct FileEventLog {
    directory: PathBuf,
}

impl FileEventLog {
    /// The spool in the directory of the daemon's state.
    #[must_use]
    pub fn below(state: &Path) -> Self {
        Self { directory: state.join(DIRECTORY) }
    }

    async fn run<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let directory = self.directory.clone();
        let done = tokio::task::spawn_blocking(move || work(&directory)).await;
        let attempted = format!("{attempted} {}", self.place());
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(said)) => Err(LedgerError { attempted, said }),
            Err(broken) => Err(LedgerError { attempted, said: broken.to_string() }),
        }
    }
}

impl EventLogPort for FileEventLog {
    fn place(&self) -> String {
        self.directory.join(FILE).display().to_string()
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        self.run("read", read).await
    }

    async fn append(&self, bytes: Vec<u8>, sync: bool) -> Result<(), LedgerError> {
        self.run("append to", move |directory| append(&directory.join(FILE), &bytes, sync)).await
    }

    async fn replace(&self, bytes: Vec<u8>) -> Result<(), LedgerError> {
        self.run("write", move |directory| {
            make_private_dir(directory).map_err(|fault| fault.to_string())?;
            let path = directory.join(FILE);
            if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
                return Err(format!(
                    "something other than a file is in its place; remove it: rm -ri {}",
                    path.display()
                ));
            }
            write_atomic(directory, FILE, &bytes, 0o600).map_err(|fault| fault.to_string())
        })
        .await
    }

    async fn set_aside(&self) -> Result<String, LedgerError> {
        self.run("keep a copy of", |directory| {
            let bytes = read_bounded(&directory.join(FILE), SPOOL_MAX_BYTES).map_err(|fault| fault.to_string())?;
            write_atomic(directory, DAMAGED, &bytes, 0o600).map_err(|fault| fault.to_string())?;
            Ok(directory.join(DAMAGED).display().to_string())
        })
        .await
    }
}

fn read(directory: &Path) -> Result<Option<Vec<u8>>, String> {
    let path = directory.join(FILE);
    match path.symlink_metadata() {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(format!("{fault}; check the directory: ls -ld {}", directory.display())),
        Ok(found) if found.uid() != geteuid().as_raw() => {
            let (theirs, ours) = (found.uid(), geteuid());
            let path = path.display();
            return Err(format!(
                "it belongs to the user {theirs}, and the service runs as {ours}; `chown {ours} {path}`"
            ));
        }
        Ok(_) => {}
    }
    match read_bounded(&path, SPOOL_MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Appends all of it or, as far as the host allows, nothing: a part that was written before the disk was full is cut off again.
fn append(path: &Path, bytes: &[u8], sync: bool) -> Result<(), String> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|fault| fault.desc().to_owned())?;
    let status = fstat(&file).map_err(|fault| fault.desc().to_owned())?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err("it is not a regular file; find out what created it, and remove it".to_owned());
    }
    let mut file = File::from(file);
    let written = file.write_all(bytes).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
    written.map_err(|fault| {
        // The fault of the write is what is reported; where this fails too, the next line begins behind the part that is there.
        let _cut = u64::try_from(status.st_size).map(|before| file.set_len(before));
        fault.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn log() -> (tempfile::TempDir, FileEventLog, PathBuf) {
        let state = tempfile::tempdir().unwrap();
        let (log, path) = (FileEventLog::below(state.path()), state.path().join("events/spool.log"));
        (state, log, path)
    }

    #[tokio::test]
    async fn it_is_there_for_us_alone_and_appended_to() {
        let (_state, log, path) = log();
        assert_eq!(log.read().await, Ok(None));
        assert!(log.append(b"x\n".to_vec(), true).await.is_err(), "what is not there is not appended to");
        log.replace(b"one\n".to_vec()).await.unwrap();
        log.append(b"two\n".to_vec(), true).await.unwrap();
        log.append(b"three\n".to_vec(), false).await.unwrap();
        assert_eq!(log.read().await, Ok(Some(b"one\ntwo\nthree\n".to_vec())));
        log.replace(b"four\n".to_vec()).await.unwrap();
        assert_eq!(log.read().await, Ok(Some(b"four\n".to_vec())));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(log.set_aside().await.unwrap(), path.with_extension("log.damaged").display().to_string());
    }

    #[tokio::test]
    async fn whatever_is_in_its_place_is_no_missing_file_and_stays() {
        let things: [fn(&Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| symlink("/nowhere", path).unwrap(),
            |path| nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap(),
        ];
        for put in things {
            let (_state, log, path) = log();
            fs::create_dir(path.parent().unwrap()).unwrap();
            put(&path);
            for refused in [
                log.read().await.map(drop),
                log.append(b"x\n".to_vec(), true).await,
                log.replace(b"x\n".to_vec()).await,
            ] {
                let said = refused.unwrap_err().to_string();
                assert!(said.contains(path.to_str().unwrap()), "{said}");
            }
            assert!(!path.symlink_metadata().unwrap().is_file());
        }
    }

    #[tokio::test]
    async fn a_file_in_place_of_the_directory_and_one_that_is_too_large_are_named() {
        let (state, log, _) = log();
        fs::write(state.path().join("events"), "x").unwrap();
        let said = log.replace(b"x".to_vec()).await.unwrap_err().to_string();
        assert!(said.contains("/events") && log.read().await.is_err(), "{said}");
        fs::remove_file(state.path().join("events")).unwrap();
        log.replace(vec![b'x'; SPOOL_MAX_BYTES + 1]).await.unwrap();
        assert!(log.read().await.unwrap_err().to_string().contains("larger"));
    }
}
