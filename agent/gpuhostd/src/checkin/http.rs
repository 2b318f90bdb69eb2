//! One request to a manager: bounded in time and size, with the contract's headers; errors without URL secrets.

use crate::checkin::fault::{Unanswered, of_reqwest};
use crate::checkin::tls::TOTAL;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::checkin::{CheckinError, FaultKind};
use model::enrol::Secret;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use std::io::Write;

/// Largest body that is taken from a manager: the largest document of the contract has 1 MiB.
pub(super) const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Request bodies above this are compressed where the manager takes it.
pub(super) const GZIP_ABOVE_BYTES: usize = 4096;
/// How this agent names itself.
pub(super) const USER_AGENT: &str = concat!("gpuhostd/", env!("CARGO_PKG_VERSION"));

/// A body that is to be posted.
#[derive(Debug)]
pub(super) struct Post<'a> {
    /// Path of the API.
    pub(super) path: &'a str,
    /// JSON.
    pub(super) body: &'a [u8],
    /// The manager takes gzip.
    pub(super) gzip: bool,
    /// `Authorization: Bearer`.
    pub(super) bearer: Option<&'a Secret>,
    /// `Idempotency-Key`.
    pub(super) idempotency_key: Option<&'a str>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Exchange {
    /// HTTP status.
    pub(super) status: u16,
    /// `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// `Date`.
    pub(super) date: Option<String>,
    /// The body, where it is JSON.
    pub(super) body: Option<Value>,
}

/// How the other side is spoken to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// The client.
    pub(super) client: &'a Client,
    /// It shows a client certificate.
    pub(super) certificate: bool,
    /// `https://host:port`.
    pub(super) base_url: &'a str,
}

impl Line<'_> {
    /// Posts.
    ///
    /// # Errors
    /// Nobody answered, or nothing that can be taken.
    pub(super) async fn post(self, post: &Post<'_>) -> Result<Exchange, Unanswered> {
        let url = format!("{}{}", self.base_url, post.path);
        let mut request = self.client.post(&url).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = post.bearer {
            request = request.bearer_auth(secret.expose());
        }
        if let Some(key) = post.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let request = if post.gzip && post.body.len() > GZIP_ABOVE_BYTES {
            request.header(CONTENT_ENCODING, "gzip").body(gzip(post.body)?)
        } else {
            request.body(post.body.to_vec())
        };
        self.exchange(request, &format!("POST {url}")).await
    }

    /// Gets, without a bearer.
    ///
    /// # Errors
    /// Nobody answered, or nothing that can be taken.
    pub(super) async fn get(self, path: &str) -> Result<Exchange, Unanswered> {
        let url = format!("{}{path}", self.base_url);
        self.exchange(self.client.get(&url), &format!("GET {url}")).await
    }

    async fn exchange(self, request: RequestBuilder, what: &str) -> Result<Exchange, Unanswered> {
        let request = request
            .header("X-Gpuhostd-Protocol", wire::manager::agent::PROTOCOL)
            .header("X-Request-Id", uuid::Uuid::new_v4().to_string());
        let whole = async {
            let response = request.send().await.map_err(|fault| of_reqwest(what, fault, self.certificate, true))?;
            let header =
                |name: HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let (status, retry_after, date) = (response.status().as_u16(), header(RETRY_AFTER), header(DATE));
            let body = self.bounded(response, what).await?;
            Ok(Exchange { status, retry_after, date, body: serde_json::from_slice(&body).ok() })
        };
        let late = |_| {
            let said = format!("{what}: no complete answer within {} s", TOTAL.as_secs());
            Err(CheckinError { kind: FaultKind::Timeout, said }.into())
        };
        tokio::time::timeout(TOTAL, whole).await.unwrap_or_else(late)
    }

    /// The body, whose memory is wiped: an answer may hold a secret.
    async fn bounded(self, mut response: Response, what: &str) -> Result<Zeroizing<Vec<u8>>, Unanswered> {
        let broken = |fault| of_reqwest(what, fault, self.certificate, false);
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(chunk.len()) > BODY_MAX_BYTES {
                let said = format!("{what}: the answer is larger than {} MiB", BODY_MAX_BYTES / 1024 / 1024);
                return Err(CheckinError { kind: FaultKind::Garbled, said }.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn gzip(body: &[u8]) -> Result<Vec<u8>, CheckinError> {
    let fault =
        |said: std::io::Error| CheckinError { kind: FaultKind::Local, said: format!("cannot compress: {said}") };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).map_err(fault)?;
    encoder.finish().map_err(fault)
}
