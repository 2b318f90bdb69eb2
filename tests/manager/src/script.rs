//! Scripted answers: what a test wants an endpoint to say next, instead of what it would say.

use crate::answer::{Answer, Code, Refused};
use crate::endpoint::Endpoint;
use crate::raw::RawAnswer;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How an answer goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Delivery {
    /// As it is.
    #[default]
    Whole,
    /// Never: the connection stays open and nothing comes.
    Hang,
    /// Never: the connection is closed without a byte.
    Cut,
    /// Its head and so many bytes of its body; then the connection is closed.
    CutAfter(usize),
    /// Not by HTTP: these bytes, and nothing else of the answer.
    Raw(RawAnswer),
}

/// One scripted answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scripted {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body, whatever it is; empty for none.
    pub body: Vec<u8>,
    /// It is sent so much later.
    pub delay: Duration,
    /// How it goes over the wire.
    pub delivery: Delivery,
    /// The request is handled as ever, and only its answer is replaced: an answer that was lost on the way.
    pub handled: bool,
}

impl Scripted {
    /// A status and nothing else.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A JSON body.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self { body: body.to_string().into_bytes(), ..Self::status(status) }.header("content-type", "application/json")
    }

    /// A refusal in the contract's form, with the status of its code.
    #[must_use]
    pub fn refusal(code: Code, message: &str) -> Self {
        let answer = Answer::refusal(&Refused::new(code, message), None);
        Self { status: answer.status, headers: answer.headers, body: answer.body, ..Self::default() }
    }

    /// Any bytes at all.
    #[must_use]
    pub fn raw(status: u16, content_type: &str, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::status(status) }.header("content-type", content_type)
    }

    /// With one header more, as `retry-after`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sent so much later.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Nothing comes, and the connection stays open.
    #[must_use]
    pub fn hang() -> Self {
        Self { delivery: Delivery::Hang, ..Self::status(200) }
    }

    /// The connection is closed without an answer.
    #[must_use]
    pub fn cut() -> Self {
        Self { delivery: Delivery::Cut, ..Self::status(200) }
    }

    /// The connection is closed in the middle of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::CutAfter(bytes);
        self
    }

    /// These bytes in place of HTTP.
    #[must_use]
    pub fn bytes(raw: RawAnswer) -> Self {
        Self { delivery: Delivery::Raw(raw), ..Self::status(200) }
    }

    /// A page as a proxy or a firewall gives it.
    #[must_use]
    pub fn page(status: u16) -> Self {
        let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1>nginx</body></html>");
        Self::raw(status, "text/html", page.as_bytes())
    }

    /// The request is handled as ever, and only its answer is replaced.
    #[must_use]
    pub const fn handled(mut self) -> Self {
        self.handled = true;
        self
    }

    /// The answer in it.
    pub(crate) fn into_answer(self) -> Answer {
        Answer { status: self.status, headers: self.headers, body: self.body, delivery: self.delivery }
    }
}

/// The queues of all endpoints.
#[derive(Debug, Default)]
pub(crate) struct Scripts(Mutex<HashMap<Endpoint, VecDeque<Scripted>>>);

impl Scripts {
    /// Adds to the end of an endpoint's queue.
    pub(crate) fn add(&self, endpoint: Endpoint, answers: Vec<Scripted>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(endpoint).or_default().extend(answers);
    }

    /// Takes the next answer of an endpoint.
    pub(crate) fn next(&self, endpoint: Endpoint) -> Option<Scripted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&endpoint)?.pop_front()
    }

    /// How many answers of an endpoint are still to come.
    pub(crate) fn left(&self, endpoint: Endpoint) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint).map_or(0, VecDeque::len)
    }
}
