//! The token of the readiness call: when it expires, as far as that explains a refusal, and texts without it. Nothing is verified.

use crate::base64_text::decode_base64;

/// No payload with a date of expiry is longer, in bytes.
const PAYLOAD_MOST_BYTES: usize = 12 * 1024;
/// What takes the place of a token.
const REDACTED: &str = "[redacted]";

/// `exp` of a JSON web token, in seconds since 1970-01-01 UTC; `None` where it does not name one that can be read.
#[must_use]
pub fn jwt_expiry(token: &str) -> Option<i64> {
    let payload = token.split('.').nth(1)?;
    let bytes = decode_base64(Some(payload).filter(|text| text.len() <= PAYLOAD_MOST_BYTES)?)?;
    let claims: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let exp = claims.get("exp")?;
    // A library may have written a number with a fraction.
    exp.as_i64().or_else(|| exp.to_string().split(['.', 'e', 'E']).next()?.parse().ok())
}

/// A text with the token taken out, however it is written: whole, percent-encoded, or one of its parts.
#[must_use]
pub fn without_jwt(text: &str, token: &str) -> String {
    if token.is_empty() {
        return text.to_owned();
    }
    let mut text = text.replace(token, REDACTED).replace(&percent_encoded(token), REDACTED);
    // Payload and signature are as secret as the whole; the header of every token is the same.
    for part in token.split('.').filter(|part| part.len() >= 8) {
        text = text.replace(part, REDACTED);
    }
    text
}

/// As a query carries it.
fn percent_encoded(token: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte);
    token.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"alg":"HS256","typ":"JWT"}` . `{"sub":"gpu-7","exp":1767225600}` . a signature.
    const TOKEN: &str =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJncHUtNyIsImV4cCI6MTc2NzIyNTYwMH0.c2lnbmF0dXJlLW9mLWl0";

    #[test]
    fn exp_is_read_and_what_is_no_token_has_none() {
        assert_eq!(jwt_expiry(TOKEN), Some(1_767_225_600));
        // {"exp":1767225600.5}
        assert_eq!(jwt_expiry("a.eyJleHAiOjE3NjcyMjU2MDAuNX0=.b"), Some(1_767_225_600));
        let long = format!("a.{}.b", "A".repeat(20_000));
        for none in ["", "a", "a.b", "a.!!.b", "a.e30.b", "..", "a.eyJleHAiOiJzb29uIn0.b", &long, "a.\u{e9}\u{e9}.b"] {
            assert_eq!(jwt_expiry(none), None, "{none:.40}");
        }
    }

    #[test]
    fn no_part_of_a_token_is_left_in_a_text() {
        let parts: Vec<&str> = TOKEN.split('.').collect();
        let text = format!("POST https://m/x?token={TOKEN} said {} and {}; see m", parts[2], parts[1]);
        let clean = without_jwt(&text, TOKEN);
        assert!(parts.iter().all(|part| !clean.contains(part)), "{clean}");
        assert!(clean.contains("https://m/x?token=[redacted]") && clean.ends_with("; see m"), "{clean}");
        let odd = "a/b+c=&d";
        assert_eq!(without_jwt("?token=a%2Fb%2Bc%3D%26d.", odd), "?token=[redacted].");
        assert_eq!(without_jwt("as it is", ""), "as it is");
    }
}
