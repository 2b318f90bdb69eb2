//! Samples what workspaces that run use, so that Docker need not be asked, whose statistics take a second for each container.

use crate::publish::Publisher;
use model::ids::ContainerId;
use model::ports::{Clock, WorkspacePort};
use model::workspace::WorkspaceId;
use model::workspace_life::{WorkspaceSamples, WorkspacesState};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// As often as a manager hears of it.
const EVERY_MS: u64 = 30_000;

/// The sampler.
pub struct WorkspaceMeter<P, K> {
    /// Where the figures are read.
    pub port: Arc<P>,
    /// The clock.
    pub clock: Arc<K>,
    /// Where they are shown.
    pub publisher: Arc<Publisher>,
}

impl<P: WorkspacePort, K: Clock> WorkspaceMeter<P, K> {
    /// One that has not sampled yet.
    #[must_use]
    pub fn new(port: &Arc<P>, clock: &Arc<K>, publisher: &Arc<Publisher>) -> Self {
        Self { port: Arc::clone(port), clock: Arc::clone(clock), publisher: Arc::clone(publisher) }
    }

    /// Works until it is cancelled. While nothing runs it does nothing.
    pub async fn run(self, cancel: CancellationToken) {
        let mut state = self.publisher.workspaces();
        let mut samples = WorkspaceSamples::default();
        loop {
            let runs = |state: &Arc<WorkspacesState>| state.live().next().is_some();
            tokio::select! {
                () = cancel.cancelled() => return,
                alive = state.wait_for(runs) => if alive.is_err() { return },
            }
            self.sample(&mut samples).await;
            let next = self.clock.boot_now().plus(EVERY_MS);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    async fn sample(&self, samples: &mut WorkspaceSamples) {
        let live: BTreeMap<WorkspaceId, ContainerId> = {
            let state = self.publisher.workspaces();
            let state = state.borrow();
            state.live().filter_map(|one| Some((one.id.clone(), one.container.clone()?))).collect()
        };
        let seen = self.port.read_figures(live.values().cloned().collect()).await;
        let of = |(id, container): (WorkspaceId, ContainerId)| {
            let figures = *seen.get(&container)?;
            Some((id, (container, figures)))
        };
        let figures = samples.take(self.clock.boot_now(), live.into_iter().filter_map(of).collect());
        self.publisher.show_workspace_figures(&figures);
    }
}
