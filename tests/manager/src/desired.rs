//! The desired state: answers at once where the agent has another revision, else waits until there is one.

use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::desk::Desk;
use serde_json::Value;
use std::time::Duration;

/// Seconds that a request waits where it does not say.
const DEFAULT_WAIT_S: u64 = 55;
/// The longest wait that may be asked for.
const MAX_WAIT_S: u64 = 300;

/// Epoch and revision of a document.
pub(crate) fn version_of(document: &Value) -> (String, u64) {
    let epoch = document.get("epoch").and_then(Value::as_str).unwrap_or_default();
    (epoch.to_owned(), document.get("revision").and_then(Value::as_u64).unwrap_or_default())
}

/// 200 with a document that the agent does not have; 304 where the wait is over and there is none.
pub(crate) async fn desired_state(desk: &Desk, call: &Call) -> Result<Answer, Refused> {
    desk.authenticate(call)?;
    let has = call.header("if-none-match").unwrap_or_default().to_owned();
    let asked = call.query.get("wait").and_then(|wait| wait.parse::<u64>().ok());
    let wait = Duration::from_secs(asked.unwrap_or(DEFAULT_WAIT_S).min(MAX_WAIT_S));
    let mut documents = desk.desired.subscribe();
    let is_news = |document: &Option<Value>| document.as_ref().is_some_and(|document| tag(document) != has);
    let found = tokio::time::timeout(wait, documents.wait_for(is_news)).await;
    let document = found.ok().and_then(Result::ok).and_then(|document| document.clone());
    Ok(document
        .map_or_else(|| Answer::empty(304), |document| Answer::json(200, &document).with("etag", &tag(&document))))
}

fn tag(document: &Value) -> String {
    let (epoch, revision) = version_of(document);
    format!("\"{epoch}.{revision}\"")
}
