//! Whether a certificate and a key can be used together: both are readable, belong together, cover the name, and are valid now. No
//! message shows any of them.

use crate::checkin::{certificates_of, sha256_hex};
use host::front::PairOnDisk;
use model::doctor::validity;
use model::proxy_cert::ProxyPair;
use model::reconcile::Why;
use model::time::UnixMillis;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

/// No certificate with its chain is longer, and no key.
const MOST_BYTES: usize = 64 * 1024;
/// So many digits of a digest name a version.
const VERSION_DIGITS: usize = 32;

/// A pair that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckedPair {
    /// The name of its version: the digest of the certificate, which is public.
    pub(super) version: String,
    /// What is written.
    pub(super) on_disk: PairOnDisk,
    /// When the certificate expires.
    pub(super) expires_at: UnixMillis,
}

/// Checks a pair.
///
/// # Errors
/// A stable code, and what is wrong with it.
pub(super) fn checked(pair: &ProxyPair, wall: UnixMillis) -> Result<CheckedPair, Why> {
    let no = |code: &str, message: &str| Why::new(code, message);
    let (cert, key) = (&pair.cert_pem, pair.key_pem.expose());
    if cert.len() > MOST_BYTES || key.len() > MOST_BYTES {
        return Err(no(
            "proxy_certificate_invalid",
            &format!("certificate or key is larger than {} KiB", MOST_BYTES / 1024),
        ));
    }
    let cert_pem = certificates_of(cert);
    let chain = CertificateDer::pem_slice_iter(cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>().ok();
    let chain = chain.filter(|chain| !chain.is_empty() && chain.iter().all(|one| validity::ends_at(one).is_some()));
    let unreadable = || no("proxy_certificate_invalid", "nginx_cert is not PEM with readable certificates");
    let chain = chain.ok_or_else(unreadable)?;
    let leaf = chain.first().cloned().ok_or_else(unreadable)?;
    let expires_at = validity::ends_at(&leaf).ok_or_else(unreadable)?;
    let bad_key = || no("proxy_key_invalid", "nginx_key is not PEM with a private key that can be used");
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| bad_key())?;
    let loaded = rustls::crypto::ring::default_provider().key_provider.load_private_key(der).map_err(|_| bad_key())?;
    CertifiedKey::new(chain, loaded).keys_match().map_err(|_| {
        no(
            "proxy_key_mismatch",
            "nginx_key is not the key of the first certificate in nginx_cert; the pair before stays",
        )
    })?;
    if let Some(name) = &pair.server_name {
        covers(&leaf, name)?;
    }
    if expires_at <= wall {
        let ago_s = wall.0.saturating_sub(expires_at.0) / 1000;
        return Err(no("proxy_certificate_expired", &format!("nginx_cert expired {ago_s} s ago by this host's clock")));
    }
    if validity::begins_at(&leaf).is_some_and(|begins| begins > wall) {
        return Err(no("proxy_certificate_not_yet_valid", "nginx_cert is not valid yet by this host's clock"));
    }
    let version = sha256_hex(cert_pem.as_bytes()).chars().take(VERSION_DIGITS).collect();
    let key = format!("{}\n", key.trim()).into_bytes();
    Ok(CheckedPair { version, on_disk: PairOnDisk { cert: cert_pem.into_bytes(), key }, expires_at })
}

fn covers(leaf: &CertificateDer<'_>, name: &str) -> Result<(), Why> {
    let refused =
        |why: &str| Why::new("proxy_certificate_other_name", format!("nginx_cert does not cover {name:?}{why}"));
    let named = ServerName::try_from(name).map_err(|_| refused(", which is not the name of a server"))?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|_| refused(""))?;
    leaf.verify_is_valid_for_subject_name(&named).map_err(|_| refused(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::enrol::Secret;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn signed(key: &KeyPair, names: &[&str], years: std::ops::Range<i32>) -> String {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        params.self_signed(key).unwrap().pem()
    }

    fn pair(cert_pem: &str, key_pem: &str, name: Option<&str>) -> ProxyPair {
        let server_name = name.map(str::to_owned);
        ProxyPair { cert_pem: cert_pem.to_owned(), key_pem: Secret::new(key_pem), server_name }
    }

    #[test]
    fn a_pair_that_fits_is_taken_without_what_is_around_it() {
        let key = KeyPair::generate().unwrap();
        let (leaf, other) = (signed(&key, &["*.gpus.example"], 2020..2090), signed(&key, &["ca"], 2020..2090));
        let text = format!("junk\n{leaf}{other}more");
        for name in [None, Some("gpu-7.gpus.example")] {
            let taken = checked(&pair(&text, &key.serialize_pem(), name), NOW).unwrap();
            let cert = String::from_utf8(taken.on_disk.cert.clone()).unwrap();
            assert!(!cert.contains("junk") && cert.matches("BEGIN CERTIFICATE").count() == 2);
            assert!(taken.expires_at > NOW && taken.version.len() == 32 && !format!("{taken:?}").contains("PRIVATE"));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_code_and_no_message_shows_a_key() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (key_pem, other_pem) = (key.serialize_pem(), other.serialize_pem());
        let good = signed(&key, &["gpu-7.example"], 2020..2090);
        let long = "x".repeat(MOST_BYTES + 1);
        let cut = good.split_at(good.len() / 2).0;
        for (cert, key, name, code) in [
            (good.as_str(), other_pem.as_str(), None, "proxy_key_mismatch"),
            (&good, "canary", None, "proxy_key_invalid"),
            (&good, &key_pem[..key_pem.len() / 2], None, "proxy_key_invalid"),
            (&good, &good, None, "proxy_key_invalid"),
            (&good, &long, None, "proxy_certificate_invalid"),
            ("", &key_pem, None, "proxy_certificate_invalid"),
            (cut, &key_pem, None, "proxy_certificate_invalid"),
            (&key_pem, &key_pem, None, "proxy_certificate_invalid"),
            (&signed(&key, &["a"], 2020..2021), &key_pem, None, "proxy_certificate_expired"),
            (&signed(&key, &["a"], 2080..2090), &key_pem, None, "proxy_certificate_not_yet_valid"),
            (&good, &key_pem, Some("gpu-8.example"), "proxy_certificate_other_name"),
            (&good, &key_pem, Some("a b"), "proxy_certificate_other_name"),
        ] {
            let why = checked(&pair(cert, key, name), NOW).unwrap_err();
            assert_eq!(why.code, code, "{}", why.message);
            assert!(!why.message.contains("canary") && !why.message.contains("PRIVATE"), "{}", why.message);
        }
    }
}
