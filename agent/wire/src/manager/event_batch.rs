//! `EventBatch`: what a manager is sent of events, and the acknowledgement that it answers.

use crate::manager::form::rfc3339;
use crate::manager::lenient;
use model::event::HostEvent;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// An instant that has no form in a document: beyond the year 9999.
const FAR: &str = "9999-12-31T23:59:59.999Z";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct EventDocument<'a> {
    id: &'a str,
    seq: u64,
    time: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    boot_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a HostEvent> for EventDocument<'a> {
    fn from(event: &'a HostEvent) -> Self {
        let HostEvent { id, seq, time, boot_id, what } = event;
        Self {
            id,
            seq: *seq,
            time: rfc3339(*time).unwrap_or_else(|| FAR.to_owned()),
            boot_id,
            kind: what.kind.name(),
            subject: &what.subject,
            severity: what.severity.name(),
            code: what.code.as_deref(),
            message: &what.message,
            data: &what.data,
        }
    }
}

#[derive(Debug, Serialize)]
struct BatchDocument<'a> {
    server_id: &'a str,
    events: Vec<EventDocument<'a>>,
}

/// The body of a request with these events.
///
/// # Errors
/// They have no form in JSON.
pub fn event_batch(server_id: &str, events: &[HostEvent]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&BatchDocument { server_id, events: events.iter().map(EventDocument::from).collect() })
}

/// Up to which event the manager has all; `None` where its answer does not show it.
#[must_use]
pub fn acked_seq(body: &Value) -> Option<u64> {
    let acked = body.get("acked_seq")?;
    // Beyond 63 bits `whole` would give another number.
    acked.as_u64().or_else(|| lenient::whole(acked).and_then(|number| number.try_into().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::{EventKind, EventSeverity, Occurrence};
    use model::time::UnixMillis;
    use serde_json::json;

    #[test]
    fn an_event_has_the_form_of_the_contract_and_leaves_out_what_it_does_not_have() {
        let what = Occurrence::new(EventKind::AgentStarted, "", EventSeverity::Info, "gpuhostd runs");
        let event = HostEvent {
            id: "f23a1e49-9ab3-4ede-ba60-c5c4215467a6".to_owned(),
            seq: 7,
            time: UnixMillis(1_774_962_793_140),
            boot_id: String::new(),
            what,
        };
        let body: Value = serde_json::from_slice(&event_batch("id", &[event]).unwrap()).unwrap();
        let wanted = json!({"server_id": "id", "events": [{
            "id": "f23a1e49-9ab3-4ede-ba60-c5c4215467a6", "seq": 7, "time": "2026-03-31T13:13:13.140Z",
            "type": "agent.started", "severity": "info", "message": "gpuhostd runs",
        }]});
        assert_eq!(body, wanted);
    }

    #[test]
    fn an_acknowledgement_is_a_whole_number_or_none() {
        let read = |value: Value| acked_seq(&json!({"acked_seq": value}));
        assert_eq!((read(json!(7)), read(json!(7.0)), read(json!(u64::MAX))), (Some(7), Some(7), Some(u64::MAX)));
        for odd in [json!(-1), json!("7"), json!(null), json!(7.5), json!([7])] {
            assert_eq!(read(odd), None);
        }
        assert_eq!(acked_seq(&json!([])), None);
    }
}
