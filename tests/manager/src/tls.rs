//! TLS of the manager: the certificate that it shows, and the client certificates that it takes.

use crate::authority::ServerIdentity;
use crate::fleet::Fleet;
use crate::options::{Clock, Mode};
use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::sync::Arc;
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

/// TLS 1.2 and 1.3. A client certificate is asked for where agents have one, and never demanded: enrolment comes without.
pub(crate) fn config(
    fleet: &Fleet,
    identity: &ServerIdentity,
    mode: &Mode,
    clock: &Clock,
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
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
        Mode::Secrets | Mode::SharedToken(_) => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
