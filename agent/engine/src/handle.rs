//! What the faces of the daemon (D-Bus, check-in) hold of the core: watches to read, one bounded queue to ask.

use crate::command::Authorized;
use crate::job::Job;
use crate::observer::Ask;
use model::JobId;
use model::observation::HostObservation;
use model::refusal::Refusal;
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
    /// Gets the job's number as soon as the job stands in the list.
    pub reply: oneshot::Sender<JobId>,
}

/// The core as its faces see it. Cheap to clone; holds no lock.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The latest observation; sequence 0 until the first has been made.
    pub observation: watch::Receiver<Arc<HostObservation>>,
    /// All jobs that are not yet forgotten, by number.
    pub jobs: watch::Receiver<Arc<Vec<Job>>>,
    commands: mpsc::Sender<Submission>,
    observer: Option<mpsc::Sender<Ask>>,
}

impl Handle {
    /// Ties the ends together; the core keeps the other ends.
    #[must_use]
    pub const fn new(
        observation: watch::Receiver<Arc<HostObservation>>,
        jobs: watch::Receiver<Arc<Vec<Job>>>,
        commands: mpsc::Sender<Submission>,
    ) -> Self {
        Self { observation, jobs, commands, observer: None }
    }

    /// The same, with the way to the observer that [`Handle::sample`] asks.
    #[must_use]
    pub fn with_observer(self, observer: mpsc::Sender<Ask>) -> Self {
        Self { observer: Some(observer), ..self }
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

    /// Hands in what the daemon does of itself; its job stands in the list like any other. Never waits.
    ///
    /// # Errors
    /// `Busy` where the queue is full, `Unavailable` where the core is stopping.
    pub fn hand_in(&self, authorized: Authorized) -> Result<(), Refusal> {
        self.enqueue(authorized).map(|_number| ())
    }

    /// Hands a command in and returns the number of its job, which is visible in `jobs` by then.
    ///
    /// # Errors
    /// `Busy` where the queue is full, `Unavailable` where the core is stopping.
    pub async fn submit(&self, authorized: Authorized) -> Result<JobId, Refusal> {
        self.enqueue(authorized)?.await.map_err(|_| stopping())
    }

    fn enqueue(&self, authorized: Authorized) -> Result<oneshot::Receiver<JobId>, Refusal> {
        let (reply, number) = oneshot::channel();
        self.commands.try_send(Submission { authorized, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Refusal::Busy {
                why: format!("{COMMAND_QUEUE} commands are waiting; try again when some have finished"),
            },
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        Ok(number)
    }
}

fn stopping() -> Refusal {
    Refusal::Unavailable { what: "the daemon's core".into(), why: "it is stopping".into() }
}
