//! A simulated disk for the ledger of the desired state: it outlives the daemon, and stops it before or behind any write.

use model::ports::{LedgerError, LedgerPort};
use std::future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the daemon is killed: at the write (or copy) of this number, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerCrash {
    /// Before anything of it is on disk.
    Before(u32),
    /// When it is on disk, and before anybody hears that.
    Behind(u32),
}

/// What is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerDisk {
    /// What has the ledger's name: its bytes, or why they cannot be read; `None` = nothing has it.
    pub content: Option<Result<Vec<u8>, String>>,
    /// What was set aside.
    pub aside: Vec<Result<Vec<u8>, String>>,
    /// Writes that reached the disk.
    pub writes: u32,
    /// While set, every write is refused with these words.
    pub refuses: Option<String>,
    /// Where the daemon is killed.
    pub crash: Option<LedgerCrash>,
    /// Writes and copies that were begun.
    begun: u32,
}

impl LedgerDisk {
    /// Writes and copies that were begun, those included that failed or killed the daemon.
    #[must_use]
    pub const fn begun(&self) -> u32 {
        self.begun
    }
}

/// The ledger on a simulated disk. Clones share the disk: a daemon that starts again gets a clone.
#[derive(Debug, Clone, Default)]
pub struct SimLedger {
    disk: Arc<Mutex<LedgerDisk>>,
}

impl SimLedger {
    /// Looks at the disk, or changes it behind the daemon's back.
    pub fn disk<T>(&self, look: impl FnOnce(&mut LedgerDisk) -> T) -> T {
        look(&mut self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, LedgerDisk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One change of the disk; a killed daemon never hears of it.
    async fn change<T>(
        &self,
        attempted: &str,
        work: impl FnOnce(&mut LedgerDisk) -> T + Send,
    ) -> Result<T, LedgerError> {
        let outcome = {
            let mut disk = self.locked();
            disk.begun += 1;
            if disk.crash == Some(LedgerCrash::Before(disk.begun)) {
                None
            } else if let Some(said) = disk.refuses.clone() {
                Some(Err(LedgerError { attempted: format!("{attempted} {}", self.place()), said }))
            } else {
                let done = work(&mut disk);
                (disk.crash != Some(LedgerCrash::Behind(disk.begun))).then_some(Ok(done))
            }
        };
        match outcome {
            Some(outcome) => outcome,
            None => future::pending().await,
        }
    }
}

impl LedgerPort for SimLedger {
    fn place(&self) -> String {
        "the simulated ledger".to_owned()
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        let unreadable = |said: String| LedgerError { attempted: format!("read {}", self.place()), said };
        self.disk(|disk| disk.content.clone().transpose()).map_err(unreadable)
    }

    async fn write(&self, document: Vec<u8>) -> Result<(), LedgerError> {
        self.change("write", |disk| {
            disk.content = Some(Ok(document));
            disk.writes += 1;
        })
        .await
    }

    async fn set_aside(&self) -> Result<Option<String>, LedgerError> {
        self.change("keep a copy of", |disk| {
            let content = disk.content.clone()?;
            // What is no file can only be moved.
            disk.content = content.is_ok().then(|| content.clone());
            disk.aside.push(content);
            Some(format!("copy {}", disk.aside.len()))
        })
        .await
    }
}
