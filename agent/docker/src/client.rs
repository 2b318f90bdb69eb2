//! Docker's API through bollard, in the version that the engine speaks, and what is repeated of Docker's words.

use crate::http::DockerError;
use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use model::printable::printable;
use model::snapshot::redact;
use std::time::Duration;
use tokio::net::UnixStream;

/// Most of Docker's words that are repeated.
const SAID_MAX_CHARS: usize = 600;
/// Not Found of HTTP.
pub(crate) const NOT_FOUND: u16 = 404;
/// Conflict of HTTP: a name that is taken, or a container that runs.
pub(crate) const CONFLICT: u16 = 409;

/// A client for requests that take up to `within` each: an engine that is older than bollard is spoken to in its own version.
pub(crate) async fn client(socket: &str, within: Duration) -> Result<Docker, DockerError> {
    // bollard's own errors do not show why there was no connection.
    drop(UnixStream::connect(socket).await.map_err(DockerError::Connect)?);
    let seconds = within.as_secs().saturating_add(1);
    Ok(Docker::connect_with_unix(socket, seconds, API_DEFAULT_VERSION)?.negotiate_version().await?)
}

/// The status of a refusal.
pub(crate) fn status(error: &Error) -> Option<u16> {
    // The other variants are no answers of Docker.
    if let Error::DockerResponseServerError { status_code, .. } = error { Some(*status_code) } else { None }
}

/// An error in Docker's own words, printable and without credentials.
pub(crate) fn said(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return clean(message);
    }
    if let Error::DockerStreamError { error } = error {
        return clean(error);
    }
    clean(&error.to_string())
}

/// What went wrong with Docker, in its own words where it answered.
pub(crate) fn words(error: &DockerError) -> String {
    if let DockerError::Client(error) = error { said(error) } else { clean(&error.to_string()) }
}

/// A text of Docker or of a container, printable and without credentials.
pub(crate) fn clean(text: &str) -> String {
    printable(&redact::text(text).text, SAID_MAX_CHARS)
}
