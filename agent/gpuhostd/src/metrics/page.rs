//! What is given out: the newest observation and check-in, as text.

use model::enrol::CheckinStatus;
use model::observation::HostObservation;
use model::ports::Clock;
use model::workspace_life::{WorkspacesState, job_mapping};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use wire::openmetrics::{Flavour, Source, render};

/// The metrics as they stand now.
#[derive(Debug)]
pub struct Page<K> {
    observation: watch::Receiver<Arc<HostObservation>>,
    checkin: watch::Receiver<Arc<CheckinStatus>>,
    workspaces: watch::Receiver<Arc<WorkspacesState>>,
    clock: Arc<K>,
}

impl<K> Clone for Page<K> {
    fn clone(&self) -> Self {
        let (observation, checkin) = (self.observation.clone(), self.checkin.clone());
        Self { observation, checkin, workspaces: self.workspaces.clone(), clock: Arc::clone(&self.clock) }
    }
}

impl<K: Clock> Page<K> {
    /// The metrics of what these watches show.
    #[must_use]
    pub const fn new(
        observation: watch::Receiver<Arc<HostObservation>>,
        checkin: watch::Receiver<Arc<CheckinStatus>>,
        workspaces: watch::Receiver<Arc<WorkspacesState>>,
        clock: Arc<K>,
    ) -> Self {
        Self { observation, checkin, workspaces, clock }
    }

    /// The text. It costs no look at the host.
    pub(super) fn text(&self, flavour: Flavour) -> String {
        let (seen, checkin) = (Arc::clone(&self.observation.borrow()), Arc::clone(&self.checkin.borrow()));
        let version = env!("CARGO_PKG_VERSION");
        let workspaces = Arc::clone(&self.workspaces.borrow());
        let boot_now = self.clock.boot_now();
        let source = Source { version, seen: &seen, checkin: &checkin, workspaces: &workspaces, boot_now };
        render(&source, flavour)
    }

    /// Which workspaces have which GPU; `None` where that is not known.
    pub(super) fn jobs(&self) -> Option<BTreeMap<String, String>> {
        let seen = Arc::clone(&self.observation.borrow());
        job_mapping(seen.gpus.iter().filter_map(|gpu| gpu.driver.as_ref()), &self.workspaces.borrow())
    }

    /// Resolves when something new can be determined; never where nothing new can come.
    pub(super) async fn news(&mut self) {
        let (seen, checkin, workspaces) = (&mut self.observation, &mut self.checkin, &mut self.workspaces);
        let ended = tokio::select! {
            news = seen.changed() => news.is_err(),
            news = checkin.changed() => news.is_err(),
            news = workspaces.changed() => news.is_err(),
        };
        if ended {
            std::future::pending::<()>().await;
        }
    }

    /// The clock that paces us.
    pub(super) fn clock(&self) -> &K {
        &self.clock
    }
}
