//! Walks a text that is known to be valid JSON without building a tree: a hostile document of 1 MiB must not become 90 MiB of memory.

use model::json;
use serde_json::Value;
use std::borrow::Cow;
use std::iter;

/// The largest whole number below which each one has a float of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A value in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'t> {
    text: &'t str,
    at: usize,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'t> {
    Null,
    Truth(bool),
    Number(&'t str),
    Text(Cow<'t, str>),
    List,
    Object,
}

impl<'t> Node<'t> {
    /// The value that the text is.
    pub(super) fn top(text: &'t str) -> Self {
        Self { text, at: json::skip_space(text, 0) }
    }

    /// Its first byte in the text.
    pub(super) const fn at(self) -> usize {
        self.at
    }

    /// In words, `an object`.
    pub(super) fn words(self) -> &'static str {
        json::kind(self.text, self.at)
    }

    fn byte(self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// As it is written.
    pub(super) fn raw(self) -> &'t str {
        self.text.get(self.at..json::value_end(self.text, self.at)).unwrap_or_default()
    }

    /// What it is.
    pub(super) fn kind(self) -> Kind<'t> {
        match self.byte() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::Text(text_of(self.raw())),
            Some(b't') => Kind::Truth(true),
            Some(b'f') => Kind::Truth(false),
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number(self.raw()),
        }
    }

    /// It is an object.
    pub(super) fn is_object(self) -> bool {
        self.byte() == Some(b'{')
    }

    /// It is a list.
    pub(super) fn is_list(self) -> bool {
        self.byte() == Some(b'[')
    }

    /// It is `null`.
    pub(super) fn is_null(self) -> bool {
        self.byte() == Some(b'n')
    }

    /// The members of an object with their names; none where it is something else.
    pub(super) fn members(self) -> impl Iterator<Item = (Cow<'t, str>, Self)> {
        let mut next = self.is_object().then(|| json::skip_space(self.text, self.at + 1));
        iter::from_fn(move || {
            let at = next.filter(|at| self.text.as_bytes().get(*at) == Some(&b'"'))?;
            let name = Node { text: self.text, at };
            let colon = json::skip_space(self.text, json::value_end(self.text, at));
            let value = Node { text: self.text, at: json::skip_space(self.text, colon + 1) };
            next = value.behind();
            Some((text_of(name.raw()), value))
        })
    }

    /// The elements of a list; none where it is something else.
    pub(super) fn elements(self) -> impl Iterator<Item = Self> {
        let mut next = self.is_list().then(|| json::skip_space(self.text, self.at + 1));
        iter::from_fn(move || {
            let at = next.filter(|at| !matches!(self.text.as_bytes().get(*at), Some(b']') | None))?;
            let value = Node { text: self.text, at };
            next = value.behind();
            Some(value)
        })
    }

    /// The member of that name.
    pub(super) fn get(self, name: &str) -> Option<Self> {
        self.members().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Where the next name or element begins, if there is one.
    fn behind(self) -> Option<usize> {
        let comma = json::skip_space(self.text, json::value_end(self.text, self.at));
        (self.text.as_bytes().get(comma) == Some(&b',')).then(|| json::skip_space(self.text, comma + 1))
    }
}

/// A text without quotes and escapes.
fn text_of(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if inner.contains('\\') { Cow::Owned(serde_json::from_str(raw).unwrap_or_default()) } else { Cow::Borrowed(inner) }
}

/// A whole number, exactly; one that is written as `30.0` is one too.
pub(super) fn whole(raw: &str) -> Option<i128> {
    if let Ok(exact) = raw.parse() {
        return Some(exact);
    }
    let number = float(raw).filter(|number| number.fract() == 0.0 && number.abs() < EXACT_MAX)?;
    format!("{number:.0}").parse().ok()
}

/// A number as the nearest float.
pub(super) fn float(raw: &str) -> Option<f64> {
    serde_json::from_str::<Value>(raw).ok()?.as_f64()
}

/// Both texts are the same JSON value: whatever the order of members, the white space, the escapes and the way in which a number is
/// written (1 and 1.0 are the same number). Both are valid, and no object has a name twice.
pub fn same_json(one: &str, other: &str) -> bool {
    same(Node::top(one), Node::top(other))
}

fn same(one: Node<'_>, other: Node<'_>) -> bool {
    match (one.kind(), other.kind()) {
        (Kind::Object, Kind::Object) => {
            let sorted = |node: Node<'_>| -> Vec<(String, usize)> {
                let mut all: Vec<_> = node.members().map(|(name, value)| (name.into_owned(), value.at)).collect();
                all.sort_unstable();
                all
            };
            let (ours, theirs) = (sorted(one), sorted(other));
            let is_same = |((name, at), (their_name, their_at)): (&(String, usize), &(String, usize))| {
                name == their_name && same(Node { at: *at, ..one }, Node { at: *their_at, ..other })
            };
            ours.len() == theirs.len() && ours.iter().zip(&theirs).all(is_same)
        }
        (Kind::List, Kind::List) => {
            let mut theirs = other.elements();
            one.elements().all(|ours| theirs.next().is_some_and(|theirs| same(ours, theirs))) && theirs.next().is_none()
        }
        (Kind::Number(ours), Kind::Number(theirs)) => match (whole(ours), whole(theirs)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => ours == theirs || float(ours) == float(theirs),
            (Some(_), None) | (None, Some(_)) => false,
        },
        (ours, theirs) => ours == theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_walked_in_place() {
        let text = " { \"a\\u0062\" : [1, {\"x\": \"]}\"}, []] , \"b\":-1.5e3, \"c\":{}, \"d\":\"\" }";
        let top = Node::top(text);
        let shown: Vec<_> = top.members().map(|(name, value)| format!("{name}={}", value.raw())).collect();
        assert_eq!(shown, ["ab=[1, {\"x\": \"]}\"}, []]", "b=-1.5e3", "c={}", "d=\"\""]);
        let list: Vec<_> = top.get("ab").unwrap().elements().map(Node::raw).collect();
        assert_eq!(list, ["1", "{\"x\": \"]}\"}", "[]"]);
        assert_eq!((Node::top("[ ]").elements().count(), Node::top("{ }").members().count()), (0, 0));
        assert_eq!((Node::top("1").elements().count(), Node::top("[1]").members().count()), (0, 0));
        assert_eq!(top.get("d").unwrap().kind(), Kind::Text(Cow::Borrowed("")));
    }

    #[test]
    fn whole_numbers_are_exact_or_none() {
        for (raw, number) in [
            ("30", Some(30)),
            ("30.0", Some(30)),
            ("3e1", Some(30)),
            ("-0.0", Some(0)),
            ("1.5", None),
            ("9223372036854775807", Some(i128::from(i64::MAX))),
            ("18446744073709551616", Some(1 << 64)),
            // As a float it is another number.
            ("9007199254740993.0", None),
            ("1e300", None),
        ] {
            assert_eq!(whole(raw), number, "{raw}");
        }
    }

    #[test]
    fn equal_is_equal_after_parsing() {
        let one = r#"{"a": [1, 2.5, "x\u0079"], "b": {"c": null, "d": true}, "unknown": 1e2}"#;
        for same in [
            r#"{"b":{"d":true,"c":null},"unknown":100,"a":[1.0,2.50,"xy"]}"#,
            r#"{ "unknown": 100.0, "a": [1, 25e-1, "\u0078y"], "b": {"c": null, "d": true} }"#,
        ] {
            assert!(same_json(one, same) && same_json(same, one), "{same}");
        }
        for other in [
            r#"{"a": [1, 2.5, "xy"], "b": {"c": null, "d": true}}"#,
            r#"{"a": [1, 2.5, "xy"], "b": {"c": null, "d": true}, "unknown": 101}"#,
            r#"{"a": [1, 2.5, "xy", 0], "b": {"c": null, "d": true}, "unknown": 100}"#,
            r#"{"a": [1, "xy", 2.5], "b": {"c": null, "d": true}, "unknown": 100}"#,
            r#"{"a": [1, 2.5, "xy"], "b": {"c": false, "d": true}, "unknown": 100}"#,
            r#"{"a": [1, 2.5, "xy"], "b": {"e": null, "d": true}, "unknown": 100}"#,
            r#"{"a": [1, 2.5, "xy"], "b": [], "unknown": 100}"#,
            r#"{"a": [1, 2.5, "xy"], "b": {"c": null, "d": true}, "unknown": "100"}"#,
        ] {
            assert!(!same_json(one, other) && !same_json(other, one), "{other}");
        }
        assert!(!same_json("9223372036854775807", "9223372036854775806"));
        assert!(!same_json("[]", "[1]") && !same_json("[1]", "[]") && !same_json("null", "false"));
    }
}
