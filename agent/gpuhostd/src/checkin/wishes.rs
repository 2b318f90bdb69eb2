//! What the check-in knows of the desired state: which document is in force, which one was refused, and what of it is met.

use crate::checkin::DesiredEnds;
use crate::desired::DesiredPort;
use model::desired::{DesiredReport, DesiredState, DocumentId};
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
    report: watch::Receiver<Arc<DesiredReport>>,
    seen: Arc<DesiredReport>,
}

impl Wishes {
    /// Nothing was fetched yet.
    #[must_use]
    pub(super) fn new(ends: DesiredEnds) -> Self {
        let DesiredEnds { port, report } = ends;
        let (state, seen) = (port.state(), Arc::clone(&report.borrow()));
        Self { port, last_error: None, state, report, seen }
    }

    /// Takes the newest report; true where a manager should not have to wait for what is new in it.
    pub(super) fn look(&mut self) -> bool {
        self.state.mark_unchanged();
        let before = std::mem::replace(&mut self.seen, Arc::clone(&self.report.borrow_and_update()));
        self.seen.is_news_since(&before)
    }

    /// Waits for another state or report; for ever where neither can come.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.state) => {}
            () = changed(&mut self.report) => {}
        }
    }

    /// What is met of the wishes, and what is in effect.
    #[must_use]
    pub(super) fn report(&self) -> Arc<DesiredReport> {
        Arc::clone(&self.seen)
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

async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending().await
    }
}
