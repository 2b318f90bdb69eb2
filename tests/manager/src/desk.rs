//! The desk that every request passes: read, check, script, handle, record, answer.

use crate::answer::{Answer, Code, Refused};
use crate::call::{Call, Peer};
use crate::endpoint::Endpoint;
use crate::fleet::Fleet;
use crate::handlers;
use crate::options::{Clock, Mode};
use crate::record::{Auth, Received, Records, Request, Violation};
use crate::rules;
use crate::script::{Delivery, Scripted, Scripts};
use axum::body::Body;
use axum::http::Response;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Changes the reply to a heartbeat before it is sent.
pub(crate) type ReplyHook = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Changes a credential before it is sent.
pub(crate) type IssueHook = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Answers in place of the manager, as a front does: endpoint and credential of the request.
pub(crate) type Gate = Arc<dyn Fn(Endpoint, &Auth) -> Option<Scripted> + Send + Sync>;

/// What the endpoints share.
pub(crate) struct Desk {
    pub(crate) clock: Clock,
    pub(crate) mode: Mode,
    pub(crate) features: Vec<String>,
    pub(crate) paths: Vec<Endpoint>,
    pub(crate) fleet: Fleet,
    pub(crate) next_heartbeat_s: u64,
    pub(crate) max_heartbeat_bytes: usize,
    pub(crate) credential_life: Duration,
    pub(crate) records: Records,
    pub(crate) scripts: Scripts,
    /// Every request is answered 503.
    pub(crate) busy: watch::Sender<bool>,
    /// The desired state document, the same for every agent.
    pub(crate) desired: watch::Sender<Option<Value>>,
    pub(crate) reply_hook: Mutex<Option<ReplyHook>>,
    pub(crate) issue_hook: Mutex<Option<IssueHook>>,
    pub(crate) gate: Mutex<Option<Gate>>,
    /// A host whose credential has ended is known again by its key alone.
    pub(crate) recovers_by_key: bool,
    /// What each `Idempotency-Key` asked for.
    pub(crate) wishes: Mutex<HashMap<String, String>>,
    /// The credentials that were given, by the wish.
    pub(crate) given: Mutex<HashMap<String, Value>>,
}

impl Desk {
    /// The instant that the manager believes it is, in RFC 3339.
    pub(crate) fn now_text(&self) -> String {
        rfc3339((self.clock)())
    }

    /// Lets the hook change a reply.
    pub(crate) fn change_reply(&self, reply: &mut Value) {
        let hook = self.reply_hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(reply);
        }
    }

    /// Lets the hook change a credential.
    pub(crate) fn change_issue(&self, issue: &mut Value) {
        let hook = self.issue_hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(issue);
        }
    }

    /// The credential that this wish got before.
    pub(crate) fn issued(&self, wish: &str) -> Option<Value> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).get(wish).cloned()
    }

    /// The wish got this credential.
    pub(crate) fn remember_issued(&self, wish: String, credential: Value) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(wish, credential);
    }

    /// What a front answers in place of the manager.
    fn front(&self, endpoint: Endpoint, call: &Call) -> Option<Scripted> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gate.and_then(|gate| gate(endpoint, &call.auth))
    }

    /// The same wish comes with the same key, and another wish with another one.
    fn check_wish(&self, endpoint: Endpoint, call: &Call) {
        let (field, wish) = wish_of(endpoint, call);
        let (Some(key), Some(wish)) = (call.header("idempotency-key"), wish) else { return };
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let what = match wishes.get(key) {
            Some(before) if *before != wish => Some(format!("it came before with another {field}")),
            Some(_) => None,
            None if wishes.values().any(|asked| *asked == wish) => {
                Some(format!("this {field} came before with another one"))
            }
            None => None,
        };
        wishes.entry(key.to_owned()).or_insert(wish);
        drop(wishes);
        if let Some(what) = what {
            let what = format!("header idempotency-key: {what}");
            self.records.violation(Violation { received_at: call.received_at, endpoint, what });
        }
    }

    /// Is the credential of the request the one of the agent that it says it is from?
    pub(crate) fn authenticate(&self, call: &Call) -> Result<(), Refused> {
        self.fleet.agents(|agents| match self.mode {
            Mode::Certificates | Mode::Secrets => agents.authenticate(&call.auth, call.server_id()),
            Mode::SharedToken(_) => agents.authenticate_shared(&call.auth, call.server_id()),
        })
    }

    /// Answers a request. `endpoint` is none where the path is not one of the API's.
    pub(crate) async fn answer(
        self: Arc<Self>,
        endpoint: Option<Endpoint>,
        peer: Peer,
        parts: Parts,
        body: Body,
    ) -> Response<Body> {
        let mut call = Call::open(&peer, &parts, (self.clock)());
        let exists = |e: &Endpoint| *e == Endpoint::Heartbeat || self.paths.contains(e);
        let endpoint = endpoint.filter(exists);
        let (answer, delay) = match endpoint {
            None => (nothing_here(&call), Duration::ZERO),
            Some(endpoint) if endpoint.verb().name() != call.method => (Answer::empty(405), Duration::ZERO),
            Some(endpoint) => self.dispatch(endpoint, &mut call, body).await,
        };
        self.record(endpoint, call, &answer);
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        match &answer.delivery {
            Delivery::Whole | Delivery::CutAfter(_) => {}
            Delivery::Hang => std::future::pending().await,
            Delivery::Cut => {
                peer.cut.cancel();
                std::future::pending().await
            }
            Delivery::Raw(raw) => {
                // The connection takes it from here, and drops this future.
                let _ = peer.take_over.send(raw.clone());
                std::future::pending().await
            }
        }
        answer.into_response(&http_date((self.clock)()))
    }

    /// The answer of an endpoint, and by how much it is to be delayed.
    async fn dispatch(&self, endpoint: Endpoint, call: &mut Call, body: Body) -> (Answer, Duration) {
        let gzip = self.features.iter().any(|feature| feature == "gzip");
        let mut checked = call.read(endpoint, body, gzip).await;
        if checked.is_ok() {
            checked = rules::size(endpoint, call, self.max_heartbeat_bytes).and_then(|()| first_fault(endpoint, call));
        }
        if let Err(refused) = &checked
            && refused.code == Code::BadRequest
        {
            let what = refused.message.clone();
            self.records.violation(Violation { received_at: call.received_at, endpoint, what });
        }
        if checked.is_ok() {
            self.check_wish(endpoint, call);
        }
        match self.scripts.next(endpoint).or_else(|| self.front(endpoint, call)) {
            Some(scripted) => {
                if scripted.handled {
                    self.handle(endpoint, call, checked).await;
                }
                let delay = scripted.delay;
                (scripted.into_answer(), delay)
            }
            None => (self.handle(endpoint, call, checked).await, Duration::ZERO),
        }
    }

    async fn handle(&self, endpoint: Endpoint, call: &Call, checked: Result<(), Refused>) -> Answer {
        let result = match checked {
            Err(refused) => Err(refused),
            Ok(()) if *self.busy.borrow() && endpoint != Endpoint::Healthcheck => {
                Err(Refused::new(Code::ManagerDisabled, "the manager is busy"))
            }
            Ok(()) => handlers::handle(self, endpoint, call).await,
        };
        result.unwrap_or_else(|refused| Answer::refusal(&refused, call.header("x-request-id")))
    }

    fn record(&self, endpoint: Option<Endpoint>, call: Call, answer: &Answer) {
        let heartbeat = (endpoint == Some(Endpoint::Heartbeat)).then(|| received(&call, answer));
        let request = Request {
            received_at: call.received_at,
            at: call.at,
            method: call.method,
            path: call.path,
            query: call.query,
            endpoint,
            body: call.body,
            headers: call.headers,
            connection_id: call.connection_id,
            status: answer.status,
        };
        self.records.request(request, heartbeat);
    }
}

/// The whole list would be long and of little help: the first fault is named, and how many more there are.
fn first_fault(endpoint: Endpoint, call: &Call) -> Result<(), Refused> {
    let faults = rules::faults(endpoint, call);
    let Some(first) = faults.first() else { return Ok(()) };
    let message = match faults.len().saturating_sub(1) {
        0 => first.clone(),
        more => format!("{first} (and {more} more)"),
    };
    Err(Refused::new(Code::BadRequest, message))
}

/// No `code`: a missing path is not the same as an unknown agent.
fn nothing_here(call: &Call) -> Answer {
    Answer::json(404, &serde_json::json!({ "error_message": format!("nothing is at {}", call.path) }))
}

fn received(call: &Call, answer: &Answer) -> Received {
    let reply: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let refusal = reply.get("error_message").and_then(Value::as_str).map(str::to_owned);
    Received {
        received_at: call.received_at,
        at: call.at,
        body: call.body.clone(),
        wire_bytes: call.wire_bytes,
        gzip: call.gzip,
        auth: call.auth.clone(),
        connection_id: call.connection_id,
        headers: call.headers.clone(),
        status: answer.status,
        accepted: answer.status == 200 && refusal.is_none(),
        refusal,
    }
}

/// An instant as the API writes it.
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string()
}

/// An instant as HTTP writes it.
fn http_date(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What a request wants that comes with an `Idempotency-Key`: the field, and its content.
fn wish_of(endpoint: Endpoint, call: &Call) -> (&'static str, Option<String>) {
    if endpoint == Endpoint::Events {
        let events = call.body.get("events").and_then(Value::as_array);
        let ids = events.map(|events| events.iter().map(|event| event["id"].to_string()).collect());
        return ("events", ids);
    }
    ("csr_pem", call.text("/csr_pem").map(str::to_owned))
}
