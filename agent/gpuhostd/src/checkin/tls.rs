//! TLS to a manager: system roots, or a bundle of authorities, or pinned certificates. Never falls open.

use crate::checkin::digest::sha256_hex;
use crate::checkin::identity::{Credential, Trust};
use model::checkin::Pins;
use model::checkin::pins::BadPin;
use reqwest::{Certificate, Client, ClientBuilder, Identity, redirect, tls::Version};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tower::util::MapRequestLayer;

/// Longest time for a connection with its handshake.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Longest time for a whole request.
pub(super) const TOTAL: Duration = Duration::from_secs(15);
/// A connection that was idle for longer is not used again: heartbeats are at most 300 s apart.
const IDLE: Duration = Duration::from_secs(330);
/// Kept connections to a manager: one for heartbeats and one for the held request. With room for one alone, each held request that is
/// answered takes the connection of the heartbeats, and the next heartbeat makes a new one.
const IDLE_MOST: usize = 2;

/// No client can be made of what is configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoClient {
    /// The bundle of authorities holds no certificate.
    #[error("the bundle of authorities has no usable certificate; give a PEM file with -----BEGIN CERTIFICATE-----")]
    NoAuthority,
    /// The pins are none.
    #[error("pin_sha256: {0}")]
    BadPin(#[from] BadPin),
    /// The client certificate or its key cannot be used.
    #[error("the client certificate or its key cannot be used: {0}; leave and enrol again")]
    BadIdentity(String),
    /// The TLS library refused.
    #[error("TLS cannot be set up: {0}")]
    Refused(String),
}

/// The manager shows another certificate than those that are pinned.
#[derive(Debug, thiserror::Error)]
#[error("the manager's certificate has the SHA-256 {shown}, but {pinned} is pinned")]
pub(super) struct OtherCertificate {
    shown: String,
    pinned: String,
}

impl OtherCertificate {
    /// The digest that was shown, and those that are pinned.
    #[must_use]
    pub(super) fn new(shown: &str, pinned: &str) -> Self {
        Self { shown: shown.to_owned(), pinned: pinned.to_owned() }
    }
}

/// New connections that a client has made: one that is not counted for a request was used before.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<AtomicU64>);

impl Connections {
    /// How many there were.
    pub(super) fn made(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts each request for a connection, and passes it on as it is.
    fn counting<R>(&self) -> impl FnMut(R) -> R + Clone + Send + Sync + 'static + use<R> {
        let made = Arc::clone(&self.0);
        move |request| {
            made.fetch_add(1, Ordering::Relaxed);
            request
        }
    }
}

/// A client for managers that are judged by `trust`, proving itself with `credential` where that is a certificate.
///
/// # Errors
/// What is configured cannot be used; nothing weaker is taken instead.
pub(super) fn client(
    trust: &Trust,
    credential: Option<&Credential>,
    user_agent: &str,
    connections: &Connections,
) -> Result<Client, NoClient> {
    let counting = MapRequestLayer::new(connections.counting());
    built(builder(trust, credential, user_agent)?.connector_layer(counting))
}

/// The same, and it keeps the certificate that the manager shows.
///
/// # Errors
/// As [`client`].
pub(super) fn curious_client(
    trust: &Trust,
    credential: Option<&Credential>,
    user_agent: &str,
) -> Result<Client, NoClient> {
    built(builder(trust, credential, user_agent)?.tls_info(true))
}

fn built(builder: ClientBuilder) -> Result<Client, NoClient> {
    builder.build().map_err(|fault| NoClient::Refused(fault.without_url().to_string()))
}

fn builder(trust: &Trust, credential: Option<&Credential>, user_agent: &str) -> Result<ClientBuilder, NoClient> {
    // A second installation is refused and changes nothing: then the program has already chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = match credential {
        Some(Credential::Certificate { chain_pem, key_pem, .. }) => Some((chain_pem.as_str(), key_pem.expose())),
        Some(Credential::Secret { .. } | Credential::SharedToken { .. }) | None => None,
    };
    let builder = Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MOST)
        .https_only(true)
        .redirect(redirect::Policy::none());
    Ok(match (trust.pins.is_empty(), trust.insecure) {
        (false, _) => builder.tls_backend_preconfigured(own_config(Judge::Pins(trust.pins.normal()?), certificate)?),
        (true, true) => builder.tls_backend_preconfigured(own_config(Judge::Anything, certificate)?),
        (true, false) => by_authority(builder, trust.authorities().as_deref(), certificate)?,
    })
}

/// SHA-256 of the certificate that the manager shows, for a person to compare. The handshake is broken off: nothing is sent.
pub(super) async fn fingerprint(base_url: &str) -> Option<String> {
    let kept = Arc::new(OnceLock::new());
    let config = own_config(Judge::Show(Arc::clone(&kept)), None).ok()?;
    let client = Client::builder().timeout(CONNECT).https_only(true).tls_backend_preconfigured(config).build().ok()?;
    // It always fails; what counts is what was kept on the way.
    let _ = client.get(base_url).send().await;
    kept.get().cloned()
}

fn by_authority(
    builder: ClientBuilder,
    ca_pem: Option<&str>,
    certificate: Option<(&str, &str)>,
) -> Result<ClientBuilder, NoClient> {
    let mut builder = builder.tls_version_min(Version::TLS_1_2);
    if let Some(pem) = ca_pem {
        let bundle = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| NoClient::NoAuthority)?;
        if bundle.is_empty() {
            return Err(NoClient::NoAuthority);
        }
        builder = builder.tls_certs_only(bundle);
    }
    if let Some((chain, key)) = certificate {
        let identity = Identity::from_pem(format!("{key}\n{chain}").as_bytes());
        builder = builder.identity(identity.map_err(|f| NoClient::BadIdentity(f.without_url().to_string()))?);
    }
    Ok(builder)
}

fn own_config(judge: Judge, certificate: Option<(&str, &str)>) -> Result<ClientConfig, NoClient> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Verifier { judge, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| NoClient::Refused(fault.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((chain, key)) = certificate else { return Ok(config.with_no_client_auth()) };
    let bad = |what: &str| NoClient::BadIdentity(what.to_owned());
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| bad("the certificate chain is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| bad("the key is not PEM"))?;
    config.with_client_auth_cert(chain, key).map_err(|fault| NoClient::BadIdentity(fault.to_string()))
}

#[derive(Debug)]
enum Judge {
    /// Exactly these certificates, whatever name or date they bear: the pin identifies them.
    Pins(Pins),
    /// `insecure_skip_verify`.
    Anything,
    /// Refuses whatever comes and keeps its SHA-256.
    Show(Arc<OnceLock<String>>),
}

/// Judges the certificate; that the other side has its key is always checked by rustls' own means.
#[derive(Debug)]
struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = sha256_hex(end_entity.as_ref());
        match &self.judge {
            Judge::Anything => Ok(ServerCertVerified::assertion()),
            Judge::Show(kept) => {
                let _ = kept.set(shown);
                Err(Error::General("only looking".to_owned()))
            }
            Judge::Pins(pins) if pins.has(&shown) => Ok(ServerCertVerified::assertion()),
            Judge::Pins(pins) => {
                let other = OtherCertificate::new(&shown, &pins.to_string());
                Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(other)))))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
