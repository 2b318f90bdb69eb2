//! The record that a readiness call was accepted: a file of our own, replaced as a whole.

use host::front::{StoreError, read_bounded, write_atomic};
use model::readiness::ReadinessRecord;
use std::path::{Path, PathBuf};

/// The file, in the folder of durable state.
const FILE: &str = "readiness.json";
/// More than it ever has.
const MAX_BYTES: usize = 4096;

/// The file.
#[derive(Debug, Clone)]
pub(super) struct RecordFile {
    state: PathBuf,
}

impl RecordFile {
    /// The one in this folder.
    pub(super) fn below(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// What is recorded. A file that cannot be used counts as none: the call is made once more, and never forgotten.
    pub(super) async fn read(&self) -> Option<ReadinessRecord> {
        let path = self.state.join(FILE);
        let read = tokio::task::spawn_blocking(move || read_bounded(&path, MAX_BYTES)).await;
        match read {
            Ok(Ok(bytes)) => ReadinessRecord::read(&bytes),
            Ok(Err(StoreError::Missing { .. })) | Err(_) => None,
            Ok(Err(fault)) => {
                tracing::info!("the record of the readiness call cannot be used, and the call is made again: {fault}");
                None
            }
        }
    }

    /// Records it; on disk when it returns.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn write(&self, record: &ReadinessRecord) -> Result<(), String> {
        let bytes = serde_json::to_vec(record).map_err(|fault| fault.to_string())?;
        let state = self.state.clone();
        let written = tokio::task::spawn_blocking(move || write_atomic(&state, FILE, &bytes, 0o600)).await;
        written.map_err(|cut| cut.to_string())?.map_err(|fault| fault.to_string())
    }
}
