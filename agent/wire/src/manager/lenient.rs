//! Reading what a manager sends: a field that is missing, unknown or wrong costs itself and nothing else.

use model::checkin::ManagerAddress;
use model::enrol::Secret;
use model::time::UnixMillis;
use serde_json::Value;

/// A text; `None` where it is missing, empty or no text.
#[must_use]
pub fn text(from: &Value, name: &str) -> Option<String> {
    from.get(name)?.as_str().filter(|t| !t.is_empty()).map(str::to_owned)
}

/// A secret text; `None` where it is missing or could not be sent as it is.
#[must_use]
pub fn secret(from: &Value, name: &str) -> Option<Secret> {
    Secret::of_manager(from.get(name)?.as_str()?)
}

/// Wipes the texts under these names, once they were read.
pub fn wipe(from: &mut Value, names: &[&str]) {
    for name in names {
        if let Some(Value::String(text)) = from.get_mut(name) {
            // What held the secret goes through the type that wipes its memory.
            drop(Secret::take(std::mem::take(text)));
        }
    }
}

/// A whole number; one that is written as `30.0` is one too.
#[must_use]
pub fn whole(value: &Value) -> Option<i64> {
    let exact = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
    exact.or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        // Beyond i64 the text does not parse: such a number is none.
        format!("{number:.0}").parse().ok()
    })
}

/// A truth value.
#[must_use]
pub fn truth(from: &Value, name: &str) -> Option<bool> {
    from.get(name)?.as_bool()
}

/// A number of seconds; one below zero counts as 0.
#[must_use]
pub fn seconds(from: &Value, name: &str) -> Option<u64> {
    whole(from.get(name)?).map(|seconds| u64::try_from(seconds).unwrap_or(0))
}

/// An instant in RFC 3339.
#[must_use]
pub fn instant(from: &Value, name: &str) -> Option<UnixMillis> {
    let at: jiff::Timestamp = from.get(name)?.as_str()?.parse().ok()?;
    Some(UnixMillis(at.as_millisecond()))
}

/// A list of managers; an entry that is none is left out.
#[must_use]
pub fn managers(from: &Value, name: &str) -> Vec<ManagerAddress> {
    let one = |entry: &Value| {
        let port = match entry.get("port") {
            None | Some(Value::Null) => 443,
            Some(port) => u16::try_from(whole(port)?).ok()?,
        };
        let address = ManagerAddress {
            host: text(entry, "hostname")?,
            port,
            zone: text(entry, "zone"),
            priority: entry.get("priority").and_then(whole),
        };
        address.is_plain().then_some(address)
    };
    from.get(name).and_then(Value::as_array).map(|all| all.iter().filter_map(one).collect()).unwrap_or_default()
}

/// A list of texts.
#[must_use]
pub fn texts(from: &Value, name: &str) -> Vec<String> {
    let all = from.get(name).and_then(Value::as_array);
    all.map(|all| all.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_whole_number_may_come_with_a_point() {
        for (written, read) in [
            ("30", Some(30)),
            ("30.0", Some(30)),
            ("3e1", Some(30)),
            ("-4.0", Some(-4)),
            ("30.5", None),
            ("\"30\"", None),
            ("true", None),
            ("null", None),
            ("18446744073709551615", Some(i64::MAX)),
            ("1e300", None),
            ("-0.0", Some(0)),
        ] {
            let value: Value = serde_json::from_str(written).unwrap();
            assert_eq!(whole(&value), read, "{written}");
        }
        assert_eq!(seconds(&json!({"s": -4}), "s"), Some(0));
        assert_eq!(seconds(&json!({"s": 97.0}), "s"), Some(97));
        let list = json!({"managers": [{"hostname": "a", "port": 8443.0, "priority": 1.0}, {"hostname": "b", "port": 8443.5}]});
        let read = managers(&list, "managers");
        assert_eq!((read.len(), read[0].port, read[0].priority), (1, 8443, Some(1)));
    }

    #[test]
    fn what_was_a_secret_is_gone_from_the_body() {
        let mut body = json!({"secret": "s3cret", "server_id": "x"});
        wipe(&mut body, &["secret", "absent", "server_id"]);
        assert_eq!(body, json!({"secret": "", "server_id": ""}));
    }
}
