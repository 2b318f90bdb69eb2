//! Keys and certificate requests: P-256, PKCS#8, PKCS#10.

use model::enrol::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

/// A key or request could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}: {source}")]
pub(super) struct KeyError {
    attempted: &'static str,
    #[source]
    source: rcgen::Error,
}

fn fault(attempted: &'static str) -> impl Fn(rcgen::Error) -> KeyError {
    move |source| KeyError { attempted, source }
}

/// A new P-256 key, PKCS#8 PEM.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn new_key() -> Result<Secret, KeyError> {
    let key = KeyPair::generate().map_err(fault("make a P-256 key"))?;
    Ok(Secret::new(&key.serialize_pem()))
}

/// A certificate request for that key and name, PEM.
///
/// # Errors
/// The key is not one of [`new_key`].
pub(super) fn request(key_pem: &Secret, common_name: &str) -> Result<String, KeyError> {
    let key = KeyPair::from_pem(key_pem.expose()).map_err(fault("read the kept key"))?;
    let mut params = CertificateParams::new(Vec::new()).map_err(fault("make a certificate request"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let request = params.serialize_request(&key).map_err(fault("sign a certificate request"))?;
    request.pem().map_err(fault("write a certificate request"))
}
