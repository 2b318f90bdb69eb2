//! The socket: takes connections, a bounded number at a time, each with a deadline for its request and for its answer.

use super::{Page, changed, scrape};
use host::front::{SocketError, listen_at, remove};
use model::causes::with_causes;
use model::message::Message;
use model::ports::Clock;
use model::settings::Settings;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// At most so many connections are served at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// How long a client may take to send its request, and then to read its answer.
const CLIENT_DEADLINE: Duration = Duration::from_secs(2);
/// The pause before a socket that could not be had is tried again.
const RETRY_MS: u64 = 30_000;
/// The pause after a connection that could not be taken (too many open files).
const ACCEPT_PAUSE_MS: u64 = 200;
/// Every user may read the metrics, as every user may read the same over D-Bus.
const MODE: u32 = 0o666;

/// Serves at the socket of the settings, also when that changes, until it is cancelled.
pub(super) async fn serve<K: Clock>(
    page: Page<K>,
    mut settings: watch::Receiver<Arc<Settings>>,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        let path = settings.borrow_and_update().metrics.socket.clone();
        let mut binding = Binding::default();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = changed(&mut settings, |metrics| &metrics.socket, &path) => {}
            () = serve_at(path.as_deref(), &page, &mut binding) => {}
        }
        if let Some(path) = path
            && binding.left_a_socket().await
        {
            take_away(path).await;
        }
    }
}

/// Whether the socket is there by our hand. A call that binds one goes on where its caller has been dropped, so it is kept until it ends.
#[derive(Default)]
struct Binding {
    under_way: Option<JoinHandle<Result<StdListener, SocketError>>>,
    bound: bool,
}

impl Binding {
    async fn bind(&mut self, path: String) -> Result<UnixListener, SocketError> {
        let (at, here) = (path.clone(), path);
        let under_way = self.under_way.insert(tokio::task::spawn_blocking(move || listen_at(Path::new(&at), MODE)));
        let ended = under_way.await;
        self.under_way = None;
        let fault = |source| SocketError::Host { attempted: "listen at", path: Path::new(&here).to_owned(), source };
        let listener = ended.map_err(|broken| fault(std::io::Error::other(broken)))??;
        self.bound = true;
        UnixListener::from_std(listener).map_err(fault)
    }

    async fn left_a_socket(self) -> bool {
        match self.under_way {
            Some(under_way) => matches!(under_way.await, Ok(Ok(_))),
            None => self.bound,
        }
    }
}

/// Never returns.
async fn serve_at<K: Clock>(path: Option<&str>, page: &Page<K>, binding: &mut Binding) {
    let Some(path) = path else { return std::future::pending().await };
    let mut told = None;
    let listener = loop {
        match binding.bind(path.to_owned()).await {
            Ok(listener) => break listener,
            Err(fault) => {
                let fault = with_causes(&fault);
                if told.as_ref() != Some(&fault) {
                    tracing::warn!(
                        message_id = Message::MetricsNotGiven.id(),
                        "metrics are not served on a socket: {fault}"
                    );
                }
                told = Some(fault);
                let again = page.clock().boot_now().plus(RETRY_MS);
                page.clock().sleep_until(again).await;
            }
        }
    };
    tracing::info!(socket = path, "metrics can be read: curl --unix-socket {path} http://localhost/metrics");
    accept(&listener, page).await
}

async fn accept<K: Clock>(listener: &UnixListener, page: &Page<K>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut clients = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return std::future::pending().await };
        // Those that have ended are forgotten here.
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                clients.spawn(async move {
                    one(stream, &page).await;
                    drop(slot);
                });
            }
            Err(fault) => {
                tracing::debug!(error = %fault, "a connection for metrics could not be accepted");
                let again = page.clock().boot_now().plus(ACCEPT_PAUSE_MS);
                page.clock().sleep_until(again).await;
            }
        }
    }
}

/// One request, one answer. A slow client is dropped without a log message, because clients could fill the log that way.
async fn one<K: Clock>(mut stream: UnixStream, page: &Page<K>) {
    let Ok(received) = tokio::time::timeout(CLIENT_DEADLINE, request(&mut stream)).await else { return };
    let Some(received) = received else { return };
    let answer = scrape::answer(&received, |flavour| page.text(flavour));
    let _slow = tokio::time::timeout(CLIENT_DEADLINE, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    })
    .await;
}

/// What the client sent, up to the end of its request's head, of its patience, or of ours; `None` where it went away.
async fn request(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut received = Vec::with_capacity(512);
    while !scrape::is_complete(&received) && received.len() < scrape::HEAD_MAX {
        let room = u64::try_from(scrape::HEAD_MAX.saturating_sub(received.len())).unwrap_or(0);
        match stream.take(room).read_buf(&mut received).await {
            Ok(0) if received.is_empty() => return None,
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    Some(received)
}

/// A socket behind which nobody is would only mislead.
async fn take_away(path: String) {
    let removed = tokio::task::spawn_blocking(move || {
        let path = Path::new(&path);
        match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
            (Some(folder), Some(name)) => remove(folder, name),
            _ => Ok(()),
        }
    });
    if let Ok(Err(fault)) = removed.await {
        tracing::warn!(
            message_id = Message::MetricsNotGiven.id(),
            "the metrics socket could not be removed: {}",
            with_causes(&fault)
        );
    }
}
