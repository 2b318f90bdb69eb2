//! TLS to a manager: system roots, or one bundle of authorities, or one pinned certificate. Never falls open.

use crate::checkin::identity::{Credential, Trust};
use reqwest::{Certificate, Client, ClientBuilder, Identity, redirect, tls::Version};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longest time for a connection with its handshake.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Longest time for a whole request.
pub(super) const TOTAL: Duration = Duration::from_secs(15);
/// A connection that was idle for longer is not used again: heartbeats are at most 300 s apart.
const IDLE: Duration = Duration::from_secs(330);

/// No client can be made of what is configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    /// The bundle of authorities holds no certificate.
    #[error("the bundle of authorities holds no usable certificate; give a PEM file with -----BEGIN CERTIFICATE-----")]
    NoAuthority,
    /// The pin is not a SHA-256.
    #[error("pin_sha256 is not 64 hexadecimal digits")]
    BadPin,
    /// The client certificate or its key cannot be used.
    #[error("the client certificate or its key cannot be used: {0}; leave and enrol again")]
    BadIdentity(String),
    /// The TLS library refused.
    #[error("TLS cannot be set up: {0}")]
    Refused(String),
}

/// A pin as 64 lower-case hexadecimal digits; colons are taken out.
///
/// # Errors
/// It is something else.
pub(super) fn normal_pin(text: &str) -> Result<String, TlsFault> {
    let pin: String = text.trim().chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    let good = pin.len() == 64 && pin.bytes().all(|b| b.is_ascii_hexdigit());
    if good { Ok(pin) } else { Err(TlsFault::BadPin) }
}

/// A client for managers that are judged by `trust`, proving itself with `credential` where that is a certificate.
///
/// # Errors
/// What is configured cannot be used; nothing weaker is taken instead.
pub(super) fn client(trust: &Trust, credential: Option<&Credential>, user_agent: &str) -> Result<Client, TlsFault> {
    built(builder(trust, credential, user_agent)?)
}

/// The same, and it keeps the certificate that the manager shows.
///
/// # Errors
/// As [`client`].
pub(super) fn curious_client(
    trust: &Trust,
    credential: Option<&Credential>,
    user_agent: &str,
) -> Result<Client, TlsFault> {
    built(builder(trust, credential, user_agent)?.tls_info(true))
}

fn built(builder: ClientBuilder) -> Result<Client, TlsFault> {
    builder.build().map_err(|fault| TlsFault::Refused(fault.without_url().to_string()))
}

fn builder(trust: &Trust, credential: Option<&Credential>, user_agent: &str) -> Result<ClientBuilder, TlsFault> {
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
        .pool_max_idle_per_host(1)
        .https_only(true)
        .redirect(redirect::Policy::none());
    Ok(match (&trust.pin_sha256, trust.insecure) {
        (Some(pin), _) => builder.tls_backend_preconfigured(own_config(Judge::Pin(normal_pin(pin)?), certificate)?),
        (None, true) => builder.tls_backend_preconfigured(own_config(Judge::Anything, certificate)?),
        (None, false) => by_authority(builder, trust.ca_pem.as_deref(), certificate)?,
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
) -> Result<ClientBuilder, TlsFault> {
    let mut builder = builder.tls_version_min(Version::TLS_1_2);
    if let Some(pem) = ca_pem {
        let bundle = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| TlsFault::NoAuthority)?;
        if bundle.is_empty() {
            return Err(TlsFault::NoAuthority);
        }
        builder = builder.tls_certs_only(bundle);
    }
    if let Some((chain, key)) = certificate {
        let identity = Identity::from_pem(format!("{key}\n{chain}").as_bytes());
        builder = builder.identity(identity.map_err(|f| TlsFault::BadIdentity(f.without_url().to_string()))?);
    }
    Ok(builder)
}

fn own_config(judge: Judge, certificate: Option<(&str, &str)>) -> Result<ClientConfig, TlsFault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Verifier { judge, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| TlsFault::Refused(fault.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((chain, key)) = certificate else { return Ok(config.with_no_client_auth()) };
    let bad = |what: &str| TlsFault::BadIdentity(what.to_owned());
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| bad("the chain is no PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| bad("the key is no PEM"))?;
    config.with_client_auth_cert(chain, key).map_err(|fault| TlsFault::BadIdentity(fault.to_string()))
}

/// SHA-256 as 64 lower-case hexadecimal digits.
#[must_use]
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug)]
enum Judge {
    /// Exactly this certificate, whatever name or date it bears: the pin identifies it.
    Pin(String),
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
            Judge::Pin(pin) if *pin == shown => Ok(ServerCertVerified::assertion()),
            Judge::Pin(pin) => Err(Error::General(format!(
                "the manager shows a certificate with SHA-256 {shown}, but {pin} is pinned"
            ))),
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
