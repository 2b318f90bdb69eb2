//! A hash of 128 bits in one pass: with two of 64 bits, half of the time of the search went into hashing.

use std::hash::Hasher;

/// An odd number without pattern (the fraction of the golden ratio).
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Mixes sixteen bytes at a time.
#[derive(Debug, Default)]
pub(crate) struct WideHasher(u128);

impl WideHasher {
    fn mix(&mut self, word: u128) {
        self.0 = (self.0 ^ word).wrapping_mul(FACTOR).rotate_left(59);
    }

    /// All of it.
    pub(crate) fn wide(mut self) -> u128 {
        self.mix(0);
        self.0 ^ (self.0 >> 64)
    }
}

impl Hasher for WideHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<16>();
        for word in words {
            self.mix(u128::from_le_bytes(*word));
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        last[15] = u8::try_from(rest.len()).unwrap() + 1;
        self.mix(u128::from_le_bytes(last));
    }

    fn finish(&self) -> u64 {
        panic!("all of it is wanted")
    }
}
