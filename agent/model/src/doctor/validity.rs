//! When a certificate begins and ends (RFC 5280, section 4.1.2.5).

use crate::time::UnixMillis;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The end of the certificate's validity; `None` where the bytes are not one certificate in DER form.
#[must_use]
pub fn ends_at(der: &[u8]) -> Option<UnixMillis> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let ends_s = certificate.validity().not_after.timestamp();
    rest.is_empty().then(|| UnixMillis(ends_s.saturating_mul(1000)))
}

/// The beginning of the certificate's validity; `None` where the bytes are not one certificate in DER form.
#[must_use]
pub fn begins_at(der: &[u8]) -> Option<UnixMillis> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let begins_s = certificate.validity().not_before.timestamp();
    rest.is_empty().then(|| UnixMillis(begins_s.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with nothing in it but what the form asks for: its `notAfter` is given as tag and text.
    fn certificate(tag: u8, not_after: &str) -> Vec<u8> {
        let algorithm = element(0x30, &element(0x06, &[0x2b, 0x65, 0x70]));
        let name = element(0x30, &[]);
        let from = element(0x17, b"200101000000Z");
        let validity = element(0x30, &[from, element(tag, not_after.as_bytes())].concat());
        let key = element(0x30, &[algorithm.clone(), element(0x03, &[0; 33])].concat());
        let serial = element(0x02, &[1]);
        let signed = element(0x30, &[serial, algorithm.clone(), name.clone(), validity, name, key].concat());
        element(0x30, &[signed, algorithm, element(0x03, &[0; 65])].concat())
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head, content.to_vec()].concat()
    }

    #[test]
    fn both_forms_of_time() {
        assert_eq!(ends_at(&certificate(0x17, "700101000000Z")), Some(UnixMillis(0)));
        assert_eq!(ends_at(&certificate(0x17, "491231235959Z")), Some(UnixMillis(2_524_607_999_000)));
        assert_eq!(ends_at(&certificate(0x18, "20640229120000Z")), Some(UnixMillis(2_971_512_000_000)));
        for wrong in ["20641329120000Z", "2064022912000Z", "20640229120000", "2064022912000xZ"] {
            assert_eq!(ends_at(&certificate(0x18, wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_gives_nothing() {
        for der in [&b""[..], b"0", b"\x30\x82\xff\xff", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", b"hello"] {
            assert_eq!(ends_at(der), None);
        }
        let mut two = certificate(0x17, "491231235959Z");
        two.extend_from_slice(b"more");
        assert_eq!(ends_at(&two), None);
    }
}
