//! What the agent takes from an answer: `HeartbeatReply`, `Version` and `Error`.

use crate::manager::lenient;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::fmt::strtime;
use model::checkin::features::ManagerFeatures;
use model::checkin::renewal::Rotate;
use model::checkin::{Code, ManagerRefusal, Reply};
use model::desired::{DocumentId, Epoch, Revision};
use model::enrol::Secret;
use model::time::UnixMillis;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The field of a reply that embeds a document.
const EMBEDDED: &str = "desired_state";
/// An answer with more fields than this is not one of the manager API.
const FIELDS_MAX: usize = 1024;
/// Lists and objects of an answer that are longer than this, together and in bytes, are ignored: as a tree they may be a hundred
/// times as large.
const TREES_MAX_BYTES: usize = 64 * 1024;

/// The reply to an accepted heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeartbeatReply {
    /// What steers the next heartbeat.
    pub steering: Reply,
    /// The manager's clock.
    pub server_time: Option<UnixMillis>,
    /// The manager has switched this host on.
    pub enabled: Option<bool>,
    /// The manager wants the credential changed.
    pub rotate: Rotate,
    /// The shared token that will come into force.
    pub next_token: Option<Secret>,
    /// The newest document of desired state.
    pub newest: Option<DocumentId>,
}

impl HeartbeatReply {
    /// Reads a body, and wipes the secret in it; whatever is wrong in it costs itself.
    #[must_use]
    pub fn read(mut body: Value) -> Self {
        let reply = Self {
            steering: Reply {
                next_heartbeat_s: lenient::seconds(&body, "next_heartbeat_s"),
                early_gap_s: lenient::seconds(&body, "early_gap_s"),
                managers: lenient::managers(&body, "managers"),
                need_inventory: lenient::truth(&body, "need_inventory").unwrap_or(false),
            },
            server_time: lenient::instant(&body, "server_time"),
            enabled: lenient::truth(&body, "enabled"),
            rotate: rotate(&body),
            next_token: lenient::secret(&body, "next_token"),
            newest: newest(&body),
        };
        lenient::wipe(&mut body, &["next_token"]);
        reply
    }
}

/// `desired`; one that is not a valid epoch with a valid revision is none.
fn newest(body: &Value) -> Option<DocumentId> {
    let hint = body.get("desired")?;
    let epoch = Epoch::try_from(lenient::text(hint, "epoch")?).ok()?;
    let revision = hint.get("revision")?;
    // Beyond 63 bits `whole` would give another number.
    let number = revision.as_u64().or_else(|| lenient::whole(revision).and_then(|number| number.try_into().ok()))?;
    Some(DocumentId { epoch, revision: Revision::try_from(number).ok()? })
}

/// The JSON of an answer, and the document that may be embedded in it, as it came: an unreadable or deeply nested one must not cost
/// the rest, and nothing of its numbers may be lost before it is judged.
#[must_use]
pub fn apart(body: &[u8]) -> (Option<Value>, Option<Vec<u8>>) {
    if body.trim_ascii_start().first() != Some(&b'{') {
        let is_small = body.len() <= TREES_MAX_BYTES;
        return (is_small.then(|| serde_json::from_slice(body).ok()).flatten(), None);
    }
    let Ok(Fields(mut fields)) = serde_json::from_slice::<Fields<'_>>(body) else { return (None, None) };
    let document = fields.remove(EMBEDDED).map(|raw| raw.get().as_bytes().to_vec()).filter(|raw| raw != b"null");
    let mut room = TREES_MAX_BYTES;
    let rest = fields.into_iter().filter_map(|(name, raw)| {
        let value = field(raw.get(), &mut room);
        // An error that cannot be read is one all the same.
        let value = value.or_else(|| (name == "error_message").then(|| Value::from("an unreadable error_message")))?;
        Some((name, value))
    });
    (Some(Value::Object(rest.collect())), document)
}

/// One field; `None` where it cannot be read or is larger than there is room: it costs itself.
fn field(raw: &str, room: &mut usize) -> Option<Value> {
    if raw.starts_with(['[', '{']) {
        *room = room.checked_sub(raw.len())?;
    }
    serde_json::from_str(raw).ok()
}

/// The fields of an object as they came, so that nothing is built of one before its size is known.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor).map(Fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {FIELDS_MAX} fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
            if fields.len() >= FIELDS_MAX {
                return Err(A::Error::invalid_length(fields.len(), &self));
            }
            fields.insert(name, raw);
        }
        Ok(fields)
    }
}

fn rotate(body: &Value) -> Rotate {
    match body.get("rotate_credential") {
        Some(Value::Bool(true)) => Rotate::WithinAnHour,
        Some(Value::String(when)) if when == "now" => Rotate::Now,
        Some(_) | None => Rotate::No,
    }
}

/// What a manager can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// Protocol versions.
    pub protocols: Vec<String>,
    /// Optional features, `gzip` among them; names that this agent does not know are ignored.
    pub features: Vec<String>,
}

impl Version {
    /// Reads a body.
    #[must_use]
    pub fn read(body: &Value) -> Self {
        Self { protocols: lenient::texts(body, "protocols"), features: lenient::texts(body, "features") }
    }

    /// The features that this agent uses.
    #[must_use]
    pub fn features(&self) -> ManagerFeatures {
        let has = |name: &str| self.features.iter().any(|feature| feature == name);
        ManagerFeatures { gzip: has("gzip"), long_poll: has("long_poll"), events: has("events") }
    }
}

/// Headers of an answer that ask the client to wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct ComeBack<'a> {
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// `Date`: the clock that a date in `Retry-After` is read against.
    pub date: Option<&'a str>,
    /// The clock of this host, where the answer has no date.
    pub received: UnixMillis,
}

impl ComeBack<'_> {
    /// Seconds to wait: `Retry-After: 120`, or the time until the date that it names.
    #[must_use]
    pub fn seconds(self) -> Option<u64> {
        let text = self.retry_after?.trim();
        if let Ok(seconds) = text.parse::<i64>() {
            return Some(u64::try_from(seconds).unwrap_or(0));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            return Some(u64::MAX);
        }
        let until = http_date(text)?;
        let now = self.date.and_then(http_date).unwrap_or(self.received);
        let left = until.0.saturating_sub(now.0);
        // Part of a second counts as a whole one: before its end is too early.
        Some(u64::try_from(left).unwrap_or(0).div_ceil(1000))
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, and the two forms that HTTP had before.
#[must_use]
pub fn http_date(text: &str) -> Option<UnixMillis> {
    let text = text.trim();
    let old = |form: &str| strtime::parse(form, text).ok()?.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let old =
        || old("%A, %d-%b-%y %H:%M:%S GMT").or_else(|| old("%a %b %e %H:%M:%S %Y")).map(|zoned| zoned.timestamp());
    let parsed: Option<Timestamp> = DateTimeParser::new().parse_timestamp(text).ok().or_else(old);
    parsed.map(|at| UnixMillis(at.as_millisecond()))
}

/// The answer as a refusal, where it is one: any status but 200, or an `error_message` in a 200.
#[must_use]
pub fn refusal(status: u16, come_back: ComeBack<'_>, body: Option<&Value>) -> Option<ManagerRefusal> {
    let message = body.and_then(|b| lenient::text(b, "error_message"));
    if (200..300).contains(&status) && status != 202 && message.is_none() {
        return None;
    }
    let named = body.and_then(|b| lenient::text(b, "code"));
    let code = named.as_deref().and_then(Code::from_name);
    let message = message.unwrap_or_default();
    let message = match named.filter(|_| code.is_none()) {
        Some(unknown) => {
            format!(
                "{message} (code {:?} is not part of the manager API)",
                unknown.chars().take(64).collect::<String>()
            )
        }
        None => message,
    };
    let retry_after_s = come_back.seconds().or_else(|| body.and_then(|b| lenient::seconds(b, "retry_after_s")));
    Some(ManagerRefusal { status, code, message, retry_after_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_is_read_field_by_field() {
        let reply = HeartbeatReply::read(json!({
            "server_time": "2026-03-31T13:13:13.140Z", "next_heartbeat_s": 9999, "need_inventory": true, "new": {"x": 1},
            "managers": [{"hostname": "a.example", "zone": "z", "priority": 1}, {"hostname": "b", "port": 8443},
                         {"port": 1}, {"hostname": "evil/../x"}, {"hostname": "c", "port": 70000}, 7],
            "next_token": "s3cret", "rotate_credential": true, "enabled": false, "early_gap_s": 5.0,
        }));
        assert_eq!(reply.server_time, Some(UnixMillis(1_774_962_793_140)));
        assert_eq!(reply.steering.next_heartbeat_s, Some(9999));
        assert_eq!(reply.steering.early_gap_s, Some(5));
        assert!(reply.steering.need_inventory && reply.rotate == Rotate::WithinAnHour);
        assert_eq!(reply.enabled, Some(false));
        let managers: Vec<_> = reply.steering.managers.iter().map(ToString::to_string).collect();
        assert_eq!(managers, ["a.example:443", "b:8443"]);
        assert!(!format!("{reply:?}").contains("s3cret"));
        assert_eq!(reply.next_token.unwrap().expose(), "s3cret");
    }

    #[test]
    fn wrong_types_cost_only_their_field() {
        let reply = HeartbeatReply::read(json!({
            "server_time": 7, "next_heartbeat_s": "soon", "managers": "none", "enabled": "yes", "need_inventory": true,
        }));
        assert_eq!(reply.server_time, None);
        assert_eq!(reply.steering, Reply { need_inventory: true, ..Reply::default() });
        assert_eq!(HeartbeatReply::read(json!([1, 2])), HeartbeatReply::default());
        assert_eq!(HeartbeatReply::read(json!({"next_heartbeat_s": -4})).steering.next_heartbeat_s, Some(0));
    }

    #[test]
    fn the_newest_document_is_named_by_a_valid_epoch_and_revision_or_not_at_all() {
        let read = |hint: Value| HeartbeatReply::read(json!({"desired": hint})).newest.map(|id| id.to_string());
        assert_eq!(read(json!({"epoch": "b0f4", "revision": 43.0})).as_deref(), Some("b0f4.43"));
        for wrong in [
            json!(null),
            json!("b0f4.43"),
            json!({"epoch": "b0f4"}),
            json!({"epoch": "", "revision": 1}),
            json!({"epoch": "a b", "revision": 1}),
            json!({"epoch": "b0f4", "revision": 0}),
            json!({"epoch": "b0f4", "revision": -1}),
            json!({"epoch": "b0f4", "revision": 1.5}),
            json!({"epoch": "b0f4", "revision": "11"}),
            json!({"epoch": "b0f4", "revision": 18_446_744_073_709_551_615_u64}),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn an_embedded_document_comes_as_it_is_and_costs_nothing_else_whatever_it_is() {
        let (rest, document) =
            apart(br#"{"server_time": "x", "desired_state": {"a": 1.50, "a" : 18446744073709551616}}"#);
        assert_eq!(rest, Some(json!({"server_time": "x"})));
        assert_eq!(document.unwrap(), br#"{"a": 1.50, "a" : 18446744073709551616}"#);
        let deep =
            format!("{{\"desired_state\": {}1{}, \"enabled\": false}}", "[".repeat(100_000), "]".repeat(100_000));
        let (rest, document) = apart(deep.as_bytes());
        assert_eq!((rest, document.unwrap().len()), (Some(json!({"enabled": false})), 200_001));
        assert_eq!(apart(br#"{"desired_state": null, "a": 1}"#), (Some(json!({"a": 1})), None));
        assert_eq!(apart(br#"{"desired_state": {"cut"#), (None, None));
        assert_eq!(apart(br#"["desired_state"]"#), (Some(json!(["desired_state"])), None));
        assert_eq!(apart(b"\xff desired_state"), (None, None));
    }

    #[test]
    fn what_grows_as_a_tree_costs_itself_and_too_many_fields_the_answer() {
        let large =
            format!("{{\"managers\": [{}1], \"features\": [\"h2\"], \"enabled\": false}}", "{\"\":0},".repeat(20_000));
        assert_eq!(apart(large.as_bytes()).0, Some(json!({"features": ["h2"], "enabled": false})));
        let long = format!("{{\"ca_bundle_pem\": \"{}\"}}", "x".repeat(1 << 20));
        assert_eq!(apart(long.as_bytes()).0.unwrap()["ca_bundle_pem"].as_str().unwrap().len(), 1 << 20);
        let fields = |count: usize| (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
        assert!(apart(format!("{{{}}}", fields(FIELDS_MAX)).as_bytes()).0.is_some());
        assert_eq!(apart(format!("{{{}}}", fields(FIELDS_MAX + 1)).as_bytes()), (None, None));
        assert_eq!(apart(format!("[{}]", "0,".repeat(100_000)).as_bytes()), (None, None));
        let unreadable = apart(br#"{"error_message": "\ud800", "code": "internal"}"#).0.unwrap();
        assert!(refusal(200, ComeBack::default(), Some(&unreadable)).is_some());
    }

    #[test]
    fn features_are_named() {
        let read = |features: Value| Version::read(&json!({"features": features})).features();
        let none = ManagerFeatures::default();
        assert_eq!(read(json!(["long_poll", "h2"])), ManagerFeatures { long_poll: true, ..none });
        assert_eq!(read(json!(["gzip", 7])), ManagerFeatures { gzip: true, ..none });
        assert_eq!(read(json!(["events"])), ManagerFeatures { events: true, ..none });
        assert_eq!(read(json!("long_poll")), ManagerFeatures::default());
    }

    #[test]
    fn a_credential_is_rotated_on_true_and_on_now_and_on_nothing_else() {
        let read = |value: Value| HeartbeatReply::read(json!({"rotate_credential": value})).rotate;
        assert_eq!((read(json!(true)), read(json!("now"))), (Rotate::WithinAnHour, Rotate::Now));
        for other in [json!(false), json!(null), json!("later"), json!(1), json!("true"), json!({})] {
            assert_eq!(read(other), Rotate::No);
        }
    }

    #[test]
    fn a_200_with_an_error_message_is_a_refusal() {
        let none = ComeBack::default();
        assert_eq!(refusal(200, none, Some(&json!({"server_time": "x"}))), None);
        assert_eq!(refusal(200, none, Some(&json!({"error_message": null}))), None);
        let refused = refusal(200, none, Some(&json!({"error_message": "no", "code": "internal"}))).unwrap();
        assert_eq!((refused.status, refused.code), (200, Some(Code::Internal)));
        assert!(refusal(202, ComeBack { retry_after: Some("7"), ..none }, None).is_some());
        assert!(refusal(302, none, None).is_some());
    }

    #[test]
    fn a_code_that_the_contract_does_not_have_is_none_and_is_shown() {
        let refused =
            refusal(400, ComeBack::default(), Some(&json!({"error_message": "no", "code": "teapot"}))).unwrap();
        assert_eq!(refused.code, None);
        assert!(refused.words().contains("teapot"), "{}", refused.words());
    }

    #[test]
    fn t09_retry_after_comes_from_the_header_in_seconds_or_as_a_date_else_from_the_body() {
        let now = UnixMillis(784_111_777_000);
        let after = |retry_after, date, body: Value| {
            refusal(429, ComeBack { retry_after, date, received: now }, Some(&body)).unwrap().retry_after_s
        };
        assert_eq!(after(Some("12"), None, json!({"retry_after_s": 3})), Some(12));
        assert_eq!(after(None, None, json!({"retry_after_s": 3.0})), Some(3));
        for date in ["Sun, 06 Nov 1994 08:51:17 GMT", "Sunday, 06-Nov-94 08:51:17 GMT", "Sun Nov  6 08:51:17 1994"] {
            assert_eq!(after(Some(date), None, json!({})), Some(100), "{date}");
        }
        // The clock of this host may be wrong: the answer's own one counts.
        let dates = (Some("Sun, 06 Nov 1994 08:51:17 GMT"), Some("Sun, 06 Nov 1994 08:51:00 GMT"));
        assert_eq!(after(dates.0, dates.1, json!({})), Some(17));
        assert_eq!(after(Some("Wed, 21 Oct 1970 07:28:00 GMT"), None, json!({})), Some(0));
        for (odd, read) in [("-5", Some(0)), ("99999999999999999999", Some(u64::MAX)), ("soon", None), ("", None)] {
            assert_eq!(after(Some(odd), None, json!({})), read, "{odd:?}");
        }
    }
}
