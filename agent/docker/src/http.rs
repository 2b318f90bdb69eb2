//! One question to Docker's API over its socket, answered in plain JSON with a bound.

use crate::json::Json;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::driver::ProbeError;
use model::printable::printable;
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::pin;
use tokio::net::UnixStream;

/// Most that is read of one answer.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// Most of Docker's words that a fault repeats.
const SAID_MAX_CHARS: usize = 400;

/// What went wrong in a conversation with Docker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    #[error("cannot connect to its socket: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection failed: {0}")]
    Broken(#[from] hyper::Error),
    #[error("{path}: {said}")]
    Refused { path: String, status: StatusCode, said: String },
    #[error("{path}: {why}")]
    Garbled { path: String, why: String },
    #[error("{0}")]
    Client(#[from] bollard::errors::Error),
    #[error("{0}")]
    Fault(ProbeError),
}

impl DockerError {
    /// As the fault of a probe.
    pub(crate) fn into_fault(self, what: &str) -> ProbeError {
        let (what, said) = (what.to_owned(), self.to_string());
        match self {
            Self::Connect(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                ProbeError::Absent { what, said }
            }
            Self::Connect(error) if error.kind() == ErrorKind::PermissionDenied => ProbeError::Failed {
                what,
                status: error.raw_os_error().unwrap_or_default(),
                said: format!("{said}; the requesting process must be in the group that owns the socket (docker)"),
            },
            Self::Connect(error) => ProbeError::Failed { what, status: error.raw_os_error().unwrap_or_default(), said },
            Self::Refused { status, .. } => ProbeError::Failed { what, status: i32::from(status.as_u16()), said },
            Self::Client(bollard::errors::Error::DockerResponseServerError { status_code, .. }) => {
                ProbeError::Failed { what, status: i32::from(status_code), said }
            }
            Self::Broken(_) | Self::Garbled { .. } | Self::Client(_) => ProbeError::Garbled { what, why: said },
            Self::Fault(fault) => fault,
        }
    }
}

/// Asks for one path. Never ends by itself where Docker does not answer: the caller has the deadline.
pub(crate) async fn get(socket: &str, path: &str) -> Result<Json, DockerError> {
    json(path, &get_bytes(socket, path, ANSWER_MAX_BYTES).await?)
}

/// The answer as it came, up to so many bytes; otherwise as [`get`].
pub(crate) async fn get_bytes(socket: &str, path: &str, most: usize) -> Result<Vec<u8>, DockerError> {
    ask(socket, path, getting(path), most).await
}

/// A list of which each item is read as `T`, up to so many bytes. One item that cannot be read, or a list that is longer, is a fault:
/// the answer is never a part of the list.
pub(crate) async fn get_list<T: DeserializeOwned>(
    socket: &str,
    path: &str,
    most: usize,
) -> Result<Vec<T>, DockerError> {
    let body = get_bytes(socket, path, most).await?;
    serde_json::from_slice(&body)
        .map_err(|error| DockerError::Garbled { path: path.to_owned(), why: error.to_string() })
}

/// Asks for a path whose answer has no end, and waits for its first byte, or for the end all the same.
pub(crate) async fn wait_for_data(socket: &str, path: &str) -> Result<(), DockerError> {
    exchange(socket, path, getting(path), async |response: Response<Incoming>| {
        if !response.status().is_success() {
            return Err(refused(path, response.status(), &body_of(response, path, ANSWER_MAX_BYTES).await?));
        }
        let mut body = pin!(response.into_body());
        while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            // A connection that breaks is an end too.
            if frame.map_or(true, |frame| frame.data_ref().is_some_and(|data| !data.is_empty())) {
                break;
            }
        }
        Ok(())
    })
    .await
}

fn getting(path: &str) -> Result<Request<String>, hyper::http::Error> {
    Request::get(path).header(HOST, "docker").body(String::new())
}

/// The filters of a list or of events, as a part of a path.
pub(crate) fn filters(filters: &serde_json::Value) -> String {
    let mut query = "filters=".to_owned();
    for byte in filters.to_string().bytes() {
        if byte.is_ascii_alphanumeric() {
            query.push(char::from(byte));
        } else {
            query.push_str(&format!("%{byte:02X}"));
        }
    }
    query
}

/// Posts JSON to one path; otherwise as [`get`].
pub(crate) async fn post(socket: &str, path: &str, body: String) -> Result<Json, DockerError> {
    let request = Request::post(path).header(HOST, "docker").header(CONTENT_TYPE, "application/json").body(body);
    json(path, &ask(socket, path, request, ANSWER_MAX_BYTES).await?)
}

fn json(path: &str, body: &[u8]) -> Result<Json, DockerError> {
    Json::read(body).map_err(|error| DockerError::Garbled { path: path.to_owned(), why: error.to_string() })
}

async fn ask(
    socket: &str,
    path: &str,
    request: Result<Request<String>, hyper::http::Error>,
    most: usize,
) -> Result<Vec<u8>, DockerError> {
    exchange(socket, path, request, async |response: Response<Incoming>| {
        let status = response.status();
        let body = body_of(response, path, most).await?;
        if status.is_success() { Ok(body) } else { Err(refused(path, status, &body)) }
    })
    .await
}

/// One connection, one request, and what is made of the response while the connection is there.
async fn exchange<T>(
    socket: &str,
    path: &str,
    request: Result<Request<String>, hyper::http::Error>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, DockerError>,
) -> Result<T, DockerError> {
    let stream = UnixStream::connect(socket).await.map_err(DockerError::Connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = request.map_err(|error| DockerError::Garbled { path: path.to_owned(), why: error.to_string() })?;
    let answer = async { read(sender.send_request(request).await?).await };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // A connection that ends first has handed over what there was: either the answer is complete, or it says why not.
        _ = &mut connection => answer.await,
    }
}

fn refused(path: &str, status: StatusCode, body: &[u8]) -> DockerError {
    DockerError::Refused { path: path.to_owned(), status, said: message(body) }
}

async fn body_of(response: Response<Incoming>, path: &str, most: usize) -> Result<Vec<u8>, DockerError> {
    let mut body = pin!(response.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        bytes.extend_from_slice(&frame?.into_data().unwrap_or_else(|_| Bytes::new()));
        if bytes.len() > most {
            let why = format!("the answer is larger than {most} bytes");
            return Err(DockerError::Garbled { path: path.to_owned(), why });
        }
    }
    Ok(bytes)
}

/// Docker's own message, or the beginning of whatever came instead.
fn message(body: &[u8]) -> String {
    let message = Json::read(body).ok().and_then(|json| json.get("message").text().map(str::to_owned));
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    printable(&text, SAID_MAX_CHARS)
}
