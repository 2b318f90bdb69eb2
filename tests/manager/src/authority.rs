//! The manager's own certificate authority: makes server certificates, and signs what agents ask for.

use crate::options::Tls;
use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData as _, date_time_ymd,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::time::Duration;

/// SHA-256 in lower-case hexadecimal digits.
#[must_use]
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A certificate authority with its key.
pub(crate) struct Authority {
    /// Its certificate, which agents trust.
    pub(crate) cert_pem: String,
    /// Its key, PKCS#8.
    pub(crate) key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The certificate that the manager shows, and its key.
pub(crate) struct ServerIdentity {
    /// The certificate.
    pub(crate) certificate: CertificateDer<'static>,
    /// Its key, PKCS#8.
    key_der: Vec<u8>,
}

impl ServerIdentity {
    /// From what [`ServerIdentity::pem`] gave.
    pub(crate) fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let key_der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).context("no PKCS#8 key in it")?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).context("no certificate in it")?;
        Ok(Self { certificate, key_der: key_der.secret_pkcs8_der().to_vec() })
    }

    /// Certificate and key in one text.
    pub(crate) fn pem(certificate: &rcgen::Certificate, key: &KeyPair) -> String {
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }

    /// The key as rustls takes it.
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }
}

/// What an agent asks to have signed: only its key counts, the manager says who it is.
pub(crate) struct SigningRequest {
    public_key: PublicKey,
}

impl SigningRequest {
    /// Parses a PKCS#10 request in PEM and checks that its sender holds the key.
    pub(crate) fn parse(pem: &str) -> anyhow::Result<Self> {
        let request = CertificateSigningRequestParams::from_pem(pem)?;
        anyhow::ensure!(
            request.public_key.algorithm() == &PKCS_ECDSA_P256_SHA256,
            "the key is not P-256 with SHA-256, the only kind that this manager signs"
        );
        Ok(Self { public_key: request.public_key })
    }

    /// SHA-256 of the public key.
    pub(crate) fn key_sha256(&self) -> String {
        sha256_hex(self.public_key.der_bytes())
    }
}

/// A client certificate.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) pem: String,
    /// SHA-256 of its DER form.
    pub(crate) fingerprint: String,
}

impl Authority {
    /// A new authority of this name, with a new key.
    pub(crate) fn create(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Self { cert_pem, key_pem: key.serialize_pem(), issuer: Issuer::new(params, key) })
    }

    /// An authority of before, from its certificate and its key.
    pub(crate) fn load(cert_pem: String, key_pem: String) -> anyhow::Result<Self> {
        let issuer = Issuer::from_ca_cert_pem(&cert_pem, KeyPair::from_pem(&key_pem)?)?;
        Ok(Self { cert_pem, key_pem, issuer })
    }

    /// A server certificate, certificate and key in one PEM text.
    pub(crate) fn server_pem(&self, kind: Tls) -> anyhow::Result<String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let names = match kind {
            Tls::WrongName => vec!["wrong.example".to_owned()],
            Tls::OwnCa | Tls::SelfSigned | Tls::Expired | Tls::NotYetValid | Tls::Untrusted => {
                ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
            }
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "reference manager");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if kind == Tls::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        if kind == Tls::NotYetValid {
            params.not_before = date_time_ymd(2090, 1, 1);
            params.not_after = date_time_ymd(2091, 1, 1);
        }
        let certificate = match kind {
            Tls::SelfSigned => params.self_signed(&key)?,
            Tls::Untrusted => params.signed_by(&key, &Self::create("an unknown CA")?.issuer)?,
            Tls::OwnCa | Tls::Expired | Tls::NotYetValid | Tls::WrongName => params.signed_by(&key, &self.issuer)?,
        };
        Ok(ServerIdentity::pem(&certificate, &key))
    }

    /// A client certificate for this server id, good from an hour before `now_ms` (clocks differ) until `until_ms`.
    pub(crate) fn sign(
        &self,
        request: &SigningRequest,
        server_id: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> anyhow::Result<Issued> {
        let mut params = named(server_id);
        // CertificateParams holds another crate's instants: only their arithmetic is used here.
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now_ms.saturating_sub(3_600_000));
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(until_ms);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(Issued { pem: certificate.pem(), fingerprint: sha256_hex(certificate.der()) })
    }
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// How long after 1970 an instant is; nothing for one before.
fn since_1970(unix_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}
