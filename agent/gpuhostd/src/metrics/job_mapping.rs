//! The directory from which dcgm-exporter takes the ids of workspaces for its metrics: a file for each GPU that has any.

use super::{Page, changed};
use host::front::{StoreError, keep_file_set};
use model::message::Message;
use model::ports::Clock;
use model::settings::Settings;
use model::workspace_life::is_job_mapping_name;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The files are looked at no more often than this.
const PACE_MS: u64 = 1_000;

/// Keeps the directory of the settings, also when that changes, until it is cancelled; then its files are removed, so that no metric is
/// labelled with what was so once.
pub(super) async fn keep<K: Clock>(
    page: Page<K>,
    mut settings: watch::Receiver<Arc<Settings>>,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        let path = settings.borrow_and_update().metrics.job_mapping.clone();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = changed(&mut settings, |metrics| &metrics.job_mapping, &path) => {}
            () = keep_at(path.as_deref(), page.clone()) => {}
        }
        if let Some(path) = path {
            report(write(path, BTreeMap::new()).await, &mut None);
        }
    }
}

/// Never returns.
async fn keep_at<K: Clock>(path: Option<&str>, mut page: Page<K>) {
    let Some(path) = path else { return std::future::pending().await };
    let (mut reported, mut written) = (None, None);
    loop {
        let next = page.clock().boot_now().plus(PACE_MS);
        // While Docker does not answer, what it showed last is what runs.
        if let Some(jobs) = page.jobs().filter(|jobs| written.as_ref() != Some(jobs)) {
            let outcome = write(path.to_owned(), jobs.clone()).await;
            written = outcome.is_ok().then_some(jobs);
            report(outcome, &mut reported);
        }
        page.clock().sleep_until(next).await;
        page.news().await;
    }
}

/// Writes the files on a thread that may block.
async fn write(path: String, jobs: BTreeMap<String, String>) -> Result<(), StoreError> {
    let at = path.clone();
    let written = tokio::task::spawn_blocking(move || keep_file_set(Path::new(&at), &jobs, is_job_mapping_name));
    let broken = |fault: tokio::task::JoinError| StoreError::Host {
        attempted: "write",
        path: path.into(),
        source: std::io::Error::other(fault),
    };
    written.await.unwrap_or_else(|fault| Err(broken(fault)))
}

/// The same fault is logged once.
fn report(outcome: Result<(), StoreError>, reported: &mut Option<String>) {
    let fault = outcome.err().map(|fault| fault.to_string());
    if let Some(fault) = fault.as_ref().filter(|fault| reported.as_ref() != Some(*fault)) {
        tracing::warn!(
            message_id = Message::MetricsNotGiven.id(),
            "the ids of workspaces are not written for dcgm-exporter: {fault}"
        );
    }
    *reported = fault;
}
