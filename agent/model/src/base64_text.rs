//! Base64 as other programs write it: in either alphabet, with padding or without.

use data_encoding::BASE64_NOPAD;

/// The bytes of a text in Base64 (RFC 4648, the alphabet of section 4 or of section 5); `None` where it is none.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let usual: String = text
        .trim_end_matches('=')
        .chars()
        .map(|char| match char {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    BASE64_NOPAD.decode(usual.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_in_both_alphabets_and_nothing_else_is() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg", b"foob"),
            ("+/8", &[0xfb, 0xff]),
            ("-_8=", &[0xfb, 0xff]),
        ] {
            assert_eq!(decode_base64(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["Zm 9v", "Zm9v\n", "Zm=9v", "\u{e9}", "Z"] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }
}
