//! Follows the kernel log and publishes what it has against each device, where that has changed.

use model::health::kernel_log::KernelLog;
use model::message::Message;
use model::ports::{Clock, KernelLogPort};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Reads the log until it is cancelled, or until the log cannot be read any more, which is published as well.
pub async fn follow(
    mut port: impl KernelLogPort,
    clock: Arc<impl Clock>,
    publish: watch::Sender<Arc<KernelLog>>,
    cancel: CancellationToken,
) {
    let mut log = KernelLog::default();
    loop {
        let lines = tokio::select! {
            () = cancel.cancelled() => return,
            lines = port.next_lines() => lines,
        };
        match lines {
            Ok(lines) => {
                let first = !log.is_heard();
                log.hear();
                log.reads_at(clock.boot_now());
                let news = lines.iter().filter(|line| log.take(line)).count();
                if first || news > 0 {
                    publish.send_replace(Arc::new(log.clone()));
                }
            }
            Err(why) => {
                tracing::warn!(
                    message_id = Message::KernelLogUnavailable.id(),
                    "{why}; the daemon continues without it"
                );
                log.lose(why);
                publish.send_replace(Arc::new(log));
                return;
            }
        }
    }
}
