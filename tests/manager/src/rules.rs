//! What a request must fulfil before anybody looks at what it wants: its headers, and the schema of its body.

use crate::answer::{Code, Refused};
use crate::call::Call;
use crate::contract;
use crate::endpoint::{Endpoint, Verb};
use uuid::Uuid;

/// All that breaks the contract in a request whose body was read; empty where nothing does.
pub(crate) fn faults(endpoint: Endpoint, call: &Call) -> Vec<String> {
    let mut faults = header_faults(endpoint, call);
    if let Some(pointer) = endpoint.request_schema() {
        match contract::mismatches(&pointer, &call.body) {
            Ok(found) => faults.extend(found.iter().map(ToString::to_string)),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    faults
}

/// A heartbeat larger than the manager takes. Not a fault: the agent is expected to try without its optional parts.
pub(crate) fn size(endpoint: Endpoint, call: &Call, limit: usize) -> Result<(), Refused> {
    if endpoint == Endpoint::Heartbeat && call.inflated_bytes > limit {
        let message = format!("the heartbeat has {} bytes, {limit} are taken", call.inflated_bytes);
        return Err(Refused::new(Code::TooLarge, message));
    }
    Ok(())
}

fn header_faults(endpoint: Endpoint, call: &Call) -> Vec<String> {
    let mut faults = Vec::new();
    let mut want = |name: &str, good: fn(&str) -> bool, form: &str| match call.header(name) {
        Some(value) if good(value) => {}
        Some(value) => faults.push(format!("header {name}: {value:?} is not {form}")),
        None => faults.push(format!("header {name} is missing, it is {form}")),
    };
    if endpoint.verb() == Verb::Post {
        want("content-type", is_json, "application/json");
    }
    if endpoint.wants_agent_headers() {
        want("user-agent", is_agent, "gpuhostd/<version>");
        want("x-gpuhostd-protocol", |value| value == "1.0", "1.0");
        want("x-request-id", is_request_id, "1 to 128 visible characters");
    }
    if endpoint.wants_idempotency_key() {
        want("idempotency-key", |value| Uuid::try_parse(value).is_ok(), "a UUID");
    }
    faults
}

fn is_json(value: &str) -> bool {
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn is_agent(value: &str) -> bool {
    value.strip_prefix("gpuhostd/").is_some_and(|version| {
        version.starts_with(|first: char| first.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+~".contains(c))
    })
}

fn is_request_id(value: &str) -> bool {
    (1..=128).contains(&value.len()) && value.chars().all(|c| c.is_ascii_graphic())
}
