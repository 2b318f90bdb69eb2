//! The request loop of a hand: who is let in, how many at once, when it leaves.

use crate::frame::{self, FrameError};
use crate::peers::{Peers, UnauthorizedPeer};
use crate::registry::{Registry, bounded};
use model::causes::with_causes;
use model::log_limit::LogLimit;
use model::message::Message;
use protocol::hand::{HandRole, VerbOutcome, VerbRequest, VerbResponse};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How patient a hand is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once; more wait in the socket's queue.
    pub connections: usize,
    /// A frame that was begun, or an answer that is sent, must be through in this time.
    pub frame: Duration,
    /// A connection on which nothing is asked for this long is closed (never the socket pair).
    pub quiet: Duration,
    /// No request runs longer than this, whatever deadline it names.
    pub request: Duration,
    /// The hand leaves after this long without a connection; its socket unit starts it again. `None`: it stays.
    pub leave_after: Option<Duration>,
    /// The hand leaves at the first quiet moment after this long a life, for a fresh start at the next request: its unit
    /// allows the device numbers that the NVIDIA driver had when it started, and a driver can be loaded later. `None`: never.
    pub renew_after: Option<Duration>,
}

impl Limits {
    /// The limits of a role: all but the container hand leave after 120 s without work. Many workspaces are stopped at once, each for as long
    /// as its grace is, and a wait for Docker's events has a connection of its own.
    #[must_use]
    pub fn of(role: HandRole) -> Self {
        Self {
            connections: match role {
                HandRole::Containers => 32,
                HandRole::Host | HandRole::Holders | HandRole::Mig | HandRole::MigMode => 8,
            },
            frame: Duration::from_secs(5),
            quiet: Duration::from_secs(30),
            request: Duration::from_secs(600),
            leave_after: match role {
                HandRole::Host | HandRole::Holders | HandRole::Mig | HandRole::MigMode => {
                    Some(Duration::from_secs(120))
                }
                HandRole::Containers => None,
            },
            renew_after: match role {
                HandRole::Host | HandRole::Mig | HandRole::MigMode => Some(Duration::from_secs(600)),
                HandRole::Containers | HandRole::Holders => None,
            },
        }
    }
}

/// Why a hand left on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing was asked for long enough.
    Idle,
    /// It has lived long enough.
    Old,
}

/// Why a hand cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No connection can be accepted any more.
    #[error("cannot accept connections any longer")]
    Accept(#[source] io::Error),
}

/// Why a connection ended. All but the first are the peer's fault.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("closed by the peer")]
    ByPeer,
    #[error("no request for {} s", .0.as_secs())]
    Quiet(Duration),
    #[error("broken frame")]
    Frame(#[from] FrameError),
    #[error("not a request")]
    Garbage(#[source] serde_json::Error),
}

/// Serves requests until the hand leaves. Dropping the future ends every handler at work.
///
/// # Errors
/// The hand cannot go on; its unit restarts it.
pub async fn serve(
    listener: &UnixListener,
    peers: &Peers,
    registry: &Arc<Registry>,
    limits: &Limits,
) -> Result<Left, ServeError> {
    let leave_at = || limits.leave_after.map(|after| Instant::now() + after);
    let mut talks = JoinSet::new();
    let mut log = ConnectionLog { role: registry.hand(), refused: LogLimit::default(), broken: LogLimit::default() };
    let mut leave = leave_at();
    let renew = limits.renew_after.map(|after| Instant::now() + after);
    loop {
        tokio::select! {
            accepted = listener.accept(), if talks.len() < limits.connections => {
                let (stream, _) = accepted.map_err(ServeError::Accept)?;
                match peers.admit(&stream) {
                    Ok(()) => {
                        let (registry, limits) = (Arc::clone(registry), limits.clone());
                        talks.spawn(async move { converse(stream, &registry, &limits).await });
                    }
                    Err(peer) => log.refuse(&peer),
                }
            }
            Some(ended) = talks.join_next() => {
                match ended {
                    Ok(ended) => log.end(&ended),
                    Err(panic) => tracing::error!(message_id = Message::RequestBroke.id(), hand = registry.hand().name(), "the handler of a request panicked: {panic}"),
                }
                leave = leave_at();
                let old = renew.is_some_and(|renew| Instant::now() >= renew);
                if old && talks.is_empty() && !registry.child_hangs() {
                    return Ok(Left::Old);
                }
            }
            // A connection that comes between this instant and the exit waits in the queue and starts the hand again.
            () = until(leave), if talks.is_empty() => {
                if !registry.child_hangs() {
                    return Ok(Left::Idle);
                }
                leave = leave_at();
            }
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// What is logged of connections: who may connect can do it as often as it likes.
struct ConnectionLog {
    role: HandRole,
    refused: LogLimit,
    broken: LogLimit,
}

impl ConnectionLog {
    fn refuse(&mut self, peer: &UnauthorizedPeer) {
        let Some(left_out) = self.refused.one(std::time::Instant::now()) else { return };
        tracing::warn!(
            message_id = Message::StrangerRefused.id(),
            hand = self.role.name(),
            "connection refused: {}{left_out}",
            with_causes(peer)
        );
    }

    fn end(&mut self, end: &Ended) {
        match end {
            Ended::ByPeer => {}
            Ended::Quiet(_) | Ended::Frame(_) | Ended::Garbage(_) => {
                let Some(left_out) = self.broken.one(std::time::Instant::now()) else { return };
                tracing::warn!(
                    message_id = Message::HandConnectionClosed.id(),
                    hand = self.role.name(),
                    "connection closed: {}{left_out}",
                    with_causes(end)
                );
            }
        }
    }
}

async fn converse(stream: UnixStream, registry: &Registry, limits: &Limits) -> Ended {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        match answer_one(&mut reader, &mut writer, registry, limits).await {
            Ok(()) => {}
            Err(ended) => return ended,
        }
    }
}

async fn answer_one(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    registry: &Registry,
    limits: &Limits,
) -> Result<(), Ended> {
    let Ok(begun) = timeout(limits.quiet, frame::begins(reader)).await else { return Err(Ended::Quiet(limits.quiet)) };
    if !begun? {
        return Err(Ended::ByPeer);
    }
    let bytes = frame::read(reader, limits.frame).await?;
    let response = match understood(&bytes)? {
        Ok(request) => {
            let within = below(Duration::from_millis(request.deadline_ms)).min(limits.request);
            let outcome = tokio::select! {
                outcome = registry.answer(&request.verb, &request.args, within) => outcome.map_err(Ended::Garbage)?,
                () = hung_up(reader) => return Err(Ended::ByPeer),
            };
            VerbResponse { id: request.id, outcome }
        }
        Err(refusal) => refusal,
    };
    let body = encode(&response).map_err(Ended::Garbage)?;
    Ok(frame::write(writer, &body, limits.frame).await?)
}

/// The request, or the refusal of one that names its id but is otherwise strange, or the end of the connection.
fn understood(bytes: &[u8]) -> Result<Result<VerbRequest, VerbResponse>, Ended> {
    #[derive(Deserialize)]
    struct IdOnly {
        id: u64,
    }
    serde_json::from_slice(bytes).map(Ok).or_else(|strange| match serde_json::from_slice::<IdOnly>(bytes) {
        Ok(IdOnly { id }) => {
            let why = format!("this hand does not understand the request: {}", bounded(strange));
            Ok(Err(VerbResponse { id, outcome: VerbOutcome::Refused { why } }))
        }
        Err(_) => Err(Ended::Garbage(strange)),
    })
}

/// The hand's own deadline lies below the front's, so that its answer still finds the front waiting.
fn below(deadline: Duration) -> Duration {
    deadline.saturating_sub((deadline / 10).min(Duration::from_millis(500)))
}

/// Resolves when the peer has gone. Where it has sent more in the meantime, that waits for its turn.
async fn hung_up(reader: &mut (impl AsyncBufRead + Unpin)) {
    match reader.fill_buf().await {
        Ok([]) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

fn encode(response: &VerbResponse) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(response)?;
    if u32::try_from(body.len()).is_ok_and(|length| length <= protocol::hand::FRAME_MAX_BYTES) {
        return Ok(body);
    }
    let why = format!("the answer has {} bytes, too many for one frame", body.len());
    serde_json::to_vec(&VerbResponse { id: response.id, outcome: VerbOutcome::Refused { why } })
}
