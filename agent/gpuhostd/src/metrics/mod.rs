//! The ways out for metrics: a Unix socket that answers HTTP, a file for node_exporter, and the directory from which dcgm-exporter takes
//! the ids of workspaces. All are off until configured.

mod job_mapping;
mod page;
mod scrape;
mod socket;
mod textfile;

use model::ports::Clock;
use model::settings::{MetricsSettings, Settings};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use page::Page;

/// Gives the metrics out as the settings say now, until it is cancelled.
pub async fn run<K: Clock>(page: Page<K>, settings: watch::Receiver<Arc<Settings>>, cancel: CancellationToken) {
    tokio::join!(
        socket::serve(page.clone(), settings.clone(), cancel.clone()),
        job_mapping::keep(page.clone(), settings.clone(), cancel.clone()),
        textfile::keep(page, settings, cancel)
    );
}

/// Resolves when the setting is no longer what it was; never where the settings can no longer change.
async fn changed(
    settings: &mut watch::Receiver<Arc<Settings>>,
    pick: impl Fn(&MetricsSettings) -> &Option<String>,
    was: &Option<String>,
) {
    if settings.wait_for(|settings| pick(&settings.metrics) != was).await.is_err() {
        std::future::pending().await
    }
}
