//! When a certificate ends, read out of its DER form (RFC 5280, 4.1): only as much of it as is needed for that.

use crate::time::UnixMillis;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the certificate's validity; `None` where it is not a certificate.
#[must_use]
pub fn ends_at(der: &[u8]) -> Option<UnixMillis> {
    let (certificate, _) = of_tag(der, SEQUENCE)?;
    let (signed, _) = of_tag(certificate, SEQUENCE)?;
    let rest = of_tag(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_, _serial, rest) = element(rest)?;
    let (_algorithm, rest) = of_tag(rest, SEQUENCE)?;
    let (_issuer, rest) = of_tag(rest, SEQUENCE)?;
    let (validity, _) = of_tag(rest, SEQUENCE)?;
    let (_, _from, rest) = element(validity)?;
    let (tag, until, _) = element(rest)?;
    instant(tag, std::str::from_utf8(until).ok()?)
}

/// Tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        // A length of one to three bytes: no certificate is larger.
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn of_tag(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, _, _)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// `YYMMDDHHMMSSZ` (from 1950 to 2049) or `YYYYMMDDHHMMSSZ`.
fn instant(tag: u8, text: &str) -> Option<UnixMillis> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { year + 2000 } else { year + 1900 }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    in_range.then_some(UnixMillis(seconds * 1000))
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that the leap day is the last one.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time() {
        assert_eq!(instant(UTC_TIME, "700101000000Z"), Some(UnixMillis(0)));
        assert_eq!(instant(UTC_TIME, "491231235959Z"), Some(UnixMillis(2_524_607_999_000)));
        assert_eq!(instant(GENERALIZED_TIME, "20240229120000Z"), Some(UnixMillis(1_709_208_000_000)));
        for wrong in ["20241329120000Z", "2024022912000Z", "20240229120000", "2024022912000xZ"] {
            assert_eq!(instant(GENERALIZED_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_gives_nothing() {
        for der in [&b""[..], b"0", b"\x30\x82\xff\xff", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", b"hello"] {
            assert_eq!(ends_at(der), None);
        }
    }
}
