//! The file for node_exporter's textfile collector: replaced as a whole when there is something new, at a bounded pace.

use super::{Page, changed};
use host::front::{StoreError, remove_named, write_named};
use model::message::Message;
use model::ports::Clock;
use model::settings::Settings;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::openmetrics::Flavour;

/// The file is written no more often than this.
const PACE_MS: u64 = 10_000;
/// The collector runs as a user of its own.
const MODE: u32 = 0o644;

/// Keeps the file of the settings, also when that changes, until it is cancelled; then it is removed, so that what was last
/// seen does not stand there as if it were so now.
pub(super) async fn keep<K: Clock>(
    page: Page<K>,
    mut settings: watch::Receiver<Arc<Settings>>,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        let path = settings.borrow_and_update().metrics.textfile.clone();
        let mut ours = false;
        tokio::select! {
            () = cancel.cancelled() => {}
            () = changed(&mut settings, |metrics| &metrics.textfile, &path) => {}
            () = keep_at(path.as_deref(), page.clone(), &mut ours) => {}
        }
        if let Some(path) = path.filter(|_| ours) {
            let removed = on_file(path, remove_named).await;
            tell(removed, &mut None);
        }
    }
}

/// Never returns. `ours` is set as soon as we have written the file.
async fn keep_at<K: Clock>(path: Option<&str>, mut page: Page<K>, ours: &mut bool) {
    let Some(path) = path else { return std::future::pending().await };
    let mut told = None;
    loop {
        let next = page.clock().boot_now().plus(PACE_MS);
        let text = page.text(Flavour::Prometheus);
        let written = on_file(path.to_owned(), move |dir, name| write_named(dir, name, text.as_bytes(), MODE)).await;
        *ours |= written.is_ok();
        tell(written, &mut told);
        page.clock().sleep_until(next).await;
        page.news().await;
    }
}

/// Does something with the file on a thread that may block.
async fn on_file(
    path: String,
    act: impl FnOnce(&Path, &str) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    let at = path.clone();
    let acted = tokio::task::spawn_blocking(move || {
        let path = Path::new(&at);
        match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
            (Some(folder), Some(name)) => act(folder, name),
            (folder, _) => {
                Err(StoreError::BadName { dir: folder.unwrap_or(Path::new("/")).to_owned(), name: at.clone() })
            }
        }
    });
    let broken = |broken| StoreError::Host {
        attempted: "write",
        path: path.into(),
        source: std::io::Error::other::<tokio::task::JoinError>(broken),
    };
    acted.await.unwrap_or_else(|fault| Err(broken(fault)))
}

/// The same fault is logged once.
fn tell(outcome: Result<(), StoreError>, told: &mut Option<String>) {
    let fault = outcome.err().map(|fault| fault.to_string());
    if let Some(fault) = fault.as_ref().filter(|fault| told.as_ref() != Some(*fault)) {
        tracing::warn!(message_id = Message::MetricsNotGiven.id(), "metrics are not written to a file: {fault}");
    }
    *told = fault;
}
