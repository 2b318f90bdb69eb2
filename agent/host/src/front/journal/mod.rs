//! The journal of changes (a write-ahead log) as files in a folder of our own: one document to a file, 0600, on disk before it
//! is reported.

use super::folder::make_private_dir;
use super::store::{StoreError, create_atomic, read_bounded, remove, write_atomic};
use model::os_cause::OsCause;
use model::ports::{JournalDocument, JournalError, JournalPort};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More than any entry needs.
const ENTRY_MAX_BYTES: usize = 1024 * 1024;
/// One lane has one entry; more files than this are not ours.
const MOST_ENTRIES: usize = 4096;

/// The files below one folder, which is made with mode 0700 when the first is written. No call blocks an async thread.
#[derive(Debug, Clone)]
pub struct FileJournal {
    dir: PathBuf,
    /// Names that were read or written here: these alone are replaced and removed.
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl FileJournal {
    /// The journal in a folder; the folder above it must be there.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, known: Arc::default() }
    }

    async fn run<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Path, &mut BTreeSet<String>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (dir, known) = (self.dir.clone(), Arc::clone(&self.known));
        let done = tokio::task::spawn_blocking(move || work(&dir, &mut lock(&known))).await;
        let broken = |fault: tokio::task::JoinError| JournalError {
            attempted: attempted.to_owned(),
            path: self.dir.clone(),
            cause: OsCause::found(fault.to_string()),
        };
        done.map_err(broken)?.map_err(|fault| fault.into_journal_error(attempted, &self.dir))
    }
}

/// A panic in the middle leaves a set of names that is still true.
fn lock(known: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl JournalPort for FileJournal {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalError> {
        self.run("read the entries of", |dir, known| {
            let documents = read_all(dir)?;
            known.extend(documents.iter().filter(|one| one.content.is_ok()).map(|one| one.name.clone()));
            Ok(documents)
        })
        .await
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalError> {
        let name = name.to_owned();
        self.run("write an entry in", move |dir, known| {
            make_private_dir(dir)?;
            if known.contains(&name) {
                return write_atomic(dir, &name, &document, 0o600);
            }
            let made = create_atomic(dir, &name, &document, 0o600);
            // Where only the last step failed the file is there all the same, and it is ours.
            if !matches!(made, Err(StoreError::Exists { .. })) && dir.join(&name).symlink_metadata().is_ok() {
                known.insert(name);
            }
            made
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<(), JournalError> {
        let name = name.to_owned();
        self.run("remove an entry of", move |dir, known| {
            let path = dir.join(&name);
            if !known.contains(&name) && path.symlink_metadata().is_ok() {
                return Err(StoreError::Exists { path });
            }
            remove(dir, &name)
        })
        .await
    }
}

/// Half-written copies (`.NAME.new`) are none: what they would have replaced is there.
fn read_all(dir: &Path) -> Result<Vec<JournalDocument>, StoreError> {
    let host = |source| StoreError::Host { attempted: "list the directory", path: dir.to_owned(), source };
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(host)?,
    };
    let mut names: Vec<OsString> = Vec::new();
    for entry in listed {
        let name = entry.map_err(host)?.file_name();
        let shown = name.to_string_lossy();
        if shown.ends_with(".json") && !shown.starts_with('.') {
            names.push(name);
        }
    }
    if names.len() > MOST_ENTRIES {
        return Err(host(std::io::Error::other(format!("{} files that are not journal entries", names.len()))));
    }
    names.sort();
    Ok(names.into_iter().filter_map(|name| document(dir, &name)).collect())
}

/// One file; `None` where it went meanwhile.
fn document(dir: &Path, name: &OsString) -> Option<JournalDocument> {
    let place = dir.join(name);
    let content = match read_bounded(&place, ENTRY_MAX_BYTES) {
        Err(StoreError::Missing { .. }) => return None,
        content => content.map_err(|fault| fault.into_journal_error("read", &place).cause),
    };
    Some(JournalDocument { name: name.to_string_lossy().into_owned(), place: place.display().to_string(), content })
}

#[cfg(test)]
mod tests;
