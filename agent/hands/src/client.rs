//! The front's side of a hand's socket: one request, one deadline, one answer or an error with a remedy.

use crate::frame::{self, FrameError};
use model::causes::with_causes;
use model::os_cause::OsCause;
use protocol::hand::{HELLO, HandRole, Hello, Introduction, NoReply, Verb, VerbOutcome, VerbRequest, VerbResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Where the socket units put the hands' sockets.
pub const SOCKET_FOLDER: &str = "/run/gpuhostd/hands";

/// The front's handle on one hand. Cheap to clone; each request has a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    role: HandRole,
    socket: PathBuf,
    ids: Arc<AtomicU64>,
}

/// Why a hand gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// Nobody listens there.
    #[error("cannot connect to {}: {error}; {}", .path.display(), remedy(.role, .error))]
    Connect {
        /// Which hand.
        role: HandRole,
        /// Its socket.
        path: PathBuf,
        /// What the host answered.
        error: io::Error,
    },
    /// The connection ended before the answer.
    #[error(
        "the {name} hand closed the connection without an answer: it crashed or refused the connection; see journalctl -u \
         gpuhostd-{name}",
        name = .role.name()
    )]
    Closed {
        /// Which hand.
        role: HandRole,
    },
    /// What came was not a frame.
    #[error("the exchange with the {} hand failed", .role.name())]
    Frame {
        /// Which hand.
        role: HandRole,
        /// What was wrong.
        #[source]
        source: FrameError,
    },
    /// What came was not an answer, or the answer to something else.
    #[error("the {} hand sent an invalid answer: {why}; {}", .role.name(), other_version(*.role))]
    Strange {
        /// Which hand.
        role: HandRole,
        /// What came.
        why: String,
    },
    /// It refused.
    #[error("the {} hand refused: {why}; {}", .role.name(), other_version(*.role))]
    Refused {
        /// Which hand.
        role: HandRole,
        /// In its words.
        why: String,
    },
    /// It did not answer in time.
    #[error("the {} hand did not answer within {} ms", .role.name(), .within.as_millis())]
    Timeout {
        /// Which hand.
        role: HandRole,
        /// The time that it had.
        within: Duration,
    },
}

/// What to do where the two do not understand each other, which those of one version do.
fn other_version(role: HandRole) -> String {
    format!("if front and hand are of different versions: systemctl restart gpuhostd-{}.service", role.name())
}

fn remedy(role: &HandRole, error: &io::Error) -> String {
    let name = role.name();
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("only the front's user may use it (see systemctl status gpuhostd-{name}.socket)")
    } else {
        // A restart, for a socket whose file was removed or replaced counts as active, and a start does nothing.
        format!(
            "its socket is missing or has no listener: systemctl restart gpuhostd-{name}.socket (without systemd: start \
             gpuhostd --with-hands again)"
        )
    }
}

impl HandError {
    /// The same fault as a verb's reply keeps it.
    #[must_use]
    pub fn into_no_reply(self) -> NoReply {
        let said = with_causes(&self);
        let errno = if let Self::Connect { error, .. } = &self { error.raw_os_error() } else { None };
        match self {
            Self::Timeout { within, .. } => {
                NoReply::NoResponse { after_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX), said }
            }
            Self::Connect { .. }
            | Self::Closed { .. }
            | Self::Frame { .. }
            | Self::Strange { .. }
            | Self::Refused { .. } => NoReply::Unavailable { cause: OsCause { said, errno } },
        }
    }

    /// Which hand it is about.
    #[must_use]
    pub const fn role(&self) -> HandRole {
        match self {
            Self::Connect { role, .. }
            | Self::Closed { role }
            | Self::Frame { role, .. }
            | Self::Strange { role, .. }
            | Self::Refused { role, .. }
            | Self::Timeout { role, .. } => *role,
        }
    }

    pub(crate) fn of_frame(role: HandRole, fault: FrameError) -> Self {
        match fault {
            FrameError::CutShort | FrameError::Socket(_) => Self::Closed { role },
            FrameError::Slow { within } => Self::Timeout { role, within },
            FrameError::TooLong { .. } => Self::Frame { role, source: fault },
        }
    }
}

impl Client {
    /// The hand behind the socket of its unit, `<folder>/<role>.sock`. Nothing is connected yet.
    #[must_use]
    pub fn at(role: HandRole, folder: &Path) -> Self {
        Self { role, socket: folder.join(format!("{}.sock", role.name())), ids: Arc::new(AtomicU64::new(1)) }
    }

    /// Which hand this is.
    #[must_use]
    pub const fn role(&self) -> HandRole {
        self.role
    }

    /// Sends a verb, and waits for its reply no longer than `within`. A refusal is a fault. Dropping the future gives the
    /// request up.
    ///
    /// # Errors
    /// The hand is not there, refused, broke the protocol or did not answer in time.
    pub async fn call<V: Verb>(&self, verb: &V, within: Duration) -> Result<V::Reply, HandError> {
        self.ask(V::NAME, verb, within).await
    }

    /// Asks who is there, and whether that process can do its work.
    ///
    /// # Errors
    /// As [`Client::call`]; also where another hand answers on this socket.
    pub async fn hello(&self, within: Duration) -> Result<Introduction, HandError> {
        let introduction: Introduction = self.ask(HELLO, &Hello {}, within).await?;
        if introduction.hand != self.role {
            return Err(self.strange(format!("it identifies itself as the {} hand", introduction.hand.name())));
        }
        Ok(introduction)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        verb: &str,
        args: &impl Serialize,
        within: Duration,
    ) -> Result<T, HandError> {
        let args = to_raw_value(args).map_err(|fault| self.strange(fault.to_string()))?;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let request = VerbRequest { id, deadline_ms, verb: verb.to_owned(), args };
        let reply = self.send(&request, within).await?;
        serde_json::from_str(reply.get()).map_err(|fault| self.strange(format!("the reply to {verb}: {fault}")))
    }

    /// The reply as it came; the same code for all verbs.
    async fn send(&self, request: &VerbRequest, within: Duration) -> Result<Box<RawValue>, HandError> {
        let role = self.role;
        let answered = timeout(within, over_socket(role, &self.socket, request)).await;
        match answered.unwrap_or(Err(HandError::Timeout { role, within }))? {
            VerbOutcome::Reply(reply) => Ok(reply),
            VerbOutcome::Refused { why } => Err(HandError::Refused { role, why }),
        }
    }

    fn strange(&self, why: String) -> HandError {
        HandError::Strange { role: self.role, why }
    }
}

async fn over_socket(role: HandRole, path: &Path, request: &VerbRequest) -> Result<VerbOutcome, HandError> {
    let mut stream =
        UnixStream::connect(path).await.map_err(|error| HandError::Connect { role, path: path.to_owned(), error })?;
    exchange(role, &mut stream, request).await
}

/// Sends one request and reads answers until the one with its id; earlier ones belong to requests that were given up.
async fn exchange(
    role: HandRole,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &VerbRequest,
) -> Result<VerbOutcome, HandError> {
    let strange = |why: String| HandError::Strange { role, why };
    let within = Duration::from_millis(request.deadline_ms);
    let body = serde_json::to_vec(request).map_err(|fault| strange(fault.to_string()))?;
    frame::write(stream, &body, within).await.map_err(|fault| HandError::of_frame(role, fault))?;
    loop {
        let bytes = frame::read(stream, within).await.map_err(|fault| HandError::of_frame(role, fault))?;
        let response: VerbResponse = serde_json::from_slice(&bytes).map_err(|fault| strange(fault.to_string()))?;
        if response.id == request.id {
            return Ok(response.outcome);
        }
        if response.id > request.id {
            return Err(strange(format!("it answers request {}, but {} was sent", response.id, request.id)));
        }
    }
}
