//! Pinned certificates: SHA-256 digests that are trusted instead of an authority. Two at most, so that one can follow the other.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// More pins than this are refused.
pub const PINS_MAX: usize = 2;

/// A pin that is none, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPin {
    /// It is no SHA-256.
    #[error("a pin is not a SHA-256: 64 hexadecimal digits, colons allowed")]
    NoDigest,
    /// There are more than [`PINS_MAX`].
    #[error("more than {PINS_MAX} pins: one, or two while a certificate is being replaced")]
    TooMany,
}

/// No pin, one pin (a text), or two (a list).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins(Vec<String>);

impl Pins {
    /// These pins, as they were given.
    #[must_use]
    pub const fn given(pins: Vec<String>) -> Self {
        Self(pins)
    }

    /// As they were given.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// True where nothing is pinned.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same in one form: 64 lower-case hexadecimal digits each.
    ///
    /// # Errors
    /// One of them is no SHA-256, or there are too many.
    pub fn normal(&self) -> Result<Self, BadPin> {
        if self.0.len() > PINS_MAX {
            return Err(BadPin::TooMany);
        }
        let one = |text: &String| {
            let pin: String = text.trim().chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
            let good = pin.len() == 64 && pin.bytes().all(|b| b.is_ascii_hexdigit());
            if good { Ok(pin) } else { Err(BadPin::NoDigest) }
        };
        self.0.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// True where one of them, in its normal form, is this digest.
    #[must_use]
    pub fn has(&self, sha256_hex: &str) -> bool {
        self.0.iter().any(|pin| pin == sha256_hex)
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" or "))
    }
}

impl Serialize for Pins {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => to.serialize_none(),
            [one] => to.serialize_str(one),
            more => more.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Pins {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pins;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SHA-256 as text, or a list of two")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Pins, E> {
                Ok(Pins(vec![text.to_owned()]))
            }

            fn visit_unit<E: Error>(self) -> Result<Pins, E> {
                Ok(Pins::default())
            }

            fn visit_none<E: Error>(self) -> Result<Pins, E> {
                Ok(Pins::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pins, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if all.len() > PINS_MAX {
                        return Err(A::Error::custom(BadPin::TooMany));
                    }
                    all.push(one);
                }
                Ok(Pins(all))
            }
        }
        from.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_one_and_two_read_the_same_again() {
        let pin = "ab".repeat(32);
        for pins in [Vec::new(), vec![pin.clone()], vec![pin.clone(), "cd".repeat(32)]] {
            let text = serde_json::to_string(&Pins(pins.clone())).unwrap();
            assert_eq!(serde_json::from_str::<Pins>(&text).unwrap(), Pins(pins));
        }
        assert_eq!(
            serde_json::to_value(Pins(vec![pin.clone()])).unwrap(),
            serde_json::json!(pin),
            "as version 1 wrote it"
        );
        assert!(serde_json::from_str::<Pins>("7").is_err());
        assert!(serde_json::from_str::<Pins>("[\"a\",\"b\",\"c\",\"d\"]").is_err());
    }

    #[test]
    fn colons_and_case_do_not_matter_and_what_is_no_digest_is_refused() {
        let colons = Pins(vec![format!("{}AB", "AB:".repeat(31))]);
        assert!(colons.normal().unwrap().has(&"ab".repeat(32)));
        assert_eq!(Pins(vec!["abc".into()]).normal(), Err(BadPin::NoDigest));
        assert_eq!(Pins(vec!["ab".repeat(32); 3]).normal(), Err(BadPin::TooMany));
        assert!(Pins::default().normal().unwrap().is_empty());
    }
}
