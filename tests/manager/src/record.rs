//! What the manager remembers of the requests that came, for tests and for whoever watches.

use crate::endpoint::Endpoint;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// The credential that came with a request; the status of the answer tells whether it was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A client certificate of the manager's own authority.
    Certificate {
        /// SHA-256 of its DER form, in hexadecimal digits.
        fingerprint: String,
    },
    /// `Authorization: Bearer`: a one-use token, an agent's secret or the shared token.
    Bearer(String),
    /// None.
    Nothing,
}

/// A heartbeat, whatever it was answered.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it came, by the manager's clock: milliseconds since 1970-01-01 UTC.
    pub received_at: i64,
    /// When it came, in real time.
    pub at: Instant,
    /// The body; null where it could not be read as JSON.
    pub body: Value,
    /// Bytes of the body as they came.
    pub wire_bytes: usize,
    /// It came in gzip.
    pub gzip: bool,
    /// The credential that came with it.
    pub auth: Auth,
    /// Which connection it came on: 1, 2, 3, … in the order in which they were made.
    pub connection_id: u64,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The answer had status 200 and no `error_message`.
    pub accepted: bool,
    /// Why it was refused.
    pub refusal: Option<String>,
}

/// A request to any endpoint.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it came, by the manager's clock: milliseconds since 1970-01-01 UTC.
    pub received_at: i64,
    /// When it came, in real time.
    pub at: Instant,
    /// `GET`, `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The endpoint; none where the path or the method is not the API's, or the endpoint is switched off.
    pub endpoint: Option<Endpoint>,
    /// The body; null where there was none or it could not be read as JSON.
    pub body: Value,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Which connection it came on.
    pub connection_id: u64,
    /// The HTTP status of the answer.
    pub status: u16,
}

/// A request that broke the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When it came, by the manager's clock: milliseconds since 1970-01-01 UTC.
    pub received_at: i64,
    /// Where it came.
    pub endpoint: Endpoint,
    /// What was wrong: the header, or the field and what the contract says of it.
    pub what: String,
}

/// The last so many of a kind, and how many there ever were.
#[derive(Debug)]
struct Last<T> {
    kept: VecDeque<T>,
    limit: usize,
    total: u64,
}

impl<T: Clone> Last<T> {
    const fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, total: 0 }
    }

    fn push(&mut self, item: T) {
        self.total = self.total.saturating_add(1);
        self.kept.push_back(item);
        while self.kept.len() > self.limit {
            self.kept.pop_front();
        }
    }

    fn all(&self) -> Vec<T> {
        self.kept.iter().cloned().collect()
    }
}

#[derive(Debug)]
struct Kept {
    heartbeats: Last<Received>,
    requests: Last<Request>,
    events: Last<Value>,
    violations: Last<Violation>,
    failed_handshakes: Last<String>,
}

/// The records of one manager.
#[derive(Debug)]
pub(crate) struct Records {
    kept: Mutex<Kept>,
    heartbeats: watch::Sender<u64>,
}

impl Records {
    /// Remembers the last `limit` of each kind.
    pub(crate) fn new(limit: usize) -> Self {
        let kept = Kept {
            heartbeats: Last::new(limit),
            requests: Last::new(limit),
            events: Last::new(limit),
            violations: Last::new(limit),
            failed_handshakes: Last::new(limit),
        };
        Self { kept: Mutex::new(kept), heartbeats: watch::Sender::new(0) }
    }

    fn with<R>(&self, use_it: impl FnOnce(&mut Kept) -> R) -> R {
        use_it(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request, and the heartbeat in it.
    pub(crate) fn request(&self, request: Request, heartbeat: Option<Received>) {
        let total = self.with(|kept| {
            kept.requests.push(request);
            heartbeat.map(|received| {
                kept.heartbeats.push(received);
                kept.heartbeats.total
            })
        });
        if let Some(total) = total {
            self.heartbeats.send_replace(total);
        }
    }

    /// Something that broke the contract.
    pub(crate) fn violation(&self, violation: Violation) {
        self.with(|kept| kept.violations.push(violation));
    }

    /// Events that were stored.
    pub(crate) fn events_stored(&self, events: &[Value]) {
        self.with(|kept| events.iter().for_each(|event| kept.events.push(event.clone())));
    }

    /// A client with which no TLS session came about.
    pub(crate) fn failed_handshake(&self, why: String) {
        self.with(|kept| kept.failed_handshakes.push(why));
    }

    /// How many heartbeats came; changes with each.
    pub(crate) fn heartbeat_count(&self) -> watch::Receiver<u64> {
        self.heartbeats.subscribe()
    }

    /// Heartbeats, oldest first.
    pub(crate) fn heartbeats(&self) -> Vec<Received> {
        self.with(|kept| kept.heartbeats.all())
    }

    /// Heartbeats after the first `told` ones since the start, oldest first.
    pub(crate) fn heartbeats_after(&self, told: u64) -> Vec<Received> {
        self.with(|kept| {
            let last = &kept.heartbeats;
            let untold = usize::try_from(last.total.saturating_sub(told)).unwrap_or(usize::MAX);
            last.kept.iter().skip(last.kept.len().saturating_sub(untold)).cloned().collect()
        })
    }

    /// Requests, oldest first.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.with(|kept| kept.requests.all())
    }

    /// Events, oldest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.with(|kept| kept.events.all())
    }

    /// Violations, oldest first.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.with(|kept| kept.violations.all())
    }

    /// Failed handshakes, oldest first.
    pub(crate) fn failed_handshakes(&self) -> Vec<String> {
        self.with(|kept| kept.failed_handshakes.all())
    }
}
