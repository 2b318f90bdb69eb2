//! What the faces of the daemon (D-Bus, check-in) hold of the core: watches to read, one bounded queue to ask.

use crate::command::Authorized;
use crate::job::{Job, JobOutcome, JobState};
use crate::mig_look::{MigLook, MigReader};
use crate::observer::{ALL, Ask, look};
use model::observation::HostObservation;
use model::refusal::Refusal;
use model::{JobId, PciAddress};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How many commands may wait before a further one is answered `busy`.
pub const COMMAND_QUEUE: usize = 64;

/// One submission: the command with its proof, and where the job's number goes.
#[derive(Debug)]
pub struct Submission {
    /// The command.
    pub authorized: Authorized,
    /// Gets the job's number as soon as the job is in the list.
    pub reply: oneshot::Sender<JobId>,
}

/// The core as its faces see it. Cheap to clone; holds no lock.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The latest observation; sequence 0 until the first has been made.
    pub observation: watch::Receiver<Arc<HostObservation>>,
    /// All jobs that are not yet forgotten, by number, with how far they are.
    pub jobs: watch::Receiver<Arc<Vec<Job>>>,
    commands: mpsc::Sender<Submission>,
    observer: Option<mpsc::Sender<Ask>>,
    mig: Option<MigReader>,
}

impl Handle {
    /// Ties the ends together; the core keeps the other ends.
    #[must_use]
    pub const fn new(
        observation: watch::Receiver<Arc<HostObservation>>,
        jobs: watch::Receiver<Arc<Vec<Job>>>,
        commands: mpsc::Sender<Submission>,
    ) -> Self {
        Self { observation, jobs, commands, observer: None, mig: None }
    }

    /// The same, with the way to the observer that [`Handle::sample`] asks.
    #[must_use]
    pub fn with_observer(self, observer: mpsc::Sender<Ask>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same, with the way to the looks that [`Handle::look_at_mig`] asks for.
    #[must_use]
    pub fn with_mig_reader(self, reader: MigReader) -> Self {
        Self { mig: Some(reader), ..self }
    }

    /// MIG of a GPU as it is now, with who uses it.
    ///
    /// # Errors
    /// As [`MigReader::look`].
    pub async fn look_at_mig(&self, gpu: PciAddress) -> Result<MigLook, Refusal> {
        self.mig.as_ref().ok_or_else(stopping)?.look(gpu).await
    }

    /// Returns when measured values of the last second are published, and at the latest after `deadline`: a source that
    /// hangs keeps nobody. However often and by however many it is called, the host is asked once a second at most.
    pub async fn sample(&self, deadline: Duration) {
        let Some(observer) = &self.observer else { return };
        let (done, answered) = oneshot::channel();
        if observer.try_send(Ask::Sample(done)).is_ok() {
            // What is there by then is what can be had.
            let _late = tokio::time::timeout(deadline, answered).await;
        }
    }

    /// Returns when everything that the host can be asked was asked again and is published, or at once where the daemon stops.
    pub async fn look_again(&self) {
        if let Some(observer) = &self.observer {
            let _stopping = look(observer, ALL).await;
        }
    }

    /// Hands a command in and waits for the end of its job. How far it is can be read in `jobs` meanwhile; a caller that is dropped
    /// stops nothing.
    ///
    /// # Errors
    /// The refusal of the job, or that of [`Handle::submit`] and [`Handle::end_of`].
    pub async fn run(&self, authorized: Authorized) -> Result<JobOutcome, Refusal> {
        let id = self.submit(authorized).await?;
        self.end_of(id).await?.result.unwrap_or_else(|| Err(forgotten(id)))
    }

    /// Waits for the end of a job, and gives it as it ended.
    ///
    /// # Errors
    /// `NotFound` where the list has no such job (any more), `Unavailable` where the core stopped before its end.
    pub async fn end_of(&self, id: JobId) -> Result<Job, Refusal> {
        let mut jobs = self.jobs.clone();
        let find = |jobs: &Arc<Vec<Job>>| jobs.iter().find(|job| job.id == id).cloned();
        let is_over = |jobs: &Arc<Vec<Job>>| find(jobs).is_none_or(|job| job.state == JobState::Finished);
        let jobs = jobs.wait_for(is_over).await.map_err(|_| stopping())?;
        find(&jobs).ok_or_else(|| forgotten(id))
    }

    /// Hands a command in and returns the number of its job, which is visible in `jobs` by then.
    ///
    /// # Errors
    /// `Busy` where the queue is full, `Unavailable` where the core is stopping.
    pub async fn submit(&self, authorized: Authorized) -> Result<JobId, Refusal> {
        let (reply, number) = oneshot::channel();
        self.commands.try_send(Submission { authorized, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Refusal::Busy {
                why: format!("{COMMAND_QUEUE} commands are waiting; try again when some have finished"),
            },
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        number.await.map_err(|_| stopping())
    }
}

fn stopping() -> Refusal {
    Refusal::stopping("the daemon's core")
}

fn forgotten(id: JobId) -> Refusal {
    Refusal::NotFound { what: "job".into(), name: id.to_string() }
}
