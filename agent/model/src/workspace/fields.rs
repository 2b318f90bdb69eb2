//! The fields of one JSON object: a wrong one is named with its path, and one that nobody asked for is refused.

use super::refused::WorkspaceRefused;
use serde_json::{Map, Value};

/// An object that is being read.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The object; `path` is empty for the workspace itself.
    pub(super) fn of(value: &'a Value, path: &str) -> Result<Self, WorkspaceRefused> {
        let map = value.as_object().ok_or_else(|| WorkspaceRefused::invalid(named(path), wrong(value, "an object")))?;
        Ok(Self { path: path.to_owned(), map, known: Vec::new() })
    }

    /// Path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A value; null is none.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WorkspaceRefused> {
        let path = self.path(name);
        self.get(name)
            .map(|value| read(value).ok_or_else(|| WorkspaceRefused::invalid(path, wrong(value, what))))
            .transpose()
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, WorkspaceRefused> {
        self.read(name, "a text", Value::as_str)
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Result<bool, WorkspaceRefused> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<f64>, WorkspaceRefused> {
        self.read(name, "a number", Value::as_f64)
    }

    pub(super) fn count(&mut self, name: &'static str) -> Result<Option<u64>, WorkspaceRefused> {
        self.read(name, WHOLE, whole)
    }

    pub(super) fn list(&mut self, name: &'static str) -> Result<&'a [Value], WorkspaceRefused> {
        Ok(self.read(name, "a list", Value::as_array)?.map_or(&[], Vec::as_slice))
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<&'a str>, WorkspaceRefused> {
        let path = self.path(name);
        let text =
            |value: &'a Value| value.as_str().ok_or_else(|| WorkspaceRefused::invalid(&path, wrong(value, "a text")));
        self.list(name)?.iter().map(text).collect()
    }

    /// The first field that nobody asked for.
    pub(super) fn unknown(&self) -> Option<(&'a str, &'a Value)> {
        self.map.iter().map(|(name, value)| (name.as_str(), value)).find(|(name, _)| !self.known.contains(name))
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<(), WorkspaceRefused> {
        match self.unknown() {
            Some((name, _)) => Err(WorkspaceRefused::denied(self.path(&shown(name)), "a document may not set this")),
            None => Ok(()),
        }
    }
}

/// As which a whole number is named in a message.
pub(super) const WHOLE: &str = "a whole number that is not negative";
/// From here on not every whole number is a float (2 to the power of 53).
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// A whole number, also where it is written as `30.0`, as encoders of some languages write each number.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let written_as_float = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..EXACT_BELOW).contains(number))?;
        format!("{number:.0}").parse().ok()
    };
    value.as_u64().or_else(written_as_float)
}

fn named(path: &str) -> &str {
    if path.is_empty() { "the workspace" } else { path }
}

/// What was found instead.
pub(super) fn wrong(value: &Value, expected: &str) -> String {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{:?}", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    format!("{found} is not {expected}")
}

/// A text of the document as it is named in a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    cut.escape_debug().to_string()
}
