//! `EnrollRequest`, `EnrollResponse` and what renewal and goodbye send.

use crate::manager::agent::AgentInfo;
use crate::manager::gpu::Inventory;
use crate::manager::lenient;
use model::checkin::ManagerAddress;
use model::enrol::Secret;
use model::time::UnixMillis;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The wish for an identity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnrollRequest {
    /// Id given by an autoscaler; null lets the manager assign one.
    pub server_id: Option<String>,
    /// Provider name.
    pub provider: String,
    /// Name under which users reach this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_hostname: Option<String>,
    /// Port under which users reach this host.
    pub public_port: u16,
    /// Zone of this host.
    pub zone: Option<String>,
    /// PKCS#10, PEM.
    pub csr_pem: String,
    /// Kernel's host name.
    pub hostname: String,
    /// Application-specific hash of the machine id, 32 hexadecimal digits.
    pub machine_id_hash: String,
    /// DMI facts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dmi: BTreeMap<String, Option<String>>,
    /// The agent.
    pub agent: AgentInfo,
    /// The GPUs.
    pub inventory: Inventory,
}

/// The credential that a manager gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A client certificate with its chain, PEM, not looked into yet.
    Certificate(String),
    /// A bearer secret, where the manager has no PKI.
    Secret(Secret),
}

/// The identity that a manager gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollResponse {
    /// This host's id with the manager.
    pub server_id: String,
    /// The credential.
    pub given: Given,
    /// The authorities of the manager, PEM.
    pub ca_bundle_pem: Option<String>,
    /// When the credential ends.
    pub not_after: UnixMillis,
    /// The managers of this host.
    pub managers: Vec<ManagerAddress>,
    /// The manager has switched this host on.
    pub enabled: Option<bool>,
}

/// An enrolment response that gives no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// `server_id` is missing or no UUID.
    #[error("its server_id is not a UUID")]
    ServerId,
    /// Neither certificate nor secret.
    #[error("it has neither cert_chain_pem nor secret")]
    Credential,
    /// The secret cannot be sent in a header.
    #[error("its secret is not 1 to 4096 characters of graphic ASCII")]
    Secret,
    /// `not_after` is missing or no instant.
    #[error("its not_after is not an instant in RFC 3339")]
    NotAfter,
}

impl EnrollResponse {
    /// Reads a body, and wipes the secret in it.
    ///
    /// # Errors
    /// There is no id, no credential or no end of it in the body.
    pub fn read(mut body: Value) -> Result<Self, NoIdentity> {
        let response = Self::of(&body);
        lenient::wipe(&mut body, &["secret"]);
        response
    }

    fn of(body: &Value) -> Result<Self, NoIdentity> {
        let server_id = lenient::text(body, "server_id").filter(|id| is_uuid(id)).ok_or(NoIdentity::ServerId)?;
        let has_secret = body.get("secret").is_some_and(|secret| !secret.is_null());
        let given = match (lenient::text(body, "cert_chain_pem"), has_secret) {
            (Some(chain), _) => Given::Certificate(chain),
            (None, true) => Given::Secret(lenient::secret(body, "secret").ok_or(NoIdentity::Secret)?),
            (None, false) => return Err(NoIdentity::Credential),
        };
        Ok(Self {
            server_id,
            given,
            ca_bundle_pem: lenient::text(body, "ca_bundle_pem"),
            not_after: lenient::instant(body, "not_after").ok_or(NoIdentity::NotAfter)?,
            managers: lenient::managers(body, "managers"),
            enabled: lenient::truth(body, "enabled"),
        })
    }
}

/// True for the 8-4-4-4-12 form of a UUID.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// What is sent for a new credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenewalReply {
    /// This host's id with the manager.
    pub server_id: String,
    /// PKCS#10 of a new key, PEM.
    pub csr_pem: String,
}

/// Goodbye.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deregister {
    /// This host's id with the manager.
    pub server_id: String,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_identity_needs_an_id_a_credential_and_its_end() {
        let id = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7";
        let end = "2027-01-01T00:00:00Z";
        let read = |body: Value| EnrollResponse::read(body);
        let full = read(json!({"server_id": id, "secret": "s3cret", "not_after": end})).unwrap();
        assert_eq!(full.given, Given::Secret(Secret::new("s3cret")));
        assert!(!format!("{full:?}").contains("s3cret"));
        let chain = read(json!({"server_id": id, "cert_chain_pem": "PEM", "secret": null, "not_after": end})).unwrap();
        assert_eq!(chain.given, Given::Certificate("PEM".into()));
        assert_eq!(read(json!({"server_id": id, "not_after": end})), Err(NoIdentity::Credential));
        assert_eq!(read(json!({"server_id": "../../etc", "secret": "x", "not_after": end})), Err(NoIdentity::ServerId));
        assert_eq!(read(json!({"secret": "x", "not_after": end})), Err(NoIdentity::ServerId));
        for secret in
            [json!("a\nb"), json!("a b"), json!(""), json!(7), json!("ä"), json!("x".repeat(4097)), json!("a\n")]
        {
            let answer = read(json!({"server_id": id, "secret": secret, "not_after": end}));
            assert_eq!(answer, Err(NoIdentity::Secret), "{secret}");
        }
        for end in [json!(null), json!("soon"), json!(7), json!("2027-13-01T00:00:00Z")] {
            let answer = read(json!({"server_id": id, "secret": "x", "not_after": end}));
            assert_eq!(answer, Err(NoIdentity::NotAfter), "{end}");
        }
    }
}
