//! What of a PEM text from a manager is kept: certificates that can be read, and nothing else.

use model::doctor::validity;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// No bundle of authorities is larger, in bytes.
pub(super) const BUNDLE_MAX_BYTES: usize = 256 * 1024;
pub(super) const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
pub(super) const END: &str = "-----END CERTIFICATE-----";

/// The authorities of a bundle, each a certificate that can be read; `None` where there is none, or one that is no certificate.
pub(super) fn authorities_of(bundle: &str) -> Option<String> {
    let pem = Some(certificates_of(bundle)).filter(|_| bundle.len() <= BUNDLE_MAX_BYTES)?;
    let ders = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().ok()?;
    let good = !ders.is_empty() && ders.iter().all(|der| validity::ends_at(der).is_some());
    good.then_some(pem)
}

/// Each certificate of a PEM text: its block, and what is in it. One that cannot be decoded is left out.
pub(super) fn each(pem: &str) -> Vec<(String, Vec<u8>)> {
    let certificates = certificates_of(pem);
    let blocks = certificates.split_inclusive(END).filter(|block| block.contains(BEGIN));
    let decoded = |block: &str| {
        let der = CertificateDer::from_pem_slice(block.as_bytes()).ok()?;
        Some((format!("{}\n", block.trim()), der.to_vec()))
    };
    blocks.filter_map(decoded).collect()
}

/// The certificates of a PEM text and nothing else of it: a key in it would be taken for ours.
pub(crate) fn certificates_of(pem: &str) -> String {
    let mut kept = String::new();
    let mut rest = pem;
    while let Some((_, block)) = rest.split_once(BEGIN) {
        let Some((body, after)) = block.split_once(END) else { break };
        for part in [BEGIN, body, END, "\n"] {
            kept.push_str(part);
        }
        rest = after;
    }
    kept
}
