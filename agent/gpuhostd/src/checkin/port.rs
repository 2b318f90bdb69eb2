//! The port of the check-in for the core's jobs: a bounded queue to the task, and an answer for each ask.

use model::enrol::EnrolmentEdit;
use model::enrol::{EnrolSpec, Farewell};
use model::refusal::Refusal;
use tokio::sync::{mpsc, oneshot};

const QUEUE: usize = 4;

/// What can be asked of the task.
#[derive(Debug)]
pub(super) enum Ask {
    /// Enrol with a manager.
    Enrol(Box<EnrolSpec>, oneshot::Sender<Result<(), Refusal>>),
    /// Change the enrolment.
    Edit(Box<EnrolmentEdit>, oneshot::Sender<Result<(), Refusal>>),
    /// Say goodbye and wipe.
    Leave(oneshot::Sender<Result<Farewell, Refusal>>),
}

/// The check-in as jobs see it.
#[derive(Debug, Clone)]
pub struct CheckinPort {
    asks: mpsc::Sender<Ask>,
}

/// Both ends.
pub(super) fn channel() -> (CheckinPort, mpsc::Receiver<Ask>) {
    let (asks, queue) = mpsc::channel(QUEUE);
    (CheckinPort { asks }, queue)
}

impl CheckinPort {
    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Ask) -> Result<T, Refusal> {
        let stopping = || Refusal::stopping("the check-in");
        let (reply, answer) = oneshot::channel();
        self.asks.try_send(make(reply)).map_err(|fault| match fault {
            mpsc::error::TrySendError::Full(_) => Refusal::Busy {
                why: "the check-in is busy with other requests; try again when they have finished".into(),
            },
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

impl CheckinPort {
    /// Enrols, keeps the credential, and starts to check in. Nothing is kept where it fails.
    ///
    /// # Errors
    /// What the manager or the network reported, with what to do.
    pub async fn enrol(&self, spec: EnrolSpec) -> Result<(), Refusal> {
        self.ask(|reply| Ask::Enrol(Box::new(spec), reply)).await
    }

    /// Changes the enrolment: trust, or the token. It is on disk when this returns.
    ///
    /// # Errors
    /// There is no enrolment that could be changed so, the manager in use would be lost, or it could not be written.
    pub async fn edit(&self, edit: EnrolmentEdit) -> Result<(), Refusal> {
        self.ask(|reply| Ask::Edit(Box::new(edit), reply)).await
    }

    /// Notifies the manager that the host leaves, as far as it answers, and wipes the credential.
    ///
    /// # Errors
    /// The credential could not be wiped.
    pub async fn leave(&self) -> Result<Farewell, Refusal> {
        self.ask(Ask::Leave).await
    }
}
