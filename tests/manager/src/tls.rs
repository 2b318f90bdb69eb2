//! TLS of the manager: the certificate that it shows, and the client certificates that it takes.

use crate::authority::{ServerIdentity, sha256_hex};
use crate::fleet::Fleet;
use crate::options::{Clock, Mode};
use anyhow::Context as _;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The manager's clock, as rustls asks for it: client certificates expire by it.
struct ByClock(Clock);

impl fmt::Debug for ByClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByClock")
    }
}

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        let unix_ms = u64::try_from((self.0)()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(unix_ms)))
    }
}

/// Which client certificates of the own authority a front trusts: all, or only these.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrontTrust(Arc<Mutex<Option<Vec<String>>>>);

impl FrontTrust {
    /// Only these (SHA-256), or all.
    pub(crate) fn only(&self, these: Option<Vec<String>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = these;
    }

    fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        let only = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        only.as_ref().is_none_or(|only| only.contains(&sha256_hex(certificate)))
    }
}

/// The verifier of the authority, behind a front that may be behind.
#[derive(Debug)]
struct Front {
    trust: FrontTrust,
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Front {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.trust.has(end_entity) {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        self.inner.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// TLS 1.2 and 1.3. A client certificate is asked for where agents have one, and demanded only
/// where that is wanted: enrolment comes without.
pub(crate) fn config(
    fleet: &Fleet,
    identity: &ServerIdentity,
    mode: &Mode,
    clock: &Clock,
    (front, demands_certificate): (&FrontTrust, bool),
) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(ByClock(Arc::clone(clock))))
        .with_safe_default_protocol_versions()?;
    let builder = match mode {
        Mode::Certificates => {
            let mut roots = RootCertStore::empty();
            roots.add(
                CertificateDer::from_pem_slice(fleet.ca_pem().as_bytes()).context("the authority's certificate")?,
            )?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if demands_certificate { verifier } else { verifier.allow_unauthenticated() }.build()?;
            builder.with_client_cert_verifier(Arc::new(Front { trust: front.clone(), inner: verifier }))
        }
        Mode::Secrets | Mode::SharedToken(_) => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
