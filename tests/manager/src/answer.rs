//! Answers: status, headers, body; and the closed set of codes by which a manager refuses.

use crate::script::Delivery;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::fmt;

/// Why a manager refuses, as the contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is not what the contract describes.
    BadRequest,
    /// No credential, or one that is not valid here.
    InvalidToken,
    /// The token or credential was valid once.
    TokenExpired,
    /// The one-use token was used with another key.
    EnrolUsed,
    /// An administrator has not let this agent in.
    NotApproved,
    /// No agent is known under this id.
    UnknownAgent,
    /// Two hosts report under one id.
    DuplicateAgent,
    /// The agent was deleted for good.
    AgentDeleted,
    /// Something else is already there under this name.
    Conflict,
    /// The body is larger than the manager takes.
    TooLarge,
    /// The agent is too old.
    UpgradeRequired,
    /// Too many requests.
    RateLimited,
    /// The manager is switched off.
    ManagerDisabled,
    /// Another manager is in charge.
    NotPrimary,
    /// Something broke inside the manager.
    Internal,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::InvalidToken,
        Self::TokenExpired,
        Self::EnrolUsed,
        Self::NotApproved,
        Self::UnknownAgent,
        Self::DuplicateAgent,
        Self::AgentDeleted,
        Self::Conflict,
        Self::TooLarge,
        Self::UpgradeRequired,
        Self::RateLimited,
        Self::ManagerDisabled,
        Self::NotPrimary,
        Self::Internal,
    ];

    /// As it stands in the body.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::EnrolUsed => "enrol_used",
            Self::NotApproved => "not_approved",
            Self::UnknownAgent => "unknown_agent",
            Self::DuplicateAgent => "duplicate_agent",
            Self::AgentDeleted => "agent_deleted",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::UpgradeRequired => "upgrade_required",
            Self::RateLimited => "rate_limited",
            Self::ManagerDisabled => "manager_disabled",
            Self::NotPrimary => "not_primary",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that it comes with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::InvalidToken | Self::TokenExpired => 401,
            Self::NotApproved => 403,
            Self::UnknownAgent => 404,
            Self::EnrolUsed | Self::DuplicateAgent | Self::Conflict => 409,
            Self::AgentDeleted => 410,
            Self::TooLarge => 413,
            Self::UpgradeRequired => 426,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::ManagerDisabled | Self::NotPrimary => 503,
        }
    }

    /// The same request may succeed later with nobody doing anything about it.
    const fn retryable(self) -> bool {
        matches!(
            self,
            Self::NotApproved | Self::RateLimited | Self::Internal | Self::ManagerDisabled | Self::NotPrimary
        )
    }
}

/// A refusal: the code, and a sentence that names the thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The code.
    pub(crate) code: Code,
    /// The sentence; no secret is in it.
    pub(crate) message: String,
}

impl Refused {
    /// A refusal.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

/// An answer on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers beside `Date` and `Content-Length`.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub(crate) body: Vec<u8>,
    /// How it goes over the wire.
    pub(crate) delivery: Delivery,
}

impl Answer {
    /// A status and nothing else.
    pub(crate) const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), delivery: Delivery::Whole }
    }

    /// A JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::empty(status).with("content-type", "application/json").carrying(body.to_string().into_bytes())
    }

    /// A refusal in the contract's form.
    pub(crate) fn refusal(refused: &Refused, request_id: Option<&str>) -> Self {
        let mut body = json!({
            "error_message": refused.message,
            "code": refused.code.name(),
            "retryable": refused.code.retryable(),
        });
        if let (Some(fields), Some(id)) = (body.as_object_mut(), request_id) {
            fields.insert("request_id".to_owned(), id.into());
        }
        Self::json(refused.code.status(), &body)
    }

    /// With one header more.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn carrying(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// As HTTP; `date` is the instant that the manager believes it is. A header that HTTP does not allow is left out.
    pub(crate) fn into_response(self, date: &str) -> Response<Body> {
        let length = self.body.len();
        let broken = matches!(self.delivery, Delivery::CutAfter(_));
        let body = match self.delivery {
            Delivery::CutAfter(bytes) => broken_off(self.body, bytes),
            Delivery::Whole | Delivery::Hang | Delivery::Cut | Delivery::Raw(_) => Body::from(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if broken {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Ok(date) = HeaderValue::from_str(date) {
            headers.insert(header::DATE, date);
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// A body that ends the connection after so many bytes, which the other side gets before.
fn broken_off(mut body: Vec<u8>, bytes: usize) -> Body {
    body.truncate(bytes);
    let first = stream::once(async move { Ok(body) });
    let end = stream::once(async {
        // A body that has nothing to give for a moment lets what it gave go out.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        Err(std::io::Error::other("broken off by the script"))
    });
    Body::from_stream(first.chain(end))
}
