//! Nested views as D-Bus dictionaries, under the very names that they have in JSON.

use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use zbus::{OwnedVariant, Variant};

/// A dictionary `a{sv}`; a key without a value is left out.
pub type Dict = HashMap<String, OwnedVariant>;

/// A view as a dictionary. Whole numbers are `t` (`x` where negative), others `d`, lists of texts `as`, other lists `av`,
/// nested views `a{sv}`.
#[must_use]
pub fn dict(view: &impl Serialize) -> Dict {
    match serde_json::to_value(view) {
        Ok(Value::Object(fields)) => {
            fields.iter().filter_map(|(key, value)| Some((key.clone(), variant(value)?.try_into().ok()?))).collect()
        }
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
            Dict::new()
        }
    }
}

fn variant(value: &Value) -> Option<Variant<'static>> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(Variant::from(*flag)),
        Value::String(text) => Some(Variant::from(text.clone())),
        Value::Number(number) => {
            let whole = number.as_u64().map(Variant::from).or_else(|| number.as_i64().map(Variant::from));
            whole.or_else(|| number.as_f64().map(Variant::from))
        }
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            Some(match texts {
                Some(texts) => Variant::from(texts),
                None => Variant::from(items.iter().filter_map(variant).collect::<Vec<Variant<'static>>>()),
            })
        }
        Value::Object(fields) => {
            let nested: HashMap<String, Variant<'static>> =
                fields.iter().filter_map(|(key, value)| Some((key.clone(), variant(value)?))).collect();
            Some(Variant::from(nested))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_left_out_and_zero_is_not() {
        let shown =
            dict(&serde_json::json!({"A": null, "B": 0, "C": 36.0, "D": -1, "E": ["x"], "F": {"G": true, "H": null}}));
        let mut keys: Vec<_> = shown.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["B", "C", "D", "E", "F"]);
        assert_eq!(*shown["B"], Variant::U64(0));
        assert_eq!(*shown["C"], Variant::F64(36.0));
        assert_eq!(*shown["D"], Variant::I64(-1));
        assert_eq!(shown["E"].value_signature().to_string(), "as");
        assert_eq!(shown["F"].value_signature().to_string(), "a{sv}");
    }

    #[test]
    fn what_is_no_view_shows_nothing() {
        assert!(dict(&"text").is_empty());
    }
}
