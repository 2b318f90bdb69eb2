//! What systemd is notified of: READY, STATUS, RELOADING, STOPPING, and the watchdog ping that travels through the main loop.

use crate::status_line;
use engine::handle::Handle;
use engine::start::Pulse;
use model::enrol::CheckinStatus;
use model::message::Message;
use model::ports::Clock;
use model::time::UnixMillis;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Reports something to systemd; where there is none to hear it, nothing happens.
pub(crate) fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = hands::notify::tell(states) {
        tracing::debug!(%error, "systemd did not accept a notification");
    }
}

/// RELOADING=1 with the instant that `Type=notify-reload` wants.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(_) => say(&[NotifyState::Reloading]),
    }
}

/// Keeps the status line true. It is sent on change, and changes of an age alone do not count.
pub(crate) async fn keep_status<K: Clock>(
    mut handle: Handle,
    mut checkin: watch::Receiver<Arc<CheckinStatus>>,
    clock: Arc<K>,
    cancel: CancellationToken,
) {
    let mut last = String::new();
    loop {
        let (observation, status) =
            (Arc::clone(&handle.observation.borrow_and_update()), Arc::clone(&checkin.borrow_and_update()));
        let timeless =
            status_line::line(&observation, &CheckinStatus { last_accepted: None, ..(*status).clone() }, UnixMillis(0));
        let beat = format!("{timeless}{:?}", status.last_accepted);
        if beat != last {
            say(&[NotifyState::Status(&status_line::line(&observation, &status, clock.wall_now()))]);
            last = beat;
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            Ok(()) = handle.observation.changed() => {}
            Ok(()) = checkin.changed() => {}
            else => return,
        }
    }
}

/// Pings the watchdog at half its time, each time only after the engine's loop has turned.
pub(crate) async fn keep_watchdog<K: Clock>(pulse: Pulse, clock: Arc<K>, cancel: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let half_ms = u64::try_from(limit.as_millis() / 2).unwrap_or(1).max(1);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = clock.sleep_until(clock.boot_now().plus(half_ms)) => {}
        }
        match tokio::time::timeout(Duration::from_millis(half_ms), pulse.turned()).await {
            Ok(true) => say(&[NotifyState::Watchdog]),
            Ok(false) => return,
            Err(_) => tracing::error!(
                message_id = Message::LoopStuck.id(),
                "the main loop has been blocked for {half_ms} ms; systemd will restart the daemon"
            ),
        }
    }
}
