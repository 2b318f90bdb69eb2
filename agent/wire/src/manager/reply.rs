//! What the agent takes from an answer: `HeartbeatReply`, `Version` and `Error`.

use crate::manager::lenient;
use model::checkin::{Refused, Reply};
use model::enrol::Secret;
use model::time::UnixMillis;
use serde_json::Value;

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
    pub rotate_credential: bool,
    /// The shared token that will come into force.
    pub next_token: Option<Secret>,
}

impl HeartbeatReply {
    /// Reads a body; whatever is wrong in it costs itself.
    #[must_use]
    pub fn read(body: &Value) -> Self {
        Self {
            steering: Reply {
                next_heartbeat_s: lenient::seconds(body, "next_heartbeat_s"),
                managers: lenient::managers(body, "managers"),
                need_inventory: lenient::truth(body, "need_inventory").unwrap_or(false),
            },
            server_time: lenient::instant(body, "server_time"),
            enabled: lenient::truth(body, "enabled"),
            rotate_credential: lenient::truth(body, "rotate_credential").unwrap_or(false),
            next_token: lenient::secret(body, "next_token"),
        }
    }
}

/// What a manager can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// Protocol versions.
    pub protocols: Vec<String>,
    /// Optional features, `gzip` among them.
    pub features: Vec<String>,
}

impl Version {
    /// Reads a body.
    #[must_use]
    pub fn read(body: &Value) -> Self {
        Self { protocols: lenient::texts(body, "protocols"), features: lenient::texts(body, "features") }
    }

    /// Request bodies may be compressed.
    #[must_use]
    pub fn takes_gzip(&self) -> bool {
        self.features.iter().any(|f| f == "gzip")
    }
}

/// The answer as a refusal, where it is one: any status but 200, or an `error_message` in a 200.
#[must_use]
pub fn refusal(status: u16, retry_after: Option<&str>, body: Option<&Value>) -> Option<Refused> {
    let message = body.and_then(|b| lenient::text(b, "error_message"));
    if (200..300).contains(&status) && status != 202 && message.is_none() {
        return None;
    }
    let header = retry_after.and_then(|text| text.trim().parse().ok());
    Some(Refused {
        status,
        code: body.and_then(|b| lenient::text(b, "code")),
        message: message.unwrap_or_default(),
        retry_after_s: header.or_else(|| body.and_then(|b| lenient::seconds(b, "retry_after_s"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_is_read_field_by_field() {
        let reply = HeartbeatReply::read(&json!({
            "server_time": "2026-03-31T13:13:13.140Z", "next_heartbeat_s": 9999, "need_inventory": true, "new": {"x": 1},
            "managers": [{"hostname": "a.example", "zone": "z", "priority": 1}, {"hostname": "b", "port": 8443},
                         {"port": 1}, {"hostname": "evil/../x"}, {"hostname": "c", "port": 70000}, 7],
            "next_token": "s3cret", "rotate_credential": true, "enabled": false,
        }));
        assert_eq!(reply.server_time, Some(UnixMillis(1_774_962_793_140)));
        assert_eq!(reply.steering.next_heartbeat_s, Some(9999));
        assert!(reply.steering.need_inventory && reply.rotate_credential);
        assert_eq!(reply.enabled, Some(false));
        let managers: Vec<_> = reply.steering.managers.iter().map(ToString::to_string).collect();
        assert_eq!(managers, ["a.example:443", "b:8443"]);
        assert!(!format!("{reply:?}").contains("s3cret"));
        assert_eq!(reply.next_token.unwrap().expose(), "s3cret");
    }

    #[test]
    fn wrong_types_cost_only_their_field() {
        let reply = HeartbeatReply::read(&json!({
            "server_time": 7, "next_heartbeat_s": "soon", "managers": "none", "enabled": "yes", "need_inventory": true,
        }));
        assert_eq!(reply.server_time, None);
        assert_eq!(reply.steering, Reply { need_inventory: true, ..Reply::default() });
        assert_eq!(HeartbeatReply::read(&json!([1, 2])), HeartbeatReply::default());
        assert_eq!(HeartbeatReply::read(&json!({"next_heartbeat_s": -4})).steering.next_heartbeat_s, Some(0));
    }

    #[test]
    fn a_200_with_an_error_message_is_a_refusal() {
        assert_eq!(refusal(200, None, Some(&json!({"server_time": "x"}))), None);
        assert_eq!(refusal(200, None, Some(&json!({"error_message": null}))), None);
        let refused = refusal(200, None, Some(&json!({"error_message": "no", "code": "internal"}))).unwrap();
        assert_eq!((refused.status, refused.code.as_deref()), (200, Some("internal")));
        assert!(refusal(202, Some("7"), None).is_some());
        assert!(refusal(302, None, None).is_some());
    }

    #[test]
    fn retry_after_comes_from_the_header_else_from_the_body() {
        let after = |header, body: Value| refusal(429, header, Some(&body)).unwrap().retry_after_s;
        assert_eq!(after(Some("12"), json!({"retry_after_s": 3})), Some(12));
        assert_eq!(after(None, json!({"retry_after_s": 3})), Some(3));
        assert_eq!(after(Some("Wed, 21 Oct 2015 07:28:00 GMT"), json!({})), None);
    }
}
