//! What the host keeps of its enrolment: identity, pending enrolment, and both on disk as whole files with mode 0600.

use host::front::{StoreFault, read_bounded, remove, write_atomic};
use model::checkin::ManagerAddress;
use model::enrol::Secret;
use model::time::UnixMillis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Schema of both files; another number is refused, never guessed at.
pub(super) const SCHEMA: u32 = 1;
const IDENTITY: &str = "identity.json";
const PENDING: &str = "enrolment.json";
const FORGOTTEN: &str = "forgotten.json";
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// How the manager's certificate is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Trust {
    /// The only authorities, PEM.
    pub(super) ca_pem: Option<String>,
    /// SHA-256 of the only certificate, 64 lower-case hexadecimal digits.
    pub(super) pin_sha256: Option<String>,
    /// Any certificate: never stored, only from the configuration file.
    #[serde(skip)]
    pub(super) insecure: bool,
}

/// What this host proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Credential {
    /// A client certificate.
    Certificate {
        /// The certificate with its chain, PEM.
        chain_pem: String,
        /// Its key, PKCS#8 PEM.
        #[serde(with = "exposed")]
        key_pem: Secret,
        /// When it was given.
        from: UnixMillis,
        /// When it ends.
        until: Option<UnixMillis>,
    },
    /// A secret of this host alone.
    Secret {
        /// The secret.
        #[serde(with = "exposed")]
        secret: Secret,
        /// When it was given.
        from: UnixMillis,
        /// When it ends.
        until: Option<UnixMillis>,
    },
    /// The token that all hosts of a manager share.
    SharedToken {
        /// The token.
        #[serde(with = "exposed")]
        token: Secret,
    },
}

impl Credential {
    /// What goes into `Authorization: Bearer`.
    #[must_use]
    pub(super) const fn bearer(&self) -> Option<&Secret> {
        match self {
            Self::Certificate { .. } => None,
            Self::Secret { secret, .. } => Some(secret),
            Self::SharedToken { token } => Some(token),
        }
    }

    /// From when to when it is good, where both are known.
    #[must_use]
    pub(super) const fn life(&self) -> Option<(UnixMillis, UnixMillis)> {
        match self {
            Self::Certificate { from, until: Some(until), .. } | Self::Secret { from, until: Some(until), .. } => {
                Some((*from, *until))
            }
            Self::Certificate { until: None, .. } | Self::Secret { until: None, .. } | Self::SharedToken { .. } => None,
        }
    }
}

/// Who this host is for its managers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// See [`SCHEMA`].
    pub(super) schema: u32,
    /// This host's id with the manager.
    pub(super) server_id: String,
    /// How the manager's certificate is judged.
    pub(super) trust: Trust,
    /// The managers as last heard of.
    pub(super) managers: Vec<ManagerAddress>,
    /// Credentials, the oldest first. One that has worked makes the older ones go.
    pub(super) credentials: Vec<Credential>,
    /// Key of a renewal that is under way: a retry after a crash must not come with another one.
    #[serde(default, with = "exposed_option")]
    pub(super) next_key_pem: Option<Secret>,
}

/// An enrolment that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// See [`SCHEMA`].
    pub(super) schema: u32,
    /// It goes on by itself after a restart; otherwise only the key is kept for a retry.
    pub(super) waiting: bool,
    /// Idempotency key of the request.
    pub(super) request_id: String,
    /// The key that the certificate is asked for, PKCS#8 PEM.
    #[serde(with = "exposed")]
    pub(super) key_pem: Secret,
    /// One-use enrolment token.
    #[serde(with = "exposed")]
    pub(super) token: Secret,
    /// How the manager's certificate is judged.
    pub(super) trust: Trust,
    /// The managers to ask.
    pub(super) managers: Vec<ManagerAddress>,
}

/// An identity that a manager has deleted, kept for a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forgotten {
    /// When.
    pub(super) at: UnixMillis,
    /// The identity.
    pub(super) identity: Identity,
}

/// A file of the identity folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityFault {
    /// The host refused.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// It is not what this version writes.
    #[error("{} is damaged: {source}; restore it from a backup, or remove it and enrol again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("{} has schema {found}, this version knows {SCHEMA}; install the version that wrote it, or remove it and enrol again", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u64,
    },
    /// The thread that does the work is gone.
    #[error("the work on the identity folder was cut short")]
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
    pub(super) async fn identity(&self) -> Result<Option<Identity>, IdentityFault> {
        self.load(IDENTITY).await
    }

    /// The enrolment under way, if there is one.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(super) async fn pending(&self) -> Result<Option<Pending>, IdentityFault> {
        self.load(PENDING).await
    }

    /// The deleted identity, if there is one.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(super) async fn forgotten(&self) -> Result<Option<Forgotten>, IdentityFault> {
        self.load(FORGOTTEN).await
    }

    /// Keeps the identity; on disk when it returns.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn keep(&self, identity: &Identity) -> Result<(), IdentityFault> {
        self.save(IDENTITY, identity).await
    }

    /// Keeps the enrolment under way; on disk when it returns.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn keep_pending(&self, pending: &Pending) -> Result<(), IdentityFault> {
        self.save(PENDING, pending).await
    }

    /// The enrolment is over.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn end_pending(&self) -> Result<(), IdentityFault> {
        self.drop_file(PENDING).await
    }

    /// Moves a deleted identity aside.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn forget(&self, forgotten: &Forgotten) -> Result<(), IdentityFault> {
        self.save(FORGOTTEN, forgotten).await?;
        self.drop_file(IDENTITY).await
    }

    /// Wipes what was moved aside.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn wipe_forgotten(&self) -> Result<(), IdentityFault> {
        self.drop_file(FORGOTTEN).await
    }

    /// Wipes everything.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn wipe(&self) -> Result<(), IdentityFault> {
        for name in [IDENTITY, PENDING, FORGOTTEN] {
            self.drop_file(name).await?;
        }
        Ok(())
    }

    async fn load<T: DeserializeOwned + Send + 'static>(&self, name: &'static str) -> Result<Option<T>, IdentityFault> {
        let path = self.dir.join(name);
        blocking(move || match read_bounded(&path, FILE_MAX_BYTES) {
            Err(StoreFault::Missing { .. }) => Ok(None),
            Err(fault) => Err(fault.into()),
            Ok(bytes) => parse(&path, &bytes).map(Some),
        })
        .await
    }

    async fn save<T: Serialize>(&self, name: &'static str, value: &T) -> Result<(), IdentityFault> {
        let dir = self.dir.clone();
        let damaged = |source| IdentityFault::Damaged { path: dir.join(name), source };
        let bytes = serde_json::to_vec_pretty(value).map_err(damaged)?;
        blocking(move || {
            host::front::make_private_dir(&dir)?;
            Ok(write_atomic(&dir, name, &bytes, 0o600)?)
        })
        .await
    }

    async fn drop_file(&self, name: &'static str) -> Result<(), IdentityFault> {
        let dir = self.dir.clone();
        blocking(move || if dir.exists() { Ok(remove(&dir, name)?) } else { Ok(()) }).await
    }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, IdentityFault> {
    let damaged = |source| IdentityFault::Damaged { path: path.to_owned(), source };
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
    let schema = value.get("schema").or_else(|| value.get("identity")?.get("schema"));
    match schema.and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(SCHEMA) => Err(IdentityFault::Schema { path: path.to_owned(), found }),
        Some(_) | None => serde_json::from_value(value).map_err(damaged),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IdentityFault> + Send + 'static,
) -> Result<T, IdentityFault> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(IdentityFault::CutShort))
}

/// Secrets in the files of the identity folder: the one place where they are written out.
mod exposed {
    use model::enrol::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(|text| Secret::new(&text))
    }
}

/// The same for a secret that may be missing.
mod exposed_option {
    use model::enrol::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(|text| Secret::new(&text)))
    }
}
