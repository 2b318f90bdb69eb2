//! A ledger (of the desired state, of NVIDIA's containers) as a file of our own: 0600, replaced as a whole, on disk before it is reported.

use super::store::{StoreError, read_bounded, write_atomic};
use model::desired::LEDGER_MAX_BYTES;
use model::ports::{LedgerError, LedgerPort};
use nix::unistd::geteuid;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The desired state, in the folder of the daemon's state.
const DESIRED: &str = "desired.json";
/// The record of NVIDIA's containers.
const NVIDIA: &str = "nvidia.json";
/// The record of workspaces.
const WORKSPACES: &str = "workspaces.json";
/// The record of images that were pulled.
const IMAGES: &str = "images.json";
/// So many damaged files are kept beside it.
const ASIDE_MOST: u32 = 8;

/// The file. No call blocks an async thread.
#[derive(Debug, Clone)]
pub struct FileLedger {
    state: PathBuf,
    file: &'static str,
}

impl FileLedger {
    /// The ledger of the desired state in the folder of the daemon's state.
    #[must_use]
    pub fn below(state: &Path) -> Self {
        Self { state: state.to_owned(), file: DESIRED }
    }

    /// The record of NVIDIA's containers in the folder of the daemon's state.
    #[must_use]
    pub fn of_nvidia(state: &Path) -> Self {
        Self { state: state.to_owned(), file: NVIDIA }
    }

    /// The record of workspaces in the folder of the daemon's state.
    #[must_use]
    pub fn of_workspaces(state: &Path) -> Self {
        Self { state: state.to_owned(), file: WORKSPACES }
    }

    /// The record of images in the folder of the daemon's state.
    #[must_use]
    pub fn of_images(state: &Path) -> Self {
        Self { state: state.to_owned(), file: IMAGES }
    }

    async fn run<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Path, &'static str) -> Result<T, String> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (state, file) = (self.state.clone(), self.file);
        let done = tokio::task::spawn_blocking(move || work(&state, file)).await;
        let attempted = format!("{attempted} {}", self.place());
        let fault = |said: String| LedgerError { attempted, said };
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(said)) => Err(fault(said)),
            Err(broken) => Err(fault(broken.to_string())),
        }
    }
}

impl LedgerPort for FileLedger {
    fn place(&self) -> String {
        self.state.join(self.file).display().to_string()
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        self.run("read", |state, file| read(&state.join(file))).await
    }

    async fn write(&self, document: Vec<u8>) -> Result<(), LedgerError> {
        self.run("write", move |state, file| {
            if state.join(file).symlink_metadata().is_ok_and(|found| !found.is_file()) {
                return Err("something other than a file is in its place".to_owned());
            }
            write_atomic(state, file, &document, 0o600).map_err(|fault| fault.to_string())
        })
        .await
    }

    async fn set_aside(&self) -> Result<Option<String>, LedgerError> {
        self.run("keep a copy of", set_aside).await
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match path.symlink_metadata() {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault.to_string()),
        // What somebody else wrote is nobody's wish.
        Ok(found) if found.uid() != geteuid().as_raw() => {
            let (theirs, ours) = (found.uid(), geteuid());
            return Err(format!(
                "it belongs to the user {theirs}, and the service runs as {ours}: where it is right, `chown {ours} {}`",
                path.display()
            ));
        }
        Ok(_) => {}
    }
    match read_bounded(path, LEDGER_MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// A second name is given where that is possible, so that at no instant nothing has the first; what is no file is
/// renamed.
fn set_aside(state: &Path, file: &str) -> Result<Option<String>, String> {
    let from = state.join(file);
    let is_file = match from.symlink_metadata() {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault.to_string()),
        Ok(found) => found.is_file(),
    };
    for number in 1..=ASIDE_MOST {
        let to = state.join(format!("{file}.damaged-{number}"));
        if to.symlink_metadata().is_ok() {
            continue;
        }
        let linked = is_file && std::fs::hard_link(&from, &to).is_ok();
        let kept = if linked { Ok(()) } else { std::fs::rename(&from, &to) };
        return kept.map(|()| Some(to.display().to_string())).map_err(|fault| fault.to_string());
    }
    Err(format!("{ASIDE_MOST} damaged copies are there already: look at {}.damaged-* and remove them", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn ledger() -> (tempfile::TempDir, FileLedger, PathBuf) {
        let state = tempfile::tempdir().unwrap();
        let (ledger, path) = (FileLedger::below(state.path()), state.path().join(DESIRED));
        (state, ledger, path)
    }

    #[tokio::test]
    async fn it_is_there_for_us_alone_and_replaced_as_a_whole() {
        let (state, ledger, path) = ledger();
        assert_eq!(ledger.read().await, Ok(None));
        assert_eq!(ledger.set_aside().await, Ok(None), "nothing is there");
        ledger.write(b"one".to_vec()).await.unwrap();
        ledger.write(b"two".to_vec()).await.unwrap();
        assert_eq!(ledger.read().await, Ok(Some(b"two".to_vec())));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "no draft is left");
    }

    #[tokio::test]
    async fn whatever_is_in_its_place_is_no_missing_file_and_is_kept_beside() {
        let (state, ledger, path) = ledger();
        let mut kept = Vec::new();
        let things: [fn(&Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| symlink("/nowhere", path).unwrap(),
            |path| fs::write(path, vec![b'x'; LEDGER_MAX_BYTES + 1]).unwrap(),
        ];
        for put in things {
            put(&path);
            let said = ledger.read().await.unwrap_err().to_string();
            assert!(said.contains(path.to_str().unwrap()), "{said}");
            let is_file = path.symlink_metadata().unwrap().is_file();
            assert_eq!(ledger.write(b"new".to_vec()).await.is_ok(), is_file);
            kept.push(ledger.set_aside().await.unwrap().unwrap());
            ledger.write(b"new".to_vec()).await.unwrap();
            assert_eq!(ledger.read().await, Ok(Some(b"new".to_vec())));
            fs::remove_file(&path).unwrap();
        }
        let expected = [1, 2, 3].map(|n| state.path().join(format!("desired.json.damaged-{n}")).display().to_string());
        assert_eq!(kept, expected);
        assert!(Path::new(&kept[0]).is_dir() && Path::new(&kept[1]).is_symlink());
    }

    #[tokio::test]
    async fn a_damaged_file_has_its_name_until_it_is_replaced_and_copies_are_bounded() {
        let (_state, ledger, path) = ledger();
        fs::write(&path, "damaged").unwrap();
        for _ in 0..ASIDE_MOST {
            ledger.set_aside().await.unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "damaged", "a crash here finds it damaged, not missing");
        }
        let said = ledger.set_aside().await.unwrap_err().to_string();
        assert!(said.contains("8 damaged copies are there already"), "{said}");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_named() {
        let ledger = FileLedger::below(Path::new("/proc/self/task"));
        let said = ledger.write(b"x".to_vec()).await.unwrap_err().to_string();
        assert!(said.starts_with("cannot write /proc/self/task/desired.json: "), "{said}");
    }
}
