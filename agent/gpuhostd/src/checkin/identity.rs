//! What the host keeps of its enrolment: identity, pending enrolment, deleted identity, and what the last accepted reply reported.

use crate::checkin::digest::sha256_hex;
use crate::checkin::pem::{authorities_of, each};
use model::checkin::{ManagerAddress, Pins};
use model::enrol::Secret;
use model::settings::HostNaming;
use model::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Schema of the files; another number is refused, never guessed at. A field that was added since has a default.
pub(super) const SCHEMA: u32 = 1;

/// A skew that differs by less from the one that is kept is not written again, in milliseconds.
pub(super) const SKEW_STEP_MS: u64 = 5000;

/// How the manager's certificate is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Trust {
    /// The only authorities, PEM.
    pub(super) ca_pem: Option<String>,
    /// Authorities that a manager added to them, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added_ca_pem: Option<String>,
    /// SHA-256 of the configuration's file of authorities beside which they were added: another content of it ends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added_beside_sha256: Option<String>,
    /// SHA-256 of those of `ca_pem` that an administrator added after the enrolment: they stay until he removes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) by_hand: Vec<String>,
    /// SHA-256 of the only certificates, 64 lower-case hexadecimal digits.
    #[serde(rename = "pin_sha256", default)]
    pub(super) pins: Pins,
    /// Any certificate: never stored, only from the configuration file.
    #[serde(skip)]
    pub(super) insecure: bool,
}

impl Trust {
    /// All authorities in one bundle; `None` = the system's.
    #[must_use]
    pub(super) fn authorities(&self) -> Option<String> {
        let given = self.ca_pem.as_ref()?;
        Some(self.added_ca_pem.as_ref().map_or_else(|| given.clone(), |added| format!("{given}\n{added}")))
    }
}

impl Trust {
    /// The same with the authorities that a manager adds. They count only where this host verified by authorities of its own
    /// (`by`), and those stay beside them. Never beside a pin or the system's authorities.
    #[must_use]
    pub(super) fn with_bundle(self, bundle_pem: Option<&str>, by: Option<&Self>) -> Self {
        let by = by.filter(|by| by.pins.is_empty() && !by.insecure).and_then(|by| by.ca_pem.as_deref());
        let (Some(bundle), Some(own)) = (bundle_pem, by) else { return self };
        match authorities_of(bundle) {
            Some(added) => {
                let is_known = authorities_of(own).as_ref() == Some(&added);
                let beside = || sha256_hex(own.as_bytes());
                let added_beside_sha256 = (!is_known && self.ca_pem.is_none()).then(beside);
                Self { added_ca_pem: Some(added).filter(|_| !is_known), added_beside_sha256, ..self }
            }
            None => {
                tracing::info!(
                    "the manager's ca_bundle_pem has no readable authority; the present authorities are kept"
                );
                self
            }
        }
    }
}

impl Trust {
    /// This host was given authorities at its enrolment, and at least one of them is not in that bundle.
    #[must_use]
    pub(super) fn lacks_given_of(&self, bundle_pem: &str) -> bool {
        let there: Vec<_> = each(bundle_pem).into_iter().map(|(_, der)| der).collect();
        let given = each(self.ca_pem.as_deref().filter(|_| self.pins.is_empty()).unwrap_or_default());
        !there.is_empty() && given.iter().any(|(_, der)| !there.contains(der) && !self.is_by_hand(der))
    }

    /// An administrator added this authority after the enrolment.
    fn is_by_hand(&self, der: &[u8]) -> bool {
        let sha256 = sha256_hex(der);
        self.by_hand.contains(&sha256)
    }

    /// Only the authorities of that bundle from now on, where they can be read, and those that an administrator added.
    #[must_use]
    pub(super) fn by_bundle_alone(self, bundle_pem: &str) -> Self {
        match authorities_of(bundle_pem) {
            Some(all) => {
                let there: Vec<_> = each(&all).into_iter().map(|(_, der)| der).collect();
                let given = each(self.ca_pem.as_deref().unwrap_or_default()).into_iter();
                let by_hand = given.filter(|(_, der)| !there.contains(der) && self.is_by_hand(der));
                let ca_pem = std::iter::once(all).chain(by_hand.map(|(block, _)| block)).collect::<Vec<_>>().join("\n");
                Self { ca_pem: Some(ca_pem), added_ca_pem: None, added_beside_sha256: None, ..self }
            }
            None => self,
        }
    }
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
    /// The list of managers that counts.
    pub(super) managers: Vec<ManagerAddress>,
    /// The managers that this host enrolled with: last resorts for ever. A file of before this field has them among `managers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) enrolled_with: Vec<ManagerAddress>,
    /// Credentials, the oldest first. One that has worked makes the older ones go, so the first one is the one that worked last.
    pub(super) credentials: Vec<Credential>,
    /// Who this host is, as far as it was given at enrolment.
    #[serde(default, skip_serializing_if = "HostNaming::is_empty")]
    pub(super) named: HostNaming,
    /// Key of a renewal that is under way: a retry, also after a crash, must come with the same one.
    #[serde(default, with = "exposed_option")]
    pub(super) next_key_pem: Option<Secret>,
    /// The rest of that renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_request: Option<Request>,
    /// The key that this host enrolled with, where the credential has none: with it a host is known again.
    #[serde(default, with = "exposed_option", skip_serializing_if = "Option::is_none")]
    pub(super) key_pem: Option<Secret>,
    /// SHA-256 of what the token file held when it was last adopted: the same content is no edit, also after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_file_sha256: Option<String>,
}

/// A request that may have to be made again: the same wish comes with the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    /// `Idempotency-Key`.
    pub(super) id: String,
    /// The certificate request, PKCS#10 PEM: a signature is another one each time it is made.
    pub(super) csr_pem: String,
}

/// What the last accepted reply reported, for the time after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastReply {
    /// See [`SCHEMA`].
    pub(super) schema: u32,
    /// Whose reply it was: another identity inherits nothing.
    pub(super) server_id: String,
    /// Seconds between heartbeats; nothing where the manager never reported.
    #[serde(default)]
    pub(super) interval_s: Option<u64>,
    /// The manager has switched this host on.
    pub(super) enabled: bool,
    /// The list of managers that is on trial.
    #[serde(default)]
    pub(super) offered: Vec<ManagerAddress>,
    /// The manager that accepted the last heartbeat.
    #[serde(default)]
    pub(super) accepted_by: Option<ManagerAddress>,
    /// The manager's clock minus this host's, in milliseconds, to within [`SKEW_STEP_MS`]: without a manager at hand a time that
    /// it has set is still judged by its clock.
    #[serde(default)]
    pub(super) clock_skew_ms: Option<i64>,
    /// The inventory that was accepted last.
    #[serde(default)]
    pub(super) inventory: Option<AcceptedInventory>,
}

/// An inventory that a manager has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AcceptedInventory {
    /// The boot in which it was sent.
    pub(super) boot_id: String,
    /// Its revision.
    pub(super) rev: String,
    /// The version of this agent that sent it.
    pub(super) version: String,
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
    /// The certificate request; made with the first try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) csr_pem: Option<String>,
    /// The key that the certificate is asked for, PKCS#8 PEM.
    #[serde(with = "exposed")]
    pub(super) key_pem: Secret,
    /// One-use enrolment token.
    #[serde(with = "exposed")]
    pub(super) token: Secret,
    /// How the manager's certificate is judged.
    pub(super) trust: Trust,
    /// Who this host is, as far as it was given.
    #[serde(default, skip_serializing_if = "HostNaming::is_empty")]
    pub(super) named: HostNaming,
    /// The managers to ask.
    pub(super) managers: Vec<ManagerAddress>,
    /// The token is the one of the file of the settings, and follows it. A person's own is not replaced by what is there.
    #[serde(default)]
    pub(super) follows_file: bool,
}

impl Pending {
    /// It is asked for with another token: that is another wish, so it comes with another request and another idempotency key.
    pub(super) fn asks_with(&mut self, token: Secret) {
        self.token = token;
        self.request_id = uuid::Uuid::new_v4().to_string();
        self.csr_pem = None;
    }
}

/// An identity that a manager has deleted, kept for a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forgotten {
    /// When.
    pub(super) at: UnixMillis,
    /// The identity.
    pub(super) identity: Identity,
}

/// Secrets in the files of the identity folder: the one place where they are written out.
mod exposed {
    use model::enrol::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::take)
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
        Ok(Option::<String>::deserialize(from)?.map(Secret::take))
    }
}
