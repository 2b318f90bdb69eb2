//! The identity folder: each document a whole file with mode 0600, replaced as a whole and on disk when it is reported as kept.

use crate::checkin::identity::{Forgotten, Identity, LastReply, Pending, SCHEMA};
use host::front::{StoreError, read_bounded, remove, write_atomic};
use secrecy::zeroize::Zeroizing;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const IDENTITY: &str = "identity.json";
const PENDING: &str = "enrolment.json";
const FORGOTTEN: &str = "forgotten.json";
const LAST_REPLY: &str = "last-reply.json";
/// There while this host leaves its manager: what is beside it is to be wiped.
const LEAVING: &str = "leaving.json";
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// A file of the identity folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    /// The host refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what this version writes.
    #[error("{} is damaged: {source}; restore it from a backup, or wipe it with `gpuhostctl leave` and enrol again; no \
             restart is needed", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("{} has schema {found}, this version knows {SCHEMA}; install the version that wrote it, or wipe it with `gpuhostctl leave` and enrol again", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u64,
    },
    /// The thread that does the work is gone.
    #[error("the work on the identity directory was interrupted")]
    CutShort,
}

/// The identity folder.
#[derive(Debug, Clone)]
pub(super) struct IdentityStore {
    dir: PathBuf,
}

impl IdentityStore {
    /// The folder `identity` below the state folder, made if it is not there.
    #[must_use]
    pub(super) fn below(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("identity") }
    }

    /// The identity, if there is one.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(super) async fn identity(&self) -> Result<Option<Identity>, IdentityError> {
        self.load(IDENTITY).await
    }

    /// The enrolment under way, if there is one.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(super) async fn pending(&self) -> Result<Option<Pending>, IdentityError> {
        self.load(PENDING).await
    }

    /// The deleted identity, if there is one.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(super) async fn forgotten(&self) -> Result<Option<Forgotten>, IdentityError> {
        self.load(FORGOTTEN).await
    }

    /// Keeps the identity; on disk when it returns.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn keep(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.save(IDENTITY, identity).await
    }

    /// Keeps the enrolment under way; on disk when it returns.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn keep_pending(&self, pending: &Pending) -> Result<(), IdentityError> {
        self.save(PENDING, pending).await
    }

    /// The enrolment is over.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn end_pending(&self) -> Result<(), IdentityError> {
        self.drop_file(PENDING).await
    }

    /// Moves a deleted identity aside.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn forget(&self, forgotten: &Forgotten) -> Result<(), IdentityError> {
        self.save(FORGOTTEN, forgotten).await?;
        self.drop_file(IDENTITY).await
    }

    /// Wipes what was moved aside.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn wipe_forgotten(&self) -> Result<(), IdentityError> {
        self.drop_file(FORGOTTEN).await
    }

    /// Wipes everything. What is left after a fault is wiped later: the mark that this host leaves goes last.
    ///
    /// # Errors
    /// The first thing that the host refused; all that could be removed is gone.
    pub(super) async fn wipe(&self) -> Result<(), IdentityError> {
        let mut done = Ok(());
        for name in [IDENTITY, PENDING, FORGOTTEN, LAST_REPLY] {
            done = done.and(self.drop_file(name).await);
        }
        done?;
        self.drop_file(LEAVING).await
    }

    /// Wipes what is left of a leaving that was interrupted, which would take a new enrolment with it. True where there was one.
    ///
    /// # Errors
    /// The host refused, or it cannot be determined whether there is one.
    pub(super) async fn finish_leaving(&self) -> Result<bool, IdentityError> {
        let is_leaving = self.is_leaving().await?;
        if is_leaving {
            self.wipe().await?;
        }
        Ok(is_leaving)
    }

    /// This host leaves its manager: whatever happens from here on, everything is wiped, at the next start if not before.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn begin_to_leave(&self) -> Result<(), IdentityError> {
        self.save(LEAVING, &Schema { schema: SCHEMA }).await
    }

    /// Leaving was interrupted.
    async fn is_leaving(&self) -> Result<bool, IdentityError> {
        let path = self.dir.join(LEAVING);
        blocking(move || match std::fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StoreError::Host { attempted: "look at", path, source }.into()),
        })
        .await
    }

    /// What the last accepted reply of this identity reported, if it is known. A file that cannot be used costs nothing but that.
    pub(super) async fn last_reply(&self, server_id: &str) -> Option<LastReply> {
        let loaded: Result<Option<LastReply>, IdentityError> = self.load(LAST_REPLY).await;
        match loaded {
            Ok(reply) => reply.filter(|reply| reply.server_id == server_id),
            Err(fault) => {
                tracing::info!(
                    "the content of the manager's last reply is lost; the host starts with its settings: {fault}"
                );
                None
            }
        }
    }

    /// Keeps what the last accepted reply reported.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn keep_last_reply(&self, reply: &LastReply) -> Result<(), IdentityError> {
        self.save(LAST_REPLY, reply).await
    }

    async fn load<T: DeserializeOwned + Send + 'static>(&self, name: &'static str) -> Result<Option<T>, IdentityError> {
        let path = self.dir.join(name);
        blocking(move || match read_bounded(&path, FILE_MAX_BYTES) {
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(fault) => Err(fault.into()),
            Ok(bytes) => parse(&path, &Zeroizing::new(bytes)).map(Some),
        })
        .await
    }

    async fn save<T: Serialize>(&self, name: &'static str, value: &T) -> Result<(), IdentityError> {
        let dir = self.dir.clone();
        let damaged = |source| IdentityError::Damaged { path: dir.join(name), source };
        let bytes = Zeroizing::new(serde_json::to_vec_pretty(value).map_err(damaged)?);
        blocking(move || {
            host::front::make_private_dir(&dir)?;
            Ok(write_atomic(&dir, name, &bytes, 0o600)?)
        })
        .await
    }

    async fn drop_file(&self, name: &'static str) -> Result<(), IdentityError> {
        let dir = self.dir.clone();
        blocking(move || if dir.exists() { Ok(remove(&dir, name)?) } else { Ok(()) }).await
    }
}

/// A file in which nothing else is.
#[derive(Serialize)]
struct Schema {
    schema: u32,
}

/// As much of a file as shows how to read the rest.
#[derive(Deserialize)]
struct Head {
    schema: Option<u64>,
    identity: Option<Box<Head>>,
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, IdentityError> {
    let damaged = |source| IdentityError::Damaged { path: path.to_owned(), source };
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    match head.schema.or_else(|| head.identity?.schema) {
        Some(found) if found != u64::from(SCHEMA) => Err(IdentityError::Schema { path: path.to_owned(), found }),
        Some(_) | None => serde_json::from_slice(bytes).map_err(damaged),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, IdentityError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(IdentityError::CutShort))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_leaving_that_is_not_there_is_none_and_one_that_cannot_be_determined_is_a_fault() {
        let state = tempfile::tempdir().unwrap();
        let store = IdentityStore::below(state.path());
        assert!(!store.finish_leaving().await.unwrap(), "there is no directory yet");
        store.begin_to_leave().await.unwrap();
        assert!(store.finish_leaving().await.unwrap());
        assert!(!store.finish_leaving().await.unwrap(), "it is finished");
        std::fs::remove_dir_all(state.path().join("identity")).unwrap();
        std::fs::write(state.path().join("identity"), "not a directory").unwrap();
        let fault = store.finish_leaving().await.unwrap_err().to_string();
        assert!(fault.contains("leaving.json"), "{fault}");
    }
}
