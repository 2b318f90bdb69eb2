//! The life of a hand's process: take over the socket, say that we are ready, serve, leave.

use crate::listen::{self, ListenError};
use crate::peers::{NoFront, Peers};
use crate::registry::Registry;
use crate::server::{Left, Limits, ServeError, serve};
use model::causes::with_causes;
use model::message::Message;
use sd_notify::NotifyState;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// Why a hand's process cannot work.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot watch for SIGTERM")]
    Signal(#[source] io::Error),
    #[error("no socket to serve")]
    Listen(#[source] ListenError),
    #[error("no client could be authorized")]
    NoFront(#[source] NoFront),
    #[error("cannot serve")]
    Serve(#[source] ServeError),
}

/// Runs the hand until it ends by itself, receives SIGTERM, or cannot go on. `front_uid` is the uid that may ask, where it is
/// not that of the package's user. What the caller's process exits with.
#[must_use]
pub fn main(front_uid: Option<u32>, registry: Registry) -> ExitCode {
    let role = registry.hand();
    match run(front_uid, registry) {
        Ok(why) => {
            tracing::info!(hand = role.name(), "the hand exits: {why}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            tracing::error!(
                message_id = Message::HandBroken.id(),
                hand = role.name(),
                "the hand cannot work: {}",
                with_causes(&fault)
            );
            ExitCode::FAILURE
        }
    }
}

fn run(front_uid: Option<u32>, registry: Registry) -> Result<&'static str, EntryError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EntryError::Runtime)?;
    let outcome = runtime.block_on(live(front_uid, registry));
    // A call that hangs in a blocking thread must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn live(front_uid: Option<u32>, registry: Registry) -> Result<&'static str, EntryError> {
    let mut told = signal(SignalKind::terminate()).map_err(EntryError::Signal)?;
    let listener = listen::from_stdin().map_err(EntryError::Listen)?;
    let peers = match front_uid {
        Some(uid) => Peers::of(&[uid]),
        None => Peers::front().map_err(EntryError::NoFront)?,
    };
    let status = registry.degraded().map_or_else(|| "Ready".to_owned(), |why| format!("Degraded: {why}"));
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let limits = Limits::of(registry.hand());
    let registry = Arc::new(registry);
    tokio::select! {
        served = serve(&listener, &peers, &registry, &limits) => match served {
            Ok(Left::Idle) => Ok("no request for a while"),
            Ok(Left::Old) => Ok("it has run long enough; the next request starts a new process"),
            Err(fault) => Err(EntryError::Serve(fault)),
        },
        _ = told.recv() => {
            tell(&[NotifyState::Stopping]);
            Ok("it received SIGTERM")
        }
        () = watchdog() => Ok("the watchdog timer stopped"),
    }
}

/// Pings the watchdog from the same runtime that serves requests, where the unit asks for it; never ends.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut beat = interval(limit / 3);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = crate::notify::tell(state) {
        tracing::warn!(
            message_id = Message::ServiceManagerSilent.id(),
            "the service manager could not be notified: {error}"
        );
    }
}
