//! Whether each object of a text has each name once: two parsers of the same text need not take the same one of two members.

use model::desired::pointer_to;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// The JSON pointer of the value in which something is wrong, and what.
pub(super) struct NameFault {
    pub(super) pointer: String,
    pub(super) why: String,
}

/// Reads all of the text once. It nests no deeper than the caller has checked.
///
/// # Errors
/// A name that is there twice, or a text or number that is none (half of a surrogate pair, 1e999).
pub(super) fn check(text: &str) -> Result<(), NameFault> {
    let mut path = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    Value { path: &mut path }.deserialize(&mut reader).map_err(|fault| {
        let said = fault.to_string();
        let why = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said).to_owned();
        NameFault { pointer: path.iter().fold(String::new(), |parent, name| pointer_to(&parent, name)), why }
    })
}

/// One value; the path leads to it, and stays where it is when something is wrong.
struct Value<'p> {
    path: &'p mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let mut at = 0_usize;
        loop {
            self.path.push(at.to_string());
            if all.next_element_seed(Value { path: &mut *self.path })?.is_none() {
                self.path.pop();
                return Ok(());
            }
            self.path.pop();
            at += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = all.next_key::<String>()? {
            self.path.push(name.clone());
            if !names.insert(name) {
                return Err(A::Error::custom("is there twice, and parsers of JSON disagree about which one counts"));
            }
            all.next_value_seed(Value { path: &mut *self.path })?;
            self.path.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_found_wherever_it_is() {
        for good in ["{}", "[{\"a\": 1}, {\"a\": 2}]", "{\"a\": {\"a\": [\"a\", -1.5, null, true]}}"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (text, pointer) in [
            ("{\"a\": 1, \"b\": 2, \"a\": 1}", "/a"),
            ("{\"a\": 1, \"\\u0061\": 1}", "/a"),
            ("{\"x\": [0, {\"y/z\": {\"b\": 1, \"b\": 2}}]}", "/x/1/y~1z/b"),
            ("[\"\\ud800\"]", "/0"),
            ("{\"a\": 1e999}", "/a"),
        ] {
            assert_eq!(check(text).err().map(|fault| fault.pointer).as_deref(), Some(pointer), "{text}");
        }
    }
}
