//! JSON text before it has a meaning: whether it is valid, how deep it nests, and where the members of an object are.
//!
//! Validity is judged by `serde_json`; what is here finds places in a text that is already known to be valid.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// A place in a text, for people: both numbers begin at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonPlace {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl JsonPlace {
    /// The place of the byte `at` of a text; its end where the text has no such byte.
    #[must_use]
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: last.chars().count() + 1 }
    }
}

impl fmt::Display for JsonPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is not taken as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not valid.
    #[error("{at}: {why}")]
    Invalid {
        /// Where.
        at: JsonPlace,
        /// What was found.
        why: String,
    },
    /// It nests too deep.
    #[error("{at}: nested deeper than {most} levels")]
    TooDeep {
        /// The bracket that is one too many.
        at: JsonPlace,
        /// Levels allowed.
        most: usize,
    },
}

/// Checks that a text is one valid JSON value that nests at most `most` levels deep. Needs no stack for the nesting.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn check(text: &str, most: usize) -> Result<(), JsonError> {
    if let Some(at) = too_deep(text, most) {
        return Err(JsonError::TooDeep { at: JsonPlace::of(text, at), most });
    }
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| invalid(text, &error))
}

/// The first bracket that opens a level too many.
fn too_deep(text: &str, most: usize) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > most {
                    return Some(at);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn invalid(text: &str, error: &serde_json::Error) -> JsonError {
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let mut at = offset(text, error.line(), error.column());
    if said.starts_with("control character") {
        // Here it means the character before.
        at += text.get(at..).and_then(|rest| rest.find(|c| c < ' ')).unwrap_or(0);
    }
    let (before, rest) = text.split_at(at);
    let why = if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#') {
        format!("a comment, which JSON does not have ({said})")
    } else if rest.starts_with(['}', ']']) && before.trim_end().ends_with(',') {
        format!("nothing follows the comma before it ({said})")
    } else {
        said.to_owned()
    };
    JsonError::Invalid { at: JsonPlace::of(text, at), why }
}

/// The byte that `serde_json` means. It counts bytes, and reports column 0 of the next line for the end of a line.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (before + column).saturating_sub(1).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What kind of value begins with this byte, in words.
#[must_use]
pub fn kind(text: &str, at: usize) -> &'static str {
    match text.as_bytes().get(at) {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    }
}

/// A member of an object: where its name (with its quotes) and its value are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name, quotes included.
    pub name: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

impl Member {
    /// The name with its escapes resolved; `None` where it is not text (half of a surrogate pair).
    #[must_use]
    pub fn name_in(&self, text: &str) -> Option<String> {
        serde_json::from_str(text.get(self.name.clone())?).ok()
    }
}

/// The first byte at or after `at` that is no white space of JSON.
#[must_use]
pub fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// The members of the object that begins with the bracket at `open`, in their order, repeated names included. The text is
/// valid JSON.
#[must_use]
pub fn members(text: &str, open: usize) -> Vec<Member> {
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let mut found = Vec::new();
    let mut at = skip_space(text, open + 1);
    while byte(at) == Some(b'"') {
        let name = at..string_end(text, at);
        let colon = skip_space(text, name.end);
        let begin = skip_space(text, colon + 1);
        let value = begin..value_end(text, begin);
        at = skip_space(text, value.end);
        found.push(Member { name, value });
        if byte(at) != Some(b',') {
            break;
        }
        at = skip_space(text, at + 1);
    }
    found
}

/// The elements of the array that begins with the bracket at `open`, in their order. The text is valid JSON.
#[must_use]
pub fn elements(text: &str, open: usize) -> Vec<Range<usize>> {
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let mut found = Vec::new();
    let mut at = skip_space(text, open + 1);
    while byte(open) == Some(b'[') && !matches!(byte(at), Some(b']') | None) {
        let element = at..value_end(text, at);
        at = skip_space(text, element.end);
        found.push(element);
        if byte(at) != Some(b',') {
            break;
        }
        at = skip_space(text, at + 1);
    }
    found
}

/// The end of the string that begins with the quote at `at`.
fn string_end(text: &str, at: usize) -> usize {
    let mut escaped = false;
    for (ahead, byte) in text.bytes().enumerate().skip(at + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return ahead + 1,
            _ => {}
        }
    }
    text.len()
}

/// The end of the value that begins at `at`. The text is valid JSON.
#[must_use]
pub fn value_end(text: &str, at: usize) -> usize {
    match text.as_bytes().get(at) {
        Some(b'"') => string_end(text, at),
        Some(b'{' | b'[') => nested_end(text, at),
        _ => {
            let rest = text.as_bytes().get(at..).unwrap_or_default();
            at + rest.iter().take_while(|byte| !b",]} \t\n\r".contains(byte)).count()
        }
    }
}

fn nested_end(text: &str, at: usize) -> usize {
    let (mut depth, mut next) = (0_usize, at);
    while let Some(byte) = text.as_bytes().get(next) {
        match byte {
            b'"' => {
                next = string_end(text, next);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        next += 1;
        if depth == 0 {
            return next;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        check(text, 8).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, said) in [
            ("{\"a\": 1,}", "line 1, column 9: nothing follows the comma before it (key must be a string)"),
            (
                "{\n  // no\n  \"a\": 1\n}",
                "line 2, column 3: a comment, which JSON does not have (key must be a string)",
            ),
            ("{} # x", "line 1, column 4: a comment, which JSON does not have (trailing characters)"),
            ("{\"a\": [1, 2", "line 1, column 11: EOF while parsing a list"),
            ("{\"é\": tru}", "line 1, column 10: expected ident"),
            ("{}\n{}", "line 2, column 1: trailing characters"),
            ("{\"a\": 01}", "line 1, column 8: invalid number"),
            ("[[[[[[[[[]]]]]]]]]", "line 1, column 9: nested deeper than 8 levels"),
        ] {
            assert_eq!(fault(text), said, "{text:?}");
        }
        let broken = fault("{\"a\": \"x\ny\"}");
        assert!(broken.starts_with("line 1, column 9: control character"), "{broken}");
        assert_eq!(check("[[[[[[[[\"[[[\"]]]]]]]] ", 8), Ok(()));
    }

    #[test]
    fn elements_are_found_with_their_places() {
        let text = "[ {\"a\": [1, 2]} , \"],[\",3 , []]";
        let found: Vec<&str> = elements(text, 0).into_iter().map(|place| &text[place]).collect();
        assert_eq!(found, ["{\"a\": [1, 2]}", "\"],[\"", "3", "[]"]);
        for none in ["[]", "[ ]", "{}", "7"] {
            assert_eq!(elements(none, 0), [], "{none}");
        }
    }

    #[test]
    fn members_are_found_with_their_places_and_repeated_ones_too() {
        let text = " { \"a\\\"{\" : [1, {\"x\": \"]}\"}] , \"b\":-1.5e3,\"b\" : {} }";
        let found = members(text, 1);
        let shown: Vec<_> = found.iter().map(|m| (&text[m.name.clone()], &text[m.value.clone()])).collect();
        assert_eq!(shown, [("\"a\\\"{\"", "[1, {\"x\": \"]}\"}]"), ("\"b\"", "-1.5e3"), ("\"b\"", "{}")]);
        assert_eq!(found[0].name_in(text).unwrap(), "a\"{");
        assert_eq!(members("{ }", 0), []);
        let lone = "{\"\\ud800\": 1}";
        assert_eq!(members(lone, 0)[0].name_in(lone), None);
    }
}
