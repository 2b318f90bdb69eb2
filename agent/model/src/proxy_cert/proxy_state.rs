//! How far the certificate of the workspace proxy is. Neither it nor its key is in here.

use crate::enrol::Secret;
use crate::reconcile::Why;
use crate::time::UnixMillis;

/// A certificate with its key, as it is wished. The key is not printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyPair {
    /// The certificate with its chain, PEM.
    pub cert_pem: String,
    /// Its key, PEM.
    pub key_pem: Secret,
    /// The name that it has to cover.
    pub server_name: Option<String>,
}

/// What became of the wished certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxyOutcome {
    /// Nothing was done yet.
    #[default]
    NotLooked,
    /// It is in its place, with its key.
    Installed,
    /// It cannot be used, and what was there before stays.
    Refused(Why),
    /// It could not be written, and is tried again.
    NotWritten(Why),
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyState {
    /// The pair that the outcome is about; it is only compared, and never shown.
    pub of: Option<ProxyPair>,
    /// What became of it.
    pub outcome: ProxyOutcome,
    /// When the certificate that is in its place expires.
    pub expires_at: Option<UnixMillis>,
}
