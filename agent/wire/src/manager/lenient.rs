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

/// A secret text.
#[must_use]
pub fn secret(from: &Value, name: &str) -> Option<Secret> {
    from.get(name)?.as_str().map(Secret::new).filter(|s| !s.is_empty())
}

/// A truth value.
#[must_use]
pub fn truth(from: &Value, name: &str) -> Option<bool> {
    from.get(name)?.as_bool()
}

/// A number of seconds; one below zero counts as 0.
#[must_use]
pub fn seconds(from: &Value, name: &str) -> Option<u64> {
    let value = from.get(name)?;
    value.as_u64().or_else(|| value.as_i64().map(|_| 0))
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
            Some(port) => u16::try_from(port.as_u64()?).ok()?,
        };
        let address = ManagerAddress {
            host: text(entry, "hostname")?,
            port,
            zone: text(entry, "zone"),
            priority: entry.get("priority").and_then(Value::as_i64),
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
