//! The real check-in of the daemon for one simulated host, in a folder of its own: what the trial of a manager and the benchmarks of
//! many hosts run.

use anyhow::Context as _;
use engine::handle::Handle;
use engine::start::EngineParts;
use gpuhostd::checkin::{self, Checkin, CheckinPort, DesiredEnds};
use gpuhostd::desired::{self, KeeperParts};
use host::front::FileLedger;
use model::checkin::Pins;
use model::enrol::{CheckinStatus, EnrolSpec, Secret};
use model::observation::HostObservation;
use model::ports::Clock;
use model::refusal::Refusal;
use model::settings::{HostNaming, Settings};
use model::workspace_life::WorkspacesState;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running check-in. It ends when it is dropped.
pub struct SimulatedAgent {
    folder: TempDir,
    port: CheckinPort,
    status: watch::Receiver<Arc<CheckinStatus>>,
    cancel: DropGuard,
    task: JoinHandle<()>,
    _seen: watch::Sender<Arc<HostObservation>>,
    _settings: watch::Sender<Arc<Settings>>,
}

impl SimulatedAgent {
    /// Starts it on what was observed of a host and of its workspaces, with its state in a new folder below `root`; nothing is asked
    /// of any manager yet.
    ///
    /// # Errors
    /// No folder can be made there.
    pub async fn begin<C: Clock>(
        seen: Arc<HostObservation>,
        workspaces: WorkspacesState,
        root: &Path,
        clock: Arc<C>,
    ) -> anyhow::Result<Self> {
        let (seen, observed) = watch::channel(seen);
        let folder = tempfile::Builder::new().prefix("gpuhostd-agent.").tempdir_in(root);
        let folder = folder.with_context(|| format!("a folder for the host in {}", root.display()))?;
        let (_, jobs) = watch::channel(Arc::new(Vec::new()));
        let (commands, _) = mpsc::channel(1);
        let (settings, configured) = watch::channel(Arc::new(Settings::default()));
        let (documents, queue) = desired::channel();
        let parts = EngineParts::default();
        // Samples come behind the states, as they do of a host.
        let figures =
            workspaces.workspaces.iter().filter_map(|one| Some((one.id.clone(), one.figures.clone()?))).collect();
        parts.publisher().show_workspaces(workspaces);
        parts.publisher().show_workspace_figures(&figures);
        let ends = DesiredEnds::new(documents, &parts);
        let cancel = CancellationToken::new();
        let Checkin { port, status, work, .. } = checkin::start(
            Handle::new(observed, jobs, commands),
            configured,
            folder.path().to_owned(),
            Arc::clone(&clock),
            ends,
            cancel.clone(),
        );
        let keeper = KeeperParts {
            ledger: Arc::new(FileLedger::below(folder.path())),
            folder: folder.path().join("desired.d"),
            checkin: status.clone(),
            publisher: parts.publisher(),
            clock,
            cancel: cancel.clone(),
        };
        tokio::spawn(desired::start(queue, keeper).await);
        let task = tokio::spawn(work);
        Ok(Self { folder, port, status, cancel: cancel.drop_guard(), task, _seen: seen, _settings: settings })
    }

    /// Asks that manager for an identity, as an administrator does.
    ///
    /// # Errors
    /// What the host answers the administrator.
    pub async fn enrol(&self, url: &str, token: &str, ca_pem: Option<&str>) -> Result<(), Refusal> {
        let spec = EnrolSpec {
            urls: vec![url.to_owned()],
            token: Secret::new(token),
            shared: false,
            ca_pem: ca_pem.map(str::to_owned),
            pins: Pins::default(),
            named: HostNaming::default(),
            unless_enrolled: false,
        };
        self.port.enrol(spec).await
    }

    /// How the check-in is.
    #[must_use]
    pub fn status(&self) -> Arc<CheckinStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// Waits until it is so; false where it is not within `patience`.
    pub async fn until(&self, patience: Duration, is_so: impl Fn(&CheckinStatus) -> bool) -> bool {
        let mut status = self.status.clone();
        tokio::time::timeout(patience, status.wait_for(|now| is_so(now))).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Stops it; its folder is as it leaves it.
    ///
    /// # Errors
    /// The check-in has crashed.
    pub async fn end(self) -> anyhow::Result<TempDir> {
        drop(self.cancel);
        self.task.await.context("the check-in has crashed")?;
        Ok(self.folder)
    }
}
