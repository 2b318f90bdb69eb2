//! A document in TOML as the same document in JSON, so that both are read by the same code, with the places of its fields.

use crate::json::JsonPlace;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A document that was written in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlDocument {
    /// The same in JSON.
    pub json: String,
    /// Where each value is, by its JSON pointer.
    places: BTreeMap<String, JsonPlace>,
}

/// A text that is not TOML, or has a value that JSON does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlError {
    /// Where.
    pub at: JsonPlace,
    /// The JSON pointer of the value; empty where the text is not TOML at all.
    pub pointer: String,
    /// What is wrong.
    pub why: String,
}

impl TomlDocument {
    /// Converts a text. A date and time becomes its text in RFC 3339.
    ///
    /// # Errors
    /// It is not TOML, or a number is infinite or too large.
    pub fn read(text: &str) -> Result<Self, TomlError> {
        let table = DeTable::parse(text).map_err(|fault| TomlError {
            at: JsonPlace::of(text, fault.span().unwrap_or_default().start),
            pointer: String::new(),
            why: fault.message().to_owned(),
        })?;
        let mut reader = Reader { text, places: BTreeMap::new() };
        let value = reader.table(table.get_ref(), "")?;
        Ok(Self { json: value.to_string(), places: reader.places })
    }

    /// Where the value of a JSON pointer is, or the nearest one around it.
    #[must_use]
    pub fn place(&self, pointer: &str) -> Option<JsonPlace> {
        let mut around = pointer;
        loop {
            if let Some(place) = self.places.get(around) {
                return Some(*place);
            }
            (around, _) = around.rsplit_once('/')?;
        }
    }
}

/// The JSON pointer of a member.
#[must_use]
pub fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

struct Reader<'t> {
    text: &'t str,
    places: BTreeMap<String, JsonPlace>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Result<Value, TomlError> {
        let mut members = Map::new();
        for (name, value) in table {
            let name = name.get_ref();
            members.insert(name.to_string(), self.value(value, &pointer_to(pointer, name))?);
        }
        Ok(Value::Object(members))
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, pointer: &str) -> Result<Value, TomlError> {
        self.places.insert(pointer.to_owned(), JsonPlace::of(self.text, value.span().start));
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(instant) => Value::String(instant.to_string()),
            DeValue::Integer(number) => {
                let whole = i64::from_str_radix(number.as_str(), number.radix());
                Value::Number(whole.map_err(|_| self.refuse(value.span(), pointer, "is too large"))?.into())
            }
            DeValue::Float(number) => {
                let number: Option<f64> = number.as_str().parse().ok();
                let finite = number.and_then(Number::from_f64);
                Value::Number(finite.ok_or_else(|| self.refuse(value.span(), pointer, "is not a finite number"))?)
            }
            DeValue::Array(all) => {
                let all = all.iter().enumerate();
                let all: Result<_, _> = all.map(|(at, one)| self.value(one, &format!("{pointer}/{at}"))).collect();
                Value::Array(all?)
            }
            DeValue::Table(table) => self.table(table, pointer)?,
        })
    }

    fn refuse(&self, span: Range<usize>, pointer: &str, why: &str) -> TomlError {
        TomlError { at: JsonPlace::of(self.text, span.start), pointer: pointer.to_owned(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_same_in_both_forms() {
        let text = "# a host\n[agent]\ndrain_at = 2026-03-31T13:13:13Z\nmax_workspaces = 0x10\noverrides.cores = 1.5\n\n\
                    [[gpus]]\nmatch = { bdf = '0000:41:00.0' }\nuse = 'passthrough'\n";
        let read = TomlDocument::read(text).unwrap();
        let same: Value = serde_json::json!({
            "agent": {"drain_at": "2026-03-31T13:13:13Z", "max_workspaces": 16, "overrides": {"cores": 1.5}},
            "gpus": [{"match": {"bdf": "0000:41:00.0"}, "use": "passthrough"}],
        });
        assert_eq!(serde_json::from_str::<Value>(&read.json).unwrap(), same);
        let place = |pointer: &str| read.place(pointer).map(|place| place.to_string());
        assert_eq!(place("/agent/drain_at").as_deref(), Some("line 3, column 12"));
        assert_eq!(place("/gpus/0/use").as_deref(), Some("line 9, column 7"));
        assert_eq!(place("/gpus/0/match/uuid").as_deref(), Some("line 8, column 9"), "the nearest around it");
        assert_eq!(place("/nowhere"), None);
    }

    #[test]
    fn what_json_does_not_know_is_refused_with_its_place() {
        for (text, line, pointer) in [
            ("a = 1\nb = inf", 2, "/b"),
            ("a = [1, nan]", 1, "/a/1"),
            ("a = 1e999", 1, "/a"),
            ("a = 9223372036854775808", 1, "/a"),
            ("a = 1\na = 2", 2, ""),
            ("[a\n", 1, ""),
        ] {
            let fault = TomlDocument::read(text).unwrap_err();
            assert_eq!((fault.at.line, fault.pointer.as_str()), (line, pointer), "{text}: {fault:?}");
        }
        assert_eq!(pointer_to("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
