//! Samples what workspaces that run use, so that Docker need not be asked, whose statistics take a second for each container.

use crate::publish::Publisher;
use model::absence::{Absence, Reading};
use model::ids::ContainerId;
use model::observation::HostObservation;
use model::ports::{Clock, WorkspacePort};
use model::workspace::WorkspaceId;
use model::workspace_life::{
    ContainerProcess, ContainerUse, ContainerUseAsked, WorkspaceFigures, WorkspaceSamples, WorkspaceStatus,
    WorkspacesState, gpu_memory_used,
};
use std::collections::{BTreeMap, BTreeSet};
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

    /// The latest observation, and whose network and processes are asked about: only what has GPUs has processes on them.
    fn asked(&self) -> (Arc<HostObservation>, ContainerUseAsked) {
        let host = Arc::clone(&self.publisher.seen().borrow());
        let state = self.publisher.workspaces();
        let state = state.borrow();
        let process =
            |one: &WorkspaceStatus| Some(ContainerProcess { container: one.container.clone()?, pid: one.pid? });
        let containers = state.live().filter_map(process).collect();
        let drivers = host.gpus.iter().filter_map(|gpu| gpu.driver.as_ref());
        let processes = drivers.filter_map(|driver| driver.processes.known()).flatten().map(|process| process.pid);
        let gpu_pids = if state.live().any(|one| !one.gpus.is_empty()) { processes.collect() } else { BTreeSet::new() };
        let gpu_pids = gpu_pids.into_iter().collect();
        drop(state);
        (host, ContainerUseAsked { containers, gpu_pids })
    }

    /// Adds what their networks carried, and what they use of their GPUs.
    fn add_use(
        &self,
        figures: &mut BTreeMap<WorkspaceId, WorkspaceFigures>,
        host: &HostObservation,
        used: Option<&ContainerUse>,
    ) {
        let state = self.publisher.workspaces();
        let state = state.borrow();
        for one in state.live() {
            let Some(figures) = figures.get_mut(&one.id) else { continue };
            figures.gpu_memory_bytes = match used {
                Some(used) => gpu_memory_used(host, one, &used.processes),
                None => Reading::Absent(Absence::ProbeFailed),
            };
            let networks = used.map(|used| &used.networks);
            figures.network = one.container.as_ref().and_then(|id| networks?.get(id).copied());
        }
    }

    async fn sample(&self, samples: &mut WorkspaceSamples) {
        let live: BTreeMap<WorkspaceId, ContainerId> = {
            let state = self.publisher.workspaces();
            let state = state.borrow();
            state.live().filter_map(|one| Some((one.id.clone(), one.container.clone()?))).collect()
        };
        let (host, asked) = self.asked();
        let (seen, used) = tokio::join!(
            self.port.read_figures(live.values().cloned().collect()),
            self.port.read_container_use(asked),
        );
        let of = |(id, container): (WorkspaceId, ContainerId)| {
            let figures = *seen.get(&container)?;
            Some((id, (container, figures)))
        };
        let mut figures = samples.take(self.clock.boot_now(), live.into_iter().filter_map(of).collect());
        self.add_use(&mut figures, &host, used.as_ref().ok());
        self.publisher.show_workspace_figures(&figures);
    }
}
