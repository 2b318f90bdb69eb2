//! Names the workspaces that keep the libraries of a driver that is not loaded any more: looked at when the driver or what runs changes.

use crate::publish::Publisher;
use model::driver_libraries::{STALE_DRIVER, StaleWorkspace, stale_condition, stale_workspaces};
use model::observation::HostObservation;
use model::ports::{Clock, NvidiaPort};
use model::workspace::WorkspaceId;
use model::workspace_life::WorkspacesState;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// After a look that did not work the next one is made.
const AGAIN_AFTER_MS: u64 = 60_000;

/// What a look is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LibrariesDue {
    /// Version of the loaded driver; `None` = none is loaded, or it is not known.
    loaded: Option<String>,
    /// Workspaces that share a GPU, with the first process of each.
    running: Vec<(WorkspaceId, u32)>,
}

impl LibrariesDue {
    fn of(host: &HostObservation, workspaces: &WorkspacesState) -> Self {
        let shares = |one: &&model::workspace_life::WorkspaceStatus| !one.gpus.is_empty();
        let running = workspaces.workspaces.iter().filter(shares);
        Self {
            loaded: host.host.stack.module_loaded.known().cloned(),
            running: running.filter_map(|one| Some((one.id.clone(), one.pid?))).collect(),
        }
    }
}

/// Watches which libraries workspaces have.
pub struct LibraryWatch<P, K> {
    port: Arc<P>,
    clock: Arc<K>,
    publisher: Arc<Publisher>,
    /// What the last look that worked was about.
    known: Option<LibrariesDue>,
}

impl<P: NvidiaPort, K: Clock> LibraryWatch<P, K> {
    /// One that has not looked yet.
    #[must_use]
    pub fn new(port: &Arc<P>, clock: &Arc<K>, publisher: &Arc<Publisher>) -> Self {
        let (port, clock, publisher) = (Arc::clone(port), Arc::clone(clock), Arc::clone(publisher));
        Self { port, clock, publisher, known: None }
    }

    /// Watches until it is cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let (mut seen, mut workspaces) = (self.publisher.seen(), self.publisher.workspaces());
        loop {
            let due = LibrariesDue::of(&seen.borrow_and_update(), &workspaces.borrow_and_update());
            let again_at = if self.known.as_ref() == Some(&due) {
                None
            } else {
                let is_shown = self.show(&due).await;
                self.known = is_shown.then_some(due);
                (!is_shown).then(|| self.clock.boot_now().plus(AGAIN_AFTER_MS))
            };
            let again = async {
                match again_at {
                    Some(when) => self.clock.sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = seen.changed() => {}
                Ok(()) = workspaces.changed() => {}
                () = again => {}
            }
        }
    }

    /// Looks, and shows what was found. Returns whether it is known.
    async fn show(&self, due: &LibrariesDue) -> bool {
        let Some(loaded) = due.loaded.as_ref().filter(|_| !due.running.is_empty()) else {
            self.shown(&[], "");
            return true;
        };
        let pids = due.running.iter().map(|(_, pid)| *pid).collect();
        // A hand that does not answer is reported elsewhere; what is not known is not reported as over either.
        let Ok(seen) = self.port.driver_libraries(pids).await else { return false };
        self.shown(&stale_workspaces(&due.running, &seen, loaded), loaded);
        true
    }

    /// As a condition, and with each workspace.
    fn shown(&self, stale: &[StaleWorkspace], loaded: &str) {
        self.publisher.show_stale_drivers(stale, loaded);
        match stale_condition(stale, loaded, self.clock.wall_now()) {
            Some(condition) => self.publisher.stand(condition),
            None => self.publisher.lift(STALE_DRIVER),
        }
    }
}
