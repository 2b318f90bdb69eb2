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

/// The identity that a manager gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollResponse {
    /// This host's id with the manager.
    pub server_id: String,
    /// Client certificate with its chain, PEM.
    pub cert_chain_pem: Option<String>,
    /// The authorities of the manager, PEM.
    pub ca_bundle_pem: Option<String>,
    /// Bearer secret, where the manager has no PKI.
    pub secret: Option<Secret>,
    /// When the credential ends.
    pub not_after: Option<UnixMillis>,
    /// The managers of this host.
    pub managers: Vec<ManagerAddress>,
    /// The manager has switched this host on.
    pub enabled: Option<bool>,
}

/// An enrolment response that gives no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// `server_id` is missing or no UUID.
    #[error("the enrolment response has no server_id that is a UUID")]
    ServerId,
    /// Neither certificate nor secret.
    #[error("the enrolment response has neither cert_chain_pem nor secret")]
    Credential,
}

impl EnrollResponse {
    /// Reads a body.
    ///
    /// # Errors
    /// There is no id or no credential in it.
    pub fn read(body: &Value) -> Result<Self, NoIdentity> {
        let server_id = lenient::text(body, "server_id").filter(|id| is_uuid(id)).ok_or(NoIdentity::ServerId)?;
        let response = Self {
            server_id,
            cert_chain_pem: lenient::text(body, "cert_chain_pem"),
            ca_bundle_pem: lenient::text(body, "ca_bundle_pem"),
            secret: lenient::secret(body, "secret"),
            not_after: lenient::instant(body, "not_after"),
            managers: lenient::managers(body, "managers"),
            enabled: lenient::truth(body, "enabled"),
        };
        let any = response.cert_chain_pem.is_some() || response.secret.is_some();
        if any { Ok(response) } else { Err(NoIdentity::Credential) }
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
pub struct Renewal {
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
    fn an_identity_needs_an_id_and_a_credential() {
        let id = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7";
        let read = |body: Value| EnrollResponse::read(&body);
        let full = read(json!({"server_id": id, "secret": "s3cret", "not_after": "2027-01-01T00:00:00Z"})).unwrap();
        assert_eq!(full.secret.as_ref().map(Secret::expose), Some("s3cret"));
        assert!(full.not_after.is_some() && !format!("{full:?}").contains("s3cret"));
        assert!(read(json!({"server_id": id, "cert_chain_pem": "PEM"})).is_ok());
        assert_eq!(read(json!({"server_id": id})), Err(NoIdentity::Credential));
        assert_eq!(read(json!({"server_id": "../../etc", "secret": "x"})), Err(NoIdentity::ServerId));
        assert_eq!(read(json!({"secret": "x"})), Err(NoIdentity::ServerId));
    }
}
