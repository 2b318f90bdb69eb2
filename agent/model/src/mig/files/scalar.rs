//! What a scalar of a file means: the words of YAML 1.1 are booleans, and a number that two versions of YAML read differently is none.

use super::yaml::{Node, Value};

/// True where nothing is there: absent in all but its name.
pub(crate) fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
}

/// The boolean that it is; `yes` and `on` among them.
pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    let Value::Scalar { text, plain } = &node.value else { return Err("expected true or false".to_owned()) };
    let lower = text.to_ascii_lowercase();
    // One capital letter at the front, or all of them: no other mixture is a boolean.
    let spelled = *text == lower || *text == lower.to_ascii_uppercase() || *text == capitalised(&lower);
    match lower.as_str() {
        _ if !plain || !spelled => {
            Err(format!("{} is text; expected true or false without quotes", super::shown(text)))
        }
        "true" | "yes" | "on" | "y" => Ok(true),
        "false" | "no" | "off" | "n" => Ok(false),
        _ => Err(format!("{} is neither true nor false", super::shown(text))),
    }
}

fn capitalised(lower: &str) -> String {
    let mut chars = lower.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

/// The whole number that it is, from 0 to `most`.
pub(super) fn whole_number(node: &Node, most: u64) -> Result<u64, String> {
    let Value::Scalar { text, plain } = &node.value else { return Err("expected a whole number".to_owned()) };
    let shown = super::shown(text);
    if !plain || is_null(node) {
        return Err(format!("{shown:?} is not a whole number"));
    }
    if text.starts_with('-') {
        return Err(format!("{shown} is negative or not a number"));
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    let value = match digits.strip_prefix("0x") {
        Some(hex) if !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16)
        }
        _ if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!("{shown} is not a whole number"));
        }
        _ if digits.len() > 1 && digits.starts_with('0') => {
            return Err(format!(
                "{shown} is octal in YAML 1.1 and decimal in YAML 1.2; write it without the leading zero"
            ));
        }
        _ => digits.parse(),
    };
    let value = value.map_err(|_| format!("{shown} is too large"))?;
    if value > most { Err(format!("{shown} is more than {most}")) } else { Ok(value) }
}

/// The text that it is: quoted, or nothing that YAML reads as a number, a boolean or null.
pub(super) fn text(node: &Node) -> Result<&str, String> {
    let Value::Scalar { text, plain } = &node.value else { return Err("expected a text".to_owned()) };
    let other = *plain && (is_null(node) || is_number(text) || (boolean(node).is_ok() && text.len() > 1));
    if other {
        return Err(format!("{} without quotes is not a string in YAML; put it in quotes", super::shown(text)));
    }
    Ok(text)
}

/// True where some version of YAML reads a number.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text).replace('_', "");
    let radix = |prefix: &str, fits: fn(u8) -> bool| {
        digits.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(fits))
    };
    radix("0x", |byte| byte.is_ascii_hexdigit())
        || radix("0X", |byte| byte.is_ascii_hexdigit())
        || radix("0o", |byte| (b'0'..=b'7').contains(&byte))
        || radix("0b", |byte| byte == b'0' || byte == b'1')
        || matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan")
        || (digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::yaml::read;
    use super::*;

    fn with<T>(yaml: &str, read_it: impl Fn(&Node) -> T) -> T {
        read_it(&read(yaml).unwrap().unwrap())
    }

    #[test]
    fn the_words_of_yaml_1_1_are_booleans() {
        for yaml in ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"] {
            assert_eq!(with(yaml, boolean), Ok(true), "{yaml}");
        }
        for yaml in ["false", "no", "NO", "off", "Off", "n"] {
            assert_eq!(with(yaml, boolean), Ok(false), "{yaml}");
        }
        for yaml in ["'true'", "tRUE", "1", "perhaps", "null", "[true]", "yEs"] {
            assert!(with(yaml, boolean).is_err(), "{yaml}");
        }
    }

    #[test]
    fn a_number_is_plain_or_none() {
        let number = |yaml: &str| with(yaml, |node| whole_number(node, 1000));
        assert_eq!([number("0"), number("7"), number("+2"), number("0x10")], [Ok(0), Ok(7), Ok(2), Ok(16)]);
        for (yaml, why) in [
            ("010", "octal"),
            ("07", "octal"),
            ("-1", "negative"),
            ("1.5", "not a whole number"),
            ("2.0", "not a whole number"),
            ("1_000", "not a whole number"),
            ("'2'", "not a whole number"),
            ("null", "not a whole number"),
            ("~", "not a whole number"),
            ("1001", "more than 1000"),
            ("99999999999999999999", "too large"),
            ("[1]", "expected"),
        ] {
            assert!(number(yaml).unwrap_err().contains(why), "{yaml}: {:?}", number(yaml));
        }
    }

    #[test]
    fn what_yaml_reads_as_something_else_is_no_text() {
        for yaml in ["0x233510DE", "590680286", "null", "~", "yes", "1e3", ".inf", "0b11", "1.5", "[a]"] {
            assert!(with(yaml, |node| text(node).map(str::to_owned)).is_err(), "{yaml}");
        }
        for yaml in ["all", "'0x233510DE'", "0x233510DE:0x18BE10DE", "H200", "0000:41:00.0", "''"] {
            assert!(with(yaml, |node| text(node).map(str::to_owned)).is_ok(), "{yaml}");
        }
    }
}
