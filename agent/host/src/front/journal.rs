//! The journal of changes as files in a folder of our own: one document to a file, 0600, on disk before it is said.

use super::folder::make_private_dir;
use super::store::{StoreFault, read_bounded, remove, write_atomic};
use model::ports::{JournalFault, JournalPort};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// More than any entry needs.
const ENTRY_MAX_BYTES: usize = 1024 * 1024;
/// One lane has one entry; more files than this are not ours.
const MOST_ENTRIES: usize = 4096;

/// The files below one folder, which is made with mode 0700 when the first is written. No call blocks an async thread.
#[derive(Debug, Clone)]
pub struct FileJournal {
    dir: PathBuf,
}

impl FileJournal {
    /// The journal in a folder; the folder above it must be there.
    #[must_use]
    pub const fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    async fn run<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Path) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, JournalFault> {
        let (dir, shown) = (self.dir.clone(), format!("{attempted} in {}", self.dir.display()));
        let done = tokio::task::spawn_blocking(move || work(&dir)).await;
        let fault = |said: String| JournalFault { attempted: shown.clone(), said };
        done.map_err(|broken| fault(broken.to_string()))?.map_err(|said| fault(said.to_string()))
    }
}

impl JournalPort for FileJournal {
    async fn read_all(&self) -> Result<Vec<(String, Vec<u8>)>, JournalFault> {
        self.run("read the entries", read_all).await
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalFault> {
        let name = name.to_owned();
        self.run("write an entry", move |dir| {
            make_private_dir(dir)?;
            write_atomic(dir, &name, &document, 0o600)
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<(), JournalFault> {
        let name = name.to_owned();
        self.run("remove an entry", move |dir| remove(dir, &name)).await
    }
}

/// Half-written copies (`.NAME.new`) are none: what they would have replaced is there.
fn read_all(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, StoreFault> {
    let host = |source| StoreFault::Host { attempted: "list the folder", path: dir.to_owned(), source };
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(host)?,
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.map_err(host)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") && !name.starts_with('.') {
            names.push(name);
        }
    }
    if names.len() > MOST_ENTRIES {
        return Err(host(std::io::Error::other(format!("{} files: these are not ours", names.len()))));
    }
    names.sort();
    let read = |name: String| read_bounded(&dir.join(&name), ENTRY_MAX_BYTES).map(|bytes| (name, bytes));
    names.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn what_is_put_is_read_again_and_nobody_else_may_read_it() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("journal");
        let journal = FileJournal::at(dir.clone());
        assert_eq!(journal.read_all().await.unwrap(), vec![], "no folder is an empty journal");
        journal.put("group-7.json", b"old".to_vec()).await.unwrap();
        journal.put("group-7.json", b"new".to_vec()).await.unwrap();
        journal.put("group-1.json", b"one".to_vec()).await.unwrap();
        std::fs::write(dir.join(".group-9.json.new"), "half").unwrap();
        let named = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let all = FileJournal::at(dir.clone()).read_all().await.unwrap();
        assert_eq!(all, [named("group-1.json", "one"), named("group-7.json", "new")]);
        assert_eq!((mode(&dir), mode(&dir.join("group-7.json"))), (0o700, 0o600));
        journal.remove("group-7.json").await.unwrap();
        journal.remove("group-7.json").await.unwrap();
        assert_eq!(journal.read_all().await.unwrap(), [named("group-1.json", "one")]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_fault_that_names_it_and_never_an_empty_journal() {
        let above = tempfile::tempdir().unwrap();
        let file = above.path().join("journal");
        std::fs::write(&file, "").unwrap();
        let fault = FileJournal::at(file.clone()).read_all().await.unwrap_err();
        assert!(fault.to_string().contains(file.to_str().unwrap()), "{fault}");
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", file.join("group-1.json")).unwrap();
        let fault = FileJournal::at(file.clone()).read_all().await.unwrap_err();
        assert!(fault.to_string().contains("group-1.json"), "{fault}");
        let fault = FileJournal::at(file).put("../x.json", vec![]).await.unwrap_err();
        assert!(fault.to_string().contains("../x.json"), "{fault}");
    }
}
