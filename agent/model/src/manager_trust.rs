//! Whom this host trusts as its manager, as it is shown, and how an administrator changes it.

use crate::checkin::Pins;
use crate::checkin::pins::BadPin;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The beginning of a certificate in PEM form.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// What a certificate of a manager is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TrustKind {
    /// The certificate authorities of the system.
    System,
    /// One certificate authority.
    Authority,
    /// One certificate.
    Pin,
    /// Any certificate at all (`insecure_skip_verify`).
    Any,
}

impl TrustKind {
    /// As it is on D-Bus and in JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// Where trust comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TrustSource {
    /// Nothing else was given.
    Default,
    /// The configuration.
    Configuration,
    /// An administrator, at the enrolment or later.
    Administrator,
    /// The manager, which added it to the authorities of this host.
    Manager,
}

impl TrustSource {
    /// As it is on D-Bus and in JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// One thing that a certificate of a manager is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedBy {
    /// What it is.
    pub kind: TrustKind,
    /// Where it comes from.
    pub source: TrustSource,
    /// SHA-256 of the certificate, 64 lower-case hexadecimal digits; `None` for the system's authorities and for a file.
    pub sha256: Option<String>,
    /// When the authority ends.
    pub until: Option<UnixMillis>,
    /// The file of authorities that the configuration names.
    pub file: Option<String>,
}

/// Another trust in managers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustChange {
    /// These authorities are trusted too, PEM.
    AddAuthorities(String),
    /// This certificate is trusted too: 64 lower-case hexadecimal digits.
    AddPin(String),
    /// This authority or certificate is trusted no more: 64 lower-case hexadecimal digits.
    Remove(String),
}

impl TrustChange {
    /// What is added: a PEM text with authorities, or the SHA-256 of a certificate.
    ///
    /// # Errors
    /// It is neither.
    pub fn add(text: &str) -> Result<Self, BadPin> {
        if text.contains(CERTIFICATE) {
            return Ok(Self::AddAuthorities(text.to_owned()));
        }
        digest(text).map(Self::AddPin)
    }

    /// What is removed, by its SHA-256.
    ///
    /// # Errors
    /// It is not a SHA-256.
    pub fn remove(text: &str) -> Result<Self, BadPin> {
        digest(text).map(Self::Remove)
    }
}

fn digest(text: &str) -> Result<String, BadPin> {
    let normal = Pins::given(vec![text.to_owned()]).normal()?;
    normal.all().first().cloned().ok_or(BadPin::NoDigest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_and_digests_are_told_apart_and_anything_else_is_refused() {
        let pin = "AB:".repeat(31) + "ab";
        assert_eq!(TrustChange::add(&pin), Ok(TrustChange::AddPin("ab".repeat(32))));
        assert_eq!(TrustChange::remove(&pin), Ok(TrustChange::Remove("ab".repeat(32))));
        assert!(matches!(TrustChange::add("-----BEGIN CERTIFICATE-----\n"), Ok(TrustChange::AddAuthorities(_))));
        for bad in ["", "ab", "../x", "-----BEGIN PRIVATE KEY-----"] {
            assert_eq!(
                (TrustChange::add(bad), TrustChange::remove(bad)),
                (Err(BadPin::NoDigest), Err(BadPin::NoDigest))
            );
        }
    }
}
