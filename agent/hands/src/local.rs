//! Keeps a hand that we start ourselves, over a socket pair: where there is no systemd to do it.

use crate::client::{Client, HandFault, exchange};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use wire::hand::{HandRole, Request, Said};

/// First pause before a hand that ended is started again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A hand that has lived this long was no crash loop: the next pause is short again.
const LIVED: Duration = Duration::from_secs(60);
/// Time that a hand has to leave once its socket is closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// A request on its way to the keeper.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) request: Request,
    pub(crate) until: Instant,
    pub(crate) reply: oneshot::Sender<Result<Said, HandFault>>,
}

/// Which executable is the hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The executable, `/proc/self/exe` for ourselves.
    pub exe: PathBuf,
    /// Its arguments, `hand <role> …`.
    pub args: Vec<OsString>,
}

impl Launch {
    /// Ourselves in the role, with further arguments behind `hand <role>`.
    #[must_use]
    pub fn ourselves(role: HandRole, more: &[OsString]) -> Self {
        let mut args = vec![OsString::from("hand"), OsString::from(role.name())];
        args.extend_from_slice(more);
        Self { exe: PathBuf::from("/proc/self/exe"), args }
    }
}

/// Starts a hand as our child and keeps one running: it is started again, with growing pauses, when it ends. It leaves when
/// the last clone of the client is dropped or when we end. To be called inside a tokio runtime.
#[must_use]
pub fn spawn_local(role: HandRole, launch: Launch) -> Client {
    let (orders, waiting) = mpsc::channel(8);
    tokio::spawn(keep(role, launch, waiting));
    Client::kept(role, orders)
}

/// Why a conversation with a hand is over.
enum Over {
    /// Nobody can ask any more.
    NoMoreOrders,
    /// The hand is gone.
    HandGone,
}

async fn keep(role: HandRole, launch: Launch, mut orders: mpsc::Receiver<Order>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let why = match start(&launch) {
            Ok((mut stream, child)) => {
                let over = converse(role, &mut stream, &mut orders).await;
                drop(stream);
                let ended = farewell(child).await;
                match over {
                    Over::NoMoreOrders => return,
                    Over::HandGone => ended,
                }
            }
            Err(error) => format!("cannot start {}: {error}", launch.exe.display()),
        };
        pause = if started.elapsed() >= LIVED { FIRST_PAUSE } else { pause };
        tracing::warn!(hand = role.name(), pause_ms = pause.as_millis(), "the hand ended: {why}");
        if refuse_until(Instant::now() + pause, role, &why, &mut orders).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn start(launch: &Launch) -> io::Result<(UnixStream, Child)> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let stream = UnixStream::from_std(near)?;
    let child = host::spawn::with_socket(&launch.exe, &launch.args, far.into())?;
    Ok((stream, child))
}

async fn converse(role: HandRole, stream: &mut UnixStream, orders: &mut mpsc::Receiver<Order>) -> Over {
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            () = gone(stream) => return Over::HandGone,
        };
        let Some(Order { mut request, until, reply }) = order else { return Over::NoMoreOrders };
        let within = until.saturating_duration_since(Instant::now());
        if within.is_zero() {
            drop(reply.send(Err(HandFault::Timeout { role, within: Duration::from_millis(request.deadline_ms) })));
            continue;
        }
        request.deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        // An asker that gives up in the middle does not end the exchange: half of one would leave half a frame behind.
        let answered = timeout_at(until, exchange(role, stream, &request))
            .await
            .unwrap_or(Err(HandFault::Timeout { role, within }));
        let broken = answered.is_err();
        // Nobody may be waiting any more.
        drop(reply.send(answered));
        if broken {
            return Over::HandGone;
        }
    }
}

/// Resolves when the hand closed its end, or talks without being asked.
async fn gone(stream: &UnixStream) {
    let mut byte = [0];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits for the end of a hand whose socket is closed, ends it where it stays, and says how it ended.
async fn farewell(mut child: Child) -> String {
    let pid = child.id();
    if let Ok(ended) = timeout(FAREWELL, child.wait()).await {
        return ended.map_or_else(|error| format!("process {pid:?} is lost: {error}"), |status| status.to_string());
    }
    match child.start_kill() {
        Ok(()) => match timeout(FAREWELL, child.wait()).await {
            Ok(Ok(status)) => format!("it did not leave and was killed: {status}"),
            Ok(Err(error)) => format!("process {pid:?} is lost: {error}"),
            Err(_) => format!("process {pid:?} hangs in the kernel and cannot be killed"),
        },
        Err(error) => format!("process {pid:?} cannot be killed: {error}"),
    }
}

/// Answers every order with the reason until the pause is over; `None` where nobody can ask any more.
async fn refuse_until(end: Instant, role: HandRole, why: &str, orders: &mut mpsc::Receiver<Order>) -> Option<()> {
    loop {
        tokio::select! {
            () = sleep_until(end) => return Some(()),
            order = orders.recv() => {
                let left = end.saturating_duration_since(Instant::now()).as_millis();
                let why = format!("{why}; it is started again in {left} ms");
                drop(order?.reply.send(Err(HandFault::Down { role, why })));
            }
        }
    }
}
