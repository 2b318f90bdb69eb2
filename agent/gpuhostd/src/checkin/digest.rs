//! Digests by which contents are known again.

/// SHA-256 as 64 lower-case hexadecimal digits.
#[must_use]
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
