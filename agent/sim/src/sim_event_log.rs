//! A simulated disk for the spool of events: it outlives the daemon, cuts a write at any byte, and refuses on demand.

use model::ports::{EventLogPort, LedgerError};
use std::future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventDisk {
    /// What has the file's name: its bytes, or why they cannot be read; `None` = nothing has it.
    pub content: Option<Result<Vec<u8>, String>>,
    /// What was set aside last.
    pub aside: Option<Vec<u8>>,
    /// While set, every write is refused with these words.
    pub refuses: Option<String>,
    /// The daemon is killed at the write of this number, counted from 1, when so many bytes of it are on disk.
    pub crash: Option<(u32, usize)>,
    /// Writes that were begun.
    pub begun: u32,
    /// Of them, those that were to be on disk before they were reported.
    pub synced: u32,
}

/// The file on a simulated disk. Clones share the disk: a daemon that starts again gets a clone.
#[derive(Debug, Clone, Default)]
pub struct SimEventLog {
    disk: Arc<Mutex<EventDisk>>,
}

impl SimEventLog {
    /// Looks at the disk, or changes it behind the daemon's back.
    pub fn disk<T>(&self, look: impl FnOnce(&mut EventDisk) -> T) -> T {
        look(&mut self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, EventDisk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, attempted: &str, said: String) -> LedgerError {
        LedgerError { attempted: format!("{attempted} {}", self.place()), said }
    }

    /// One write; `None` = the daemon was killed in it.
    fn write(&self, attempted: &str, bytes: &[u8], is_whole: bool) -> Option<Result<(), LedgerError>> {
        let mut disk = self.locked();
        disk.begun += 1;
        let killed = disk.crash.filter(|(at, _)| *at == disk.begun).map(|(_, cut)| cut.min(bytes.len()));
        if let Some(said) = disk.refuses.clone() {
            return Some(Err(self.fault(attempted, said)));
        }
        let before = disk.content.clone().and_then(Result::ok);
        let whole = killed.is_none_or(|cut| cut == bytes.len());
        match (is_whole, before) {
            // A replacement is there as a whole or not at all.
            (true, _) if whole => disk.content = Some(Ok(bytes.to_vec())),
            (true, _) => {}
            (false, Some(mut content)) => {
                content.extend(bytes.iter().take(killed.unwrap_or(bytes.len())));
                disk.content = Some(Ok(content));
            }
            (false, None) => return Some(Err(self.fault(attempted, "No such file or directory".to_owned()))),
        }
        killed.is_none().then_some(Ok(()))
    }
}

impl EventLogPort for SimEventLog {
    fn place(&self) -> String {
        "the simulated spool".to_owned()
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        self.disk(|disk| disk.content.clone().transpose()).map_err(|said| self.fault("read", said))
    }

    async fn append(&self, bytes: Vec<u8>, sync: bool) -> Result<(), LedgerError> {
        self.disk(|disk| disk.synced += u32::from(sync));
        match self.write("append to", &bytes, false) {
            Some(done) => done,
            None => future::pending().await,
        }
    }

    async fn replace(&self, bytes: Vec<u8>) -> Result<(), LedgerError> {
        match self.write("write", &bytes, true) {
            Some(done) => done,
            None => future::pending().await,
        }
    }

    async fn set_aside(&self) -> Result<String, LedgerError> {
        self.disk(|disk| disk.aside = disk.content.clone().and_then(Result::ok));
        Ok("a copy".to_owned())
    }
}
