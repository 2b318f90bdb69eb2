//! One request, as it was read: headers, credential, body out of its gzip and its JSON.

use crate::answer::{Code, Refused};
use crate::endpoint::{Endpoint, Verb};
use crate::raw::RawAnswer;
use crate::record::Auth;
use axum::body::{Body, to_bytes};
use axum::extract::Query;
use axum::http::Uri;
use axum::http::request::Parts;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// No body is larger, neither as it comes nor inflated.
const BODY_LIMIT: usize = 1024 * 1024;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The number of the connection.
    pub(crate) connection_id: u64,
    /// SHA-256 of the client certificate that TLS has verified.
    pub(crate) certificate: Option<String>,
    /// Closes the connection.
    pub(crate) cut: CancellationToken,
    /// Takes the connection away from HTTP, for this answer.
    pub(crate) take_over: UnboundedSender<RawAnswer>,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    /// When it came, by the manager's clock.
    pub(crate) received_at: i64,
    /// When it came, in real time.
    pub(crate) at: Instant,
    /// `GET`, `POST`.
    pub(crate) method: String,
    /// The path.
    pub(crate) path: String,
    /// The query.
    pub(crate) query: BTreeMap<String, String>,
    /// Headers by lower-case name; one that is not ASCII is left out.
    pub(crate) headers: BTreeMap<String, String>,
    /// The credential.
    pub(crate) auth: Auth,
    /// The number of the connection.
    pub(crate) connection_id: u64,
    /// Bytes of the body as they came.
    pub(crate) wire_bytes: usize,
    /// Bytes of the body out of its gzip.
    pub(crate) inflated_bytes: usize,
    /// The body came in gzip.
    pub(crate) gzip: bool,
    /// The body; null until it was read, and where there is none.
    pub(crate) body: Value,
}

impl Call {
    /// A request whose body was not read yet.
    pub(crate) fn open(peer: &Peer, parts: &Parts, received_at: i64) -> Self {
        let headers: BTreeMap<String, String> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        Self {
            received_at,
            at: Instant::now(),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: query(&parts.uri),
            auth: auth(peer, &headers),
            headers,
            connection_id: peer.connection_id,
            wire_bytes: 0,
            inflated_bytes: 0,
            gzip: false,
            body: Value::Null,
        }
    }

    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A text in the body, by JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// The agent that the request says it is from.
    pub(crate) fn server_id(&self) -> &str {
        self.text("/server_id").or_else(|| self.query.get("server_id").map(String::as_str)).unwrap_or_default()
    }

    /// Reads the body of an endpoint that has one.
    pub(crate) async fn read(&mut self, endpoint: Endpoint, body: Body, gzip_offered: bool) -> Result<(), Refused> {
        if endpoint.verb() == Verb::Get {
            return Ok(());
        }
        let bytes = to_bytes(body, BODY_LIMIT)
            .await
            .map_err(|_| Refused::new(Code::TooLarge, format!("the body is larger than {BODY_LIMIT} bytes")))?;
        self.wire_bytes = bytes.len();
        let plain = match self.header("content-encoding") {
            None | Some("identity") => bytes.to_vec(),
            Some("gzip") if gzip_offered => {
                self.gzip = true;
                inflate(&bytes)?
            }
            Some(other) => {
                let message = format!("header Content-Encoding: {other} is not among the features of /version");
                return Err(Refused::new(Code::BadRequest, message));
            }
        };
        self.inflated_bytes = plain.len();
        self.body = serde_json::from_slice(&plain)
            .map_err(|error| Refused::new(Code::BadRequest, format!("the body is not JSON: {error}")))?;
        Ok(())
    }
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    Query::<BTreeMap<String, String>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

/// A bearer token speaks louder than a certificate: an agent that sends both wants to be taken by its token.
fn auth(peer: &Peer, headers: &BTreeMap<String, String>) -> Auth {
    let bearer = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match (bearer, &peer.certificate) {
        (Some(token), _) => Auth::Bearer(token.to_owned()),
        (None, Some(fingerprint)) => Auth::Certificate { fingerprint: fingerprint.clone() },
        (None, None) => Auth::Nothing,
    }
}

/// Out of gzip, and never more than the limit: a small body may inflate to any size.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    let limit = u64::try_from(BODY_LIMIT).unwrap_or(u64::MAX);
    let mut plain = Vec::new();
    GzDecoder::new(bytes)
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| Refused::new(Code::BadRequest, format!("the body is not gzip: {error}")))?;
    if plain.len() > BODY_LIMIT {
        return Err(Refused::new(Code::TooLarge, format!("the body inflates to more than {BODY_LIMIT} bytes")));
    }
    Ok(plain)
}
