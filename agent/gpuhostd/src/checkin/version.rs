//! Asks a manager for its optional features. Whatever comes of it costs a heartbeat nothing.

use crate::checkin::answers::accepted;
use crate::checkin::transport::Way;
use model::checkin::ManagerAddress;
use model::checkin::features::ManagerFeatures;
use model::time::UnixMillis;
use std::time::Duration;
use wire::manager::reply::Version;

/// An enrolment waits no longer for it.
pub(super) const BEFORE_ENROLMENT: Duration = Duration::from_secs(3);

/// What a manager reported.
#[derive(Debug)]
pub(super) struct VersionBack {
    /// The way.
    pub(super) way: Way,
    /// Who was asked.
    pub(super) manager: ManagerAddress,
    /// Its features; `None` where it hung, was cut off or reported nonsense.
    pub(super) said: Option<ManagerFeatures>,
}

/// Asks.
pub(super) async fn ask(mut way: Way, manager: ManagerAddress) -> VersionBack {
    let said = features(&mut way, &manager).await;
    VersionBack { way, manager, said }
}

/// The features of a manager; `None` where it states none that can be understood.
pub(super) async fn features(way: &mut Way, manager: &ManagerAddress) -> Option<ManagerFeatures> {
    let path = way.settings().paths.version.clone();
    let exchange = way.get(manager, &path).await;
    let exchange = exchange.inspect_err(|lost| {
        tracing::debug!(manager = %manager, why = lost.fault.said, "the manager did not report its features; nothing is compressed for an hour");
    });
    let body = accepted(manager, exchange.ok()?, UnixMillis(0)).ok()?;
    Some(Version::read(&body).features())
}
