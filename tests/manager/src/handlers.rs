//! The small endpoints, and the way from an endpoint to what handles it.

use crate::answer::{Answer, Code, Refused};
use crate::call::Call;
use crate::desk::Desk;
use crate::endpoint::Endpoint;
use crate::{desired, enrolment, heartbeat};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Handles a request that is as the contract wants it.
pub(crate) async fn handle(desk: &Desk, endpoint: Endpoint, call: &Call) -> Result<Answer, Refused> {
    match endpoint {
        Endpoint::Version => Ok(version(desk)),
        Endpoint::Enroll => enrolment::enroll(desk, call).await,
        Endpoint::Heartbeat => heartbeat::heartbeat(desk, call),
        Endpoint::DesiredState => desired::desired_state(desk, call).await,
        Endpoint::Events => events(desk, call),
        Endpoint::Credentials => enrolment::renew(desk, call).await,
        Endpoint::Deregister => deregister(desk, call).await,
        Endpoint::Healthcheck => Ok(Answer::json(200, &json!({ "ok": true }))),
        Endpoint::SetServerStatus => set_server_status(call),
    }
}

/// Writes the fleet down; an answer that promises something must not leave before.
pub(crate) async fn save(desk: &Desk) -> Result<(), Refused> {
    desk.fleet.saved().await.map_err(|error| Refused::new(Code::Internal, format!("{error:#}")))
}

fn version(desk: &Desk) -> Answer {
    let body = json!({
        "protocols": ["1.0"],
        "min_agent": null,
        "server_time": desk.now_text(),
        "features": desk.features,
    });
    Answer::json(200, &body)
}

/// Stores what is new. A batch that comes twice (its answer was lost) is acknowledged twice and stored once.
fn events(desk: &Desk, call: &Call) -> Result<Answer, Refused> {
    desk.authenticate(call)?;
    let none = Vec::new();
    let batch = call.body.get("events").and_then(Value::as_array).unwrap_or(&none);
    let id = |event: &Value| event.get("id").and_then(Value::as_str).map(str::to_owned);
    let known: HashSet<_> = desk.records.events().iter().filter_map(id).collect();
    let fresh: Vec<Value> =
        batch.iter().filter(|event| id(event).is_none_or(|id| !known.contains(&id))).cloned().collect();
    desk.records.events_stored(&fresh);
    let acked = batch.iter().filter_map(|event| event.get("seq")?.as_i64()).max().unwrap_or(0);
    Ok(Answer::json(200, &json!({ "acked_seq": acked })))
}

async fn deregister(desk: &Desk, call: &Call) -> Result<Answer, Refused> {
    desk.authenticate(call)?;
    desk.fleet.agents(|agents| agents.remove(call.server_id()));
    save(desk).await?;
    Ok(Answer::json(200, &json!({ "message": "forgotten" })))
}

/// The token is a JWT of the autoscaler; this manager has no autoscaler, so it only asks that there is one.
fn set_server_status(call: &Call) -> Result<Answer, Refused> {
    match call.query.get("token").filter(|token| !token.is_empty()) {
        Some(_) => Ok(Answer::json(200, &json!({}))),
        None => Err(Refused::new(Code::InvalidToken, "the query has no token")),
    }
}
