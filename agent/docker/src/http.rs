//! One question to Docker's API over its socket, answered in plain JSON with a bound.

use crate::json::Json;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::driver::ProbeError;
use model::printable::printable;
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
    ask(socket, path, Request::get(path).header(HOST, "docker").body(String::new())).await
}

/// Posts JSON to one path; otherwise as [`get`].
pub(crate) async fn post(socket: &str, path: &str, body: String) -> Result<Json, DockerError> {
    let request = Request::post(path).header(HOST, "docker").header(CONTENT_TYPE, "application/json").body(body);
    ask(socket, path, request).await
}

async fn ask(
    socket: &str,
    path: &str,
    request: Result<Request<String>, hyper::http::Error>,
) -> Result<Json, DockerError> {
    let stream = UnixStream::connect(socket).await.map_err(DockerError::Connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let garbled = |why: String| DockerError::Garbled { path: path.to_owned(), why };
    let request = request.map_err(|error| garbled(error.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = body_of(response, path).await?;
        if !status.is_success() {
            return Err(DockerError::Refused { path: path.to_owned(), status, said: message(&body) });
        }
        Json::read(&body).map_err(|error| garbled(error.to_string()))
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // A connection that ends first has handed over what there was: either the answer is complete, or it says why not.
        _ = &mut connection => answer.await,
    }
}

async fn body_of(response: Response<Incoming>, path: &str) -> Result<Vec<u8>, DockerError> {
    let mut body = pin!(response.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        bytes.extend_from_slice(&frame?.into_data().unwrap_or_else(|_| Bytes::new()));
        if bytes.len() > ANSWER_MAX_BYTES {
            let why = format!("the answer is larger than {ANSWER_MAX_BYTES} bytes");
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
