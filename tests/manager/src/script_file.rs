//! Scripted answers from a file, for whoever tries an agent by hand: a list of objects, one for each answer.

use crate::endpoint::Endpoint;
use crate::raw::RawAnswer;
use crate::script::Scripted;
use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use std::time::Duration;

/// What an answer may have.
const FIELDS: [&str; 9] = ["endpoint", "times", "status", "headers", "json", "text", "raw", "delay_s", "delivery"];

/// The answers of a script in their order, each with its endpoint.
///
/// # Errors
/// It is not a list of answers, or has a field that no answer has.
pub fn read_script(text: &str) -> anyhow::Result<Vec<(Endpoint, Scripted)>> {
    let entries: Vec<Map<String, Value>> = serde_json::from_str(text).context("it is not a list of objects")?;
    let mut all = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let (endpoint, answer) = one(entry).with_context(|| format!("answer {}", number + 1))?;
        let times = entry.get("times").map_or(Some(1), Value::as_u64).context("times is not a number")?;
        for _ in 0..times.min(100_000) {
            all.push((endpoint, answer.clone()));
        }
    }
    Ok(all)
}

fn one(entry: &Map<String, Value>) -> anyhow::Result<(Endpoint, Scripted)> {
    if let Some(unknown) = entry.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        bail!("{unknown} is not a field; there are {}", FIELDS.join(", "));
    }
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let name = text("endpoint").context("endpoint is missing, as heartbeat or desired_state")?;
    let is_named = |endpoint: &&Endpoint| endpoint.path().rsplit('/').next() == Some(name);
    let endpoint = *Endpoint::ALL.iter().find(is_named).with_context(|| format!("there is no endpoint {name}"))?;
    let status = entry.get("status").map_or(Some(200), Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (100..1000).contains(status)).context("status is not one of HTTP")?;
    let mut answer = match (entry.get("json"), text("text"), text("raw")) {
        (Some(body), None, None) => Scripted::json(status, body),
        (None, Some(body), None) => Scripted::raw(status, "text/html", body.as_bytes()),
        (None, None, Some(bytes)) => Scripted::bytes(RawAnswer::new(bytes)),
        (None, None, None) => Scripted::status(status),
        _ => bail!("json, text and raw exclude one another"),
    };
    let headers = entry.get("headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        answer = answer.header(name, value.as_str().with_context(|| format!("the header {name} is not a text"))?);
    }
    if let Some(delay) = entry.get("delay_s") {
        answer = answer.after(Duration::from_secs(delay.as_u64().context("delay_s is not a number")?));
    }
    match entry.get("delivery").map(|delivery| (delivery.as_str(), delivery.as_u64())) {
        None | Some((Some("whole"), _)) => {}
        Some((Some("hang"), _)) => answer = Scripted { delivery: Scripted::hang().delivery, ..answer },
        Some((Some("cut"), _)) => answer = Scripted { delivery: Scripted::cut().delivery, ..answer },
        Some((_, Some(bytes))) => answer = answer.cut_after(usize::try_from(bytes).unwrap_or(usize::MAX)),
        Some(_) => bail!("delivery is whole, hang, cut, or so many bytes of the body before the connection ends"),
    }
    Ok((endpoint, answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Delivery;

    #[test]
    fn every_field_is_read_and_answers_keep_their_order() {
        let text = r#"[{"endpoint": "heartbeat", "status": 503, "headers": {"retry-after": "7"}, "json": {"a": 1}, "times": 2},
            {"endpoint": "version", "delivery": "hang"}, {"endpoint": "enroll", "delivery": 3, "text": "<html>", "delay_s": 1},
            {"endpoint": "heartbeat", "raw": "HTTP/1.1 200 OK\r\n\r\n"}, {"endpoint": "credentials", "delivery": "cut"}]"#;
        let all = read_script(text).unwrap();
        let busy = Scripted::json(503, &serde_json::json!({"a": 1})).header("retry-after", "7");
        assert_eq!(all[..2], [(Endpoint::Heartbeat, busy.clone()), (Endpoint::Heartbeat, busy)]);
        assert_eq!(all[2], (Endpoint::Version, Scripted::hang()));
        let cut = Scripted::raw(200, "text/html", b"<html>").after(Duration::from_secs(1)).cut_after(3);
        assert_eq!(all[3], (Endpoint::Enroll, cut));
        assert!(matches!(all[4].1.delivery, Delivery::Raw(_)));
        assert_eq!(all[5], (Endpoint::Credentials, Scripted::cut()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_number() {
        let said = |text: &str| format!("{:#}", read_script(text).unwrap_err());
        for (text, words) in [
            ("{}", "not a list"),
            (r#"[{"endpoint": "heartbeat"}, {"endpoint": "shell"}]"#, "answer 2: there is no endpoint shell"),
            (r#"[{"status": 200}]"#, "endpoint is missing"),
            (r#"[{"endpoint": "enroll", "body": 1}]"#, "body is not a field"),
            (r#"[{"endpoint": "enroll", "status": 99}]"#, "status is not one of HTTP"),
            (r#"[{"endpoint": "enroll", "json": 1, "raw": ""}]"#, "exclude one another"),
            (r#"[{"endpoint": "enroll", "delivery": "soon"}]"#, "delivery is"),
        ] {
            assert!(said(text).contains(words), "{text}: {}", said(text));
        }
    }
}
