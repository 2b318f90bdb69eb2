//! One request to a manager: bounded in time and size, with the contract's headers; errors without URL secrets.

use crate::checkin::fault::{Unanswered, local, of_reqwest};
use crate::checkin::tls::TOTAL;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::checkin::poll::POLL_GRACE_MS;
use model::checkin::{CheckinError, FaultKind};
use model::desired::DocumentId;
use model::enrol::Secret;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use std::io::Write;
use std::time::Duration;
use wire::manager::reply::apart;

/// Largest body that is taken from a manager: the largest document of the contract has 1 MiB.
pub(super) const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Largest document of desired state.
const DOCUMENT_MAX_BYTES: usize = 1024 * 1024;
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

/// A request for desired state.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    /// Path of the API.
    pub(super) path: &'a str,
    /// This host's id.
    pub(super) server_id: &'a str,
    /// How long the manager may wait for another document, in seconds.
    pub(super) wait_s: u64,
    /// `If-None-Match`, without its quotes.
    pub(super) held: Option<&'a DocumentId>,
    /// `Authorization: Bearer`.
    pub(super) bearer: Option<&'a Secret>,
}

/// What came back, its body as it came.
#[derive(Debug)]
pub(super) struct RawExchange {
    /// HTTP status.
    pub(super) status: u16,
    /// `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// `Date`.
    pub(super) date: Option<String>,
    /// It came compressed, which is never asked for.
    pub(super) is_packed: bool,
    /// The body, whose memory is wiped: an answer may hold a secret.
    pub(super) body: Zeroizing<Vec<u8>>,
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
    /// The body, where it is JSON, without the document that may be embedded in it.
    pub(super) body: Option<Value>,
    /// That document, as it came.
    pub(super) desired_state: Option<Vec<u8>>,
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

    /// Asks for desired state.
    ///
    /// # Errors
    /// No answer came, or none that can be taken.
    pub(super) async fn inquire(self, inquiry: &Inquiry<'_>) -> Result<RawExchange, Unanswered> {
        let Inquiry { path, server_id, wait_s, held, bearer } = inquiry;
        let what = format!("GET {}{path}", self.base_url);
        let mut url =
            Url::parse(&format!("{}{path}", self.base_url)).map_err(|fault| local(format!("{what}: {fault}")))?;
        url.query_pairs_mut().append_pair("server_id", server_id).append_pair("wait", &wait_s.to_string());
        let within = Duration::from_millis(wait_s.saturating_mul(1000).saturating_add(POLL_GRACE_MS));
        let mut request = self.client.get(url).timeout(within);
        if let Some(secret) = bearer {
            request = request.bearer_auth(secret.expose());
        }
        if let Some(held) = held {
            request = request.header(IF_NONE_MATCH, format!("\"{held}\""));
        }
        self.answer(request, &what, within, DOCUMENT_MAX_BYTES).await
    }

    /// Makes the readiness call. Neither an error nor the log shows its query.
    ///
    /// # Errors
    /// No answer came, or none that can be taken.
    pub(super) async fn announce(
        self,
        path: &str,
        token: &Secret,
        body: &'static str,
    ) -> Result<RawExchange, Unanswered> {
        let what = format!("POST {}{path}", self.base_url);
        let mut url =
            Url::parse(&format!("{}{path}", self.base_url)).map_err(|fault| local(format!("{what}: {fault}")))?;
        url.query_pairs_mut().append_pair("token", token.expose());
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        self.answer(request, &what, TOTAL, BODY_MAX_BYTES).await
    }

    async fn exchange(self, request: RequestBuilder, what: &str) -> Result<Exchange, Unanswered> {
        let RawExchange { status, retry_after, date, is_packed, body } =
            self.answer(request, what, TOTAL, BODY_MAX_BYTES).await?;
        if is_packed && (200..300).contains(&status) {
            let said = format!("{what}: the answer is compressed, which was not requested; is a proxy in between?");
            return Err(CheckinError { kind: FaultKind::Garbled, said }.into());
        }
        let (body, desired_state) = apart(&body);
        Ok(Exchange { status, retry_after, date, body, desired_state })
    }

    /// Sends the request; the whole answer is here within that time and not larger than `most` bytes.
    async fn answer(
        self,
        request: RequestBuilder,
        what: &str,
        within: Duration,
        most: usize,
    ) -> Result<RawExchange, Unanswered> {
        let request = request
            .header("X-Gpuhostd-Protocol", wire::manager::agent::PROTOCOL)
            .header("X-Request-Id", uuid::Uuid::new_v4().to_string());
        let whole = async {
            let response = request.send().await.map_err(|fault| of_reqwest(what, fault, self.certificate, true))?;
            let header =
                |name: HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let (status, retry_after, date) = (response.status().as_u16(), header(RETRY_AFTER), header(DATE));
            let is_packed = header(CONTENT_ENCODING).is_some_and(|packing| packing != "identity");
            let body = self.bounded(response, what, most).await?;
            Ok(RawExchange { status, retry_after, date, is_packed, body })
        };
        let late = |_| {
            let said = format!("{what}: no complete answer within {} s", within.as_secs());
            Err(CheckinError { kind: FaultKind::Timeout, said }.into())
        };
        tokio::time::timeout(within, whole).await.unwrap_or_else(late)
    }

    /// The body, as long as it is not larger than `most` bytes: one that announces more is not read at all.
    async fn bounded(self, mut response: Response, what: &str, most: usize) -> Result<Zeroizing<Vec<u8>>, Unanswered> {
        let broken = |fault| of_reqwest(what, fault, self.certificate, false);
        let too_large = || {
            let said = format!("{what}: the answer is larger than {} MiB", most / 1024 / 1024);
            Unanswered::from(CheckinError { kind: FaultKind::Garbled, said })
        };
        let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok());
        if announced.is_some_and(|bytes| bytes > most) {
            return Err(too_large());
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(chunk.len()) > most {
                return Err(too_large());
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
