//! An answer of Docker's as JSON that takes little room whatever is in it: what is beyond the bounds is not kept, and never looks empty.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

/// Most values that are kept of one answer; a large `/info` has 500.
const VALUES_MAX: usize = 32 * 1024;
/// Longest text that is kept, in bytes: the longest variable that the kernel passes to a program (`MAX_ARG_STRLEN`). The UUIDs of all MIG
/// devices of sixteen GPUs take 5 KB in one.
const TEXT_MAX_BYTES: usize = 128 * 1024;
/// How deep what we look for is: `HostConfig.Mounts[].VolumeOptions.DriverConfig.Options` of a container, and two levels more.
const DEPTH_MAX: usize = 8;

/// A value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Json {
    /// Null, or a field that is not there.
    #[default]
    Null,
    /// It is there and is not kept: beyond the bounds, or a number that is not a whole one of 64 bits. It is not an empty value.
    NotKept,
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Json {
    /// Reads a whole document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let left = Cell::new(VALUES_MAX);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let read = Keep { left: &left, depth: 0 }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(read)
    }

    /// A field of an object.
    pub(crate) fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(fields) => fields.get(key).unwrap_or(&Self::Null),
            Self::Null | Self::NotKept | Self::Flag(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => &Self::Null,
        }
    }

    /// The items of a list; none where it is none.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Null | Self::NotKept | Self::Flag(_) | Self::Number(_) | Self::Text(_) | Self::Object(_) => &[],
        }
    }

    /// The names of an object's fields, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        match self {
            Self::Object(fields) => fields.keys().cloned().collect(),
            Self::Null | Self::NotKept | Self::Flag(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => Vec::new(),
        }
    }

    /// A text that is not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            Self::Null | Self::NotKept | Self::Flag(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Null | Self::NotKept | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A number that fits.
    pub(crate) fn number<T: TryFrom<i64>>(&self) -> Option<T> {
        match self {
            Self::Number(number) => T::try_from(*number).ok(),
            Self::Null | Self::NotKept | Self::Flag(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Keep<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Keep<'_> {
    /// One value less may follow; false where none may.
    fn takes(self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && self.depth < DEPTH_MAX
    }

    fn deeper(self) -> Self {
        Self { depth: self.depth.saturating_add(1), ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Keep<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep<'_> {
    type Value = Json;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any value")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(i64::try_from(number).map_or(Json::NotKept, Json::Number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::NotKept)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(if text.len() > TEXT_MAX_BYTES { Json::NotKept } else { Json::Text(text.to_owned()) })
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while self.takes() {
            match list.next_element_seed(self.deeper())? {
                Some(item) => items.push(item),
                None => return Ok(Json::List(items)),
            }
        }
        let mut is_whole = true;
        while list.next_element::<IgnoredAny>()?.is_some() {
            is_whole = false;
        }
        Ok(if items.is_empty() && !is_whole { Json::NotKept } else { Json::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let (mut fields, mut is_whole) = (BTreeMap::new(), true);
        while self.takes() {
            let Some(key) = object.next_key::<String>()? else { break };
            let value = object.next_value_seed(self.deeper())?;
            // A longer name is none that we look for.
            if key.len() <= TEXT_MAX_BYTES {
                fields.insert(key, value);
            } else {
                is_whole = false;
            }
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            is_whole = false;
        }
        Ok(if fields.is_empty() && !is_whole { Json::NotKept } else { Json::Object(fields) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Json {
        Json::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_we_look_for_is_kept() {
        let json = read(r#"{"a": [{"b": "x", "c": [1]}, 7], "d": {"e": {"f": true}}, "n": -3, "big": 1e99, "z": ""}"#);
        assert_eq!(json.get("a").items()[0].get("b").text(), Some("x"));
        assert_eq!(json.get("a").items()[1].number::<u8>(), Some(7));
        assert_eq!((json.get("n").number::<i64>(), json.get("n").number::<u32>()), (Some(-3), None));
        assert_eq!(json.get("d").get("e").get("f").flag(), Some(true));
        assert_eq!((json.get("big"), json.get("z").text(), json.get("no")), (&Json::NotKept, None, &Json::Null));
        assert_eq!(json.get("d").keys(), ["e"]);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_passed_over_and_the_rest_is_still_checked() {
        fn count(json: &Json) -> usize {
            let below = match json {
                Json::List(items) => items.iter().map(count).sum(),
                Json::Object(fields) => fields.values().map(count).sum(),
                Json::Null | Json::NotKept | Json::Flag(_) | Json::Number(_) | Json::Text(_) => 0,
            };
            below + 1
        }
        for item in ["0", "[]", "[[0,0,0,0]]", r#"{"a":{"b":{"c":0}}}"#, "[[[[[[0]]]]]]", "\"\""] {
            let many = format!("[{}0]", format!("{item},").repeat(100_000));
            assert!(count(&read(&many)) <= VALUES_MAX + 1, "{item}");
            assert!(Json::read(&many.as_bytes()[..many.len() - 1]).is_err(), "{item}: the end is missing");
        }
        assert_eq!(read(&format!("{:?}", "x".repeat(TEXT_MAX_BYTES + 1))), Json::NotKept);
        let deep = read(r#"{"o":{"a":[{"b":[1,{"c":[[[1],[]]]}]}]}}"#);
        let last = deep.get("o").get("a").items()[0].get("b").items()[1].get("c").items()[0].items();
        assert_eq!(last, [Json::NotKept, Json::List(Vec::new())], "what is not kept never looks empty");
        let long = "x".repeat(TEXT_MAX_BYTES + 1);
        assert_eq!(read(&format!("{{{long:?}: 1}}")), Json::NotKept);
        assert_eq!(read("{}"), Json::Object(BTreeMap::new()));
        for broken in ["", "{", "[1,]", "{\"a\":1}}", "{\"a\":1} x", &"[".repeat(1000)] {
            assert!(Json::read(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
