//! The host of a driver container, for the host hand: looks at it, writes the driver's readiness files, and has PID 1 mount and unmount.

mod as_pid_1;

use host::front::{FactsRoot, StoreError, mark_run_nvidia, remove_readiness_files, write_readiness_files};
use model::absence::Absence;
use model::driver_host::{DriverHostDeed, DriverHostFacts, DriverHostStep, MountStep, RUN_NVIDIA, RunNvidiaMounts};
use model::os_cause::OsCause;
use model::ports::ActError;
use model::time::whole_millis;
use spawn::Supervisor;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// A look takes some ten milliseconds; the list of packages and a file system over the network take longest.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// Looks at the host of a driver container and changes it. Clones share what hangs: a look that does not return is not doubled.
#[derive(Debug, Clone)]
pub struct DriverHostTaker {
    root: FactsRoot,
    systemd_run: PathBuf,
    supervisor: Supervisor,
    looks: Arc<Semaphore>,
    steps: Arc<Semaphore>,
}

impl DriverHostTaker {
    /// On the host below `root`; `systemd_run` is the program by which PID 1 is asked.
    #[must_use]
    pub fn new(root: FactsRoot, systemd_run: impl Into<PathBuf>) -> Self {
        Self {
            root,
            systemd_run: systemd_run.into(),
            supervisor: Supervisor::default(),
            looks: Arc::new(Semaphore::new(1)),
            steps: Arc::new(Semaphore::new(1)),
        }
    }

    /// On this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self::new(FactsRoot::default(), as_pid_1::SYSTEMD_RUN)
    }

    /// Looks at the host; `docker_root` is Docker's root folder.
    ///
    /// # Errors
    /// `Hung` where a file system does not respond, and while an earlier look waits for it.
    pub async fn look(&self, docker_root: Option<String>) -> Result<DriverHostFacts, ActError> {
        let attempted = || "look at the host of the driver container".to_owned();
        let hung = || ActError::Hung { attempted: attempted(), after_ms: whole_millis(LOOK_WITHIN) };
        let turn =
            tokio::time::timeout(LOOK_WITHIN, Arc::clone(&self.looks).acquire_owned()).await.map_err(|_| hung())?;
        let root = self.root.clone();
        let look = tokio::task::spawn_blocking(move || {
            // Held for as long as the look takes, whether or not the caller still waits.
            let _turn = turn;
            root.driver_host(docker_root.as_deref())
        });
        let looked = tokio::time::timeout(LOOK_WITHIN, look).await.map_err(|_| hung())?;
        looked.map_err(|error| refused(attempted(), OsCause::found(error.to_string())))
    }

    /// Takes a step where the host as it is and the policy let it be taken (`allowed` is `host.nvidia.driver`), and looks whether the host
    /// shows it afterwards. One at a time.
    ///
    /// # Errors
    /// What speaks against it, what the host answered (`model::driver_host::is_busy_mount` of a mount that is in use), or that the step had no effect.
    pub async fn act(&self, step: &DriverHostStep, allowed: bool) -> Result<(), ActError> {
        // Never closed; a hand that is being stopped gives up all of its work.
        let _turn = self.steps.acquire().await;
        let facts = self.look(None).await?;
        let unfit = |unfit: model::driver_host::DriverHostUnfit| {
            refused(step.to_string(), OsCause::found(format!("refused by the hand: {unfit}")))
        };
        match step.deed(&facts, allowed).map_err(unfit)? {
            DriverHostDeed::Nothing => Ok(()),
            DriverHostDeed::Run(command) => {
                as_pid_1::run(&self.supervisor, &self.systemd_run, step, &command).await?;
                self.verified(step, &facts).await?;
                self.marked(step).await
            }
            DriverHostDeed::Write => {
                let dev = facts.container_dev;
                self.files(step, move |folder| write_readiness_files(&folder, dev)).await
            }
            DriverHostDeed::Remove => self.files(step, |folder| remove_readiness_files(&folder)).await,
        }
    }

    /// True while a program that PID 1 was asked by hangs.
    #[must_use]
    pub fn hangs(&self) -> bool {
        !self.supervisor.stuck().is_empty() || self.looks.available_permits() == 0
    }

    async fn verified(&self, step: &DriverHostStep, before: &DriverHostFacts) -> Result<(), ActError> {
        let after = self.look(None).await?;
        let missed = match (before.mounts.known(), after.mounts.known()) {
            (Some(before), Some(after)) => step.missed(before, after),
            (_, None) => {
                Some(format!("the mounts cannot be read ({})", after.mounts.absence().map_or("", Absence::code)))
            }
            (None, Some(after)) => step.missed(&RunNvidiaMounts::default(), after),
        };
        missed
            .map_or(Ok(()), |what| Err(refused(step.to_string(), OsCause::found(format!("it had no effect: {what}")))))
    }

    /// The mark is set once the mount is there, and goes with it: a mount that another program makes later is not ours.
    async fn marked(&self, step: &DriverHostStep) -> Result<(), ActError> {
        let ours = match step {
            DriverHostStep::Mounts(MountStep::ShareRunNvidia) => true,
            DriverHostStep::Mounts(MountStep::UnshareRunNvidia) => false,
            DriverHostStep::Mounts(MountStep::Unmount { .. })
            | DriverHostStep::WriteReadiness
            | DriverHostStep::RemoveReadiness => return Ok(()),
        };
        self.files(step, move |folder| mark_run_nvidia(&folder, ours)).await
    }

    async fn files(
        &self,
        step: &DriverHostStep,
        write: impl FnOnce(PathBuf) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), ActError> {
        let folder = self.root.files.join(RUN_NVIDIA.trim_start_matches('/'));
        let written = tokio::task::spawn_blocking(move || write(folder)).await;
        // Without the number of errno(3), whose cures are those of a device.
        let said = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(StoreError::Host { attempted, path, source })) => {
                format!("cannot {attempted} {}: {source}{}", path.display(), remedy(source.kind()))
            }
            Ok(Err(fault)) => fault.to_string(),
            Err(error) => error.to_string(),
        };
        Err(refused(step.to_string(), OsCause::found(said)))
    }
}

/// The folder is made at each boot. Where it was removed, the hand that runs has `/run` read-only.
fn remedy(kind: ErrorKind) -> &'static str {
    if matches!(kind, ErrorKind::NotFound | ErrorKind::ReadOnlyFilesystem) {
        "; `systemd-tmpfiles --create gpuhostd.conf && systemctl restart gpuhostd-host.service` makes the directory again"
    } else {
        ""
    }
}

fn refused(attempted: String, cause: OsCause) -> ActError {
    ActError::Refused { attempted, cause }
}
