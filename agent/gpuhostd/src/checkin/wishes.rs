//! What the check-in knows of the desired state: which document is in force, which one was refused, and what of it is met.

use crate::checkin::DesiredEnds;
use crate::desired::DesiredPort;
use engine::publish::Publisher;
use engine::reconcile::Reconciled;
use model::desired::{DesiredReport, DesiredState, DocumentId, Effective, Observed, UNMET_MAX, UnmetItem};
use model::event::Occurrence;
use model::reconcile::Shown;
use model::settings::Settings;
use model::workspace_life::WorkspacesState;
use std::sync::Arc;
use tokio::sync::watch;

/// A document that could not be saved is not settled: it is fetched again.
const NOT_SAVED: &str = "desired_state_not_saved";

/// The newest state and report, and where documents go.
#[derive(Debug)]
pub(super) struct Wishes {
    /// Where documents go.
    pub(super) port: DesiredPort,
    /// Why the last request for desired state was of no use.
    pub(super) last_error: Option<String>,
    state: watch::Receiver<Arc<DesiredState>>,
    reconciled: watch::Receiver<Arc<Reconciled>>,
    workspaces: watch::Receiver<Arc<WorkspacesState>>,
    report: Arc<DesiredReport>,
    publisher: Arc<Publisher>,
}

impl Wishes {
    /// Nothing was fetched yet.
    #[must_use]
    pub(super) fn new(ends: DesiredEnds, settings: &Settings) -> Self {
        let DesiredEnds { port, reconciled, workspaces, publisher, .. } = ends;
        let report = Arc::new(report(&reconciled.borrow(), settings, &workspaces.borrow()));
        Self { state: port.state(), port, last_error: None, reconciled, workspaces, report, publisher }
    }

    /// Takes the newest report; true where a manager should not have to wait for what is new in it.
    pub(super) fn look(&mut self, settings: &Settings) -> bool {
        self.state.mark_unchanged();
        let now = report(&self.reconciled.borrow_and_update(), settings, &self.workspaces.borrow_and_update());
        if now == *self.report {
            return false;
        }
        let before = std::mem::replace(&mut self.report, Arc::new(now));
        self.report.is_news_since(&before)
    }

    /// This happened, for the events of this host.
    pub(super) fn occur(&self, occurrence: Occurrence) {
        self.publisher.occur(occurrence);
    }

    /// Waits for another state or report; for ever where neither can come.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.state) => {}
            () = changed(&mut self.reconciled) => {}
            () = changed(&mut self.workspaces) => {}
        }
    }

    /// What is met of the wishes, and what is in effect.
    #[must_use]
    pub(super) fn report(&self) -> Arc<DesiredReport> {
        Arc::clone(&self.report)
    }

    /// The manager's document that is in force.
    #[must_use]
    pub(super) fn in_force(&self) -> Option<DocumentId> {
        self.state.borrow().manager.document().map(|document| document.id.clone())
    }

    /// The document that was refused last, where the refusal does not end by itself.
    #[must_use]
    pub(super) fn refused(&self) -> Option<DocumentId> {
        let state = self.state.borrow();
        state.refused.as_ref().filter(|refusal| refusal.code != NOT_SAVED)?.id.clone()
    }
}

/// Waits for another value; for ever where none can come.
pub(super) async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending().await
    }
}

/// What a manager learns of a turn of the reconciler, of the settings in force, and of workspaces.
fn report(reconciled: &Reconciled, settings: &Settings, workspaces: &Arc<WorkspacesState>) -> DesiredReport {
    let mut unmet: Vec<_> = reconciled.unmet().filter_map(unmet_item).collect();
    unmet.sort_by(|one, other| one.path.cmp(&other.path));
    let unmet_total = unmet.len();
    unmet.truncate(UNMET_MAX);
    let set = &settings.desired;
    let effective = Effective {
        millicores: set.millicores,
        memory_bytes: set.memory_bytes,
        cuda_gpus: set.cuda_gpus,
        labels: set.labels.clone().unwrap_or_default(),
        zone: set.zone.clone().or_else(|| settings.manager.zone.clone()),
        pool: set.pool.clone(),
        enabled: set.enabled,
        draining: set.is_draining(),
    };
    let observed = Observed { applied: reconciled.applied.clone(), unmet, unmet_total };
    DesiredReport { observed, effective: Some(effective), workspaces: Arc::clone(workspaces) }
}

fn unmet_item(shown: &Shown) -> Option<UnmetItem> {
    let why = shown.why.clone()?;
    Some(UnmetItem {
        path: shown.path.to_string(),
        code: why.code,
        message: why.message,
        since: shown.since,
        retry_at: shown.retry_at,
    })
}
