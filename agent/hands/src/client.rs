//! The front's side of a hand's socket: one request, one deadline, one answer or a fault that says what to do.

use crate::frame::{self, FrameFault};
use model::causes::with_causes;
use model::driver::ProbeFault;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;
use wire::hand::{Answer, Ask, HandRole, Request, Said};

/// Where the socket units put the hands' sockets.
pub const SOCKET_FOLDER: &str = "/run/gpuhostd/hands";

/// The front's handle on one hand. Cheap to clone; each request stands on its own.
#[derive(Debug, Clone)]
pub struct Client {
    role: HandRole,
    socket: PathBuf,
    ids: Arc<AtomicU64>,
}

/// What a hand says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Version of its executable.
    pub version: String,
    /// Why it is powerless, where it is.
    pub powerless: Option<String>,
}

/// Why a hand gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HandFault {
    /// Nobody listens there.
    #[error("cannot connect to {}: {error}; {}", .path.display(), remedy(.role, .error))]
    Connect {
        /// Which hand.
        role: HandRole,
        /// Its socket.
        path: PathBuf,
        /// What the host said.
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
        source: FrameFault,
    },
    /// What came was not an answer, or the answer to something else.
    #[error("the {} hand sent an invalid answer: {why}", .role.name())]
    Strange {
        /// Which hand.
        role: HandRole,
        /// What came.
        why: String,
    },
    /// It refused.
    #[error("the {} hand refused: {why}", .role.name())]
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

impl HandFault {
    /// The same fault as the observation keeps it beside the facts that are missing.
    #[must_use]
    pub fn into_probe_fault(self) -> ProbeFault {
        ProbeFault::HandUnavailable { what: format!("the {} hand", self.role().name()), said: with_causes(&self) }
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

    pub(crate) fn of_frame(role: HandRole, fault: FrameFault) -> Self {
        match fault {
            FrameFault::CutShort | FrameFault::Socket(_) => Self::Closed { role },
            FrameFault::Slow { within } => Self::Timeout { role, within },
            FrameFault::TooLong { .. } => Self::Frame { role, source: fault },
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

    /// Asks, and waits for the answer no longer than `within`. A refusal is a fault. Dropping the future gives the request up.
    ///
    /// # Errors
    /// The hand is not there, refused, broke the protocol or did not answer in time.
    pub async fn ask(&self, ask: Ask, within: Duration) -> Result<Said, HandFault> {
        let role = self.role;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let request = Request { id, deadline_ms, ask };
        let answered = timeout(within, over_socket(role, &self.socket, &request)).await;
        match answered.unwrap_or(Err(HandFault::Timeout { role, within }))? {
            Said::Refused { why } => Err(HandFault::Refused { role, why }),
            said @ (Said::Hello { .. }
            | Said::Driver(_)
            | Said::Docker(_)
            | Said::Holders(_)
            | Said::CloseUp(_)
            | Said::Acted(_)) => Ok(said),
        }
    }

    /// Asks who is there, and with which powers.
    ///
    /// # Errors
    /// As [`Client::ask`]; also where another hand answers on this socket.
    pub async fn hello(&self, within: Duration) -> Result<Introduction, HandFault> {
        match self.ask(Ask::Hello, within).await? {
            Said::Hello { role, version, powerless } if role == self.role => Ok(Introduction { version, powerless }),
            Said::Hello { role, .. } => Err(self.strange(&format!("it identifies itself as the {} hand", role.name()))),
            Said::Driver(_)
            | Said::Docker(_)
            | Said::Holders(_)
            | Said::CloseUp(_)
            | Said::Acted(_)
            | Said::Refused { .. } => Err(self.strange("no introduction")),
        }
    }

    pub(crate) fn strange(&self, why: &str) -> HandFault {
        HandFault::Strange { role: self.role, why: why.to_owned() }
    }
}

async fn over_socket(role: HandRole, path: &Path, request: &Request) -> Result<Said, HandFault> {
    let mut stream =
        UnixStream::connect(path).await.map_err(|error| HandFault::Connect { role, path: path.to_owned(), error })?;
    exchange(role, &mut stream, request).await
}

/// Sends one request and reads answers until the one with its id; earlier ones belong to requests that were given up.
async fn exchange(
    role: HandRole,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &Request,
) -> Result<Said, HandFault> {
    let strange = |why: String| HandFault::Strange { role, why };
    let within = Duration::from_millis(request.deadline_ms);
    let body = serde_json::to_vec(request).map_err(|fault| strange(fault.to_string()))?;
    frame::write(stream, &body, within).await.map_err(|fault| HandFault::of_frame(role, fault))?;
    loop {
        let bytes = frame::read(stream, within).await.map_err(|fault| HandFault::of_frame(role, fault))?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|fault| strange(fault.to_string()))?;
        if answer.id == request.id {
            return Ok(answer.said);
        }
        if answer.id > request.id {
            return Err(strange(format!("it answers request {}, but {} was sent", answer.id, request.id)));
        }
    }
}
