//! A fresh look at the host, for the job that waits for it.

use crate::observer::Ask;
use model::refusal::Refusal;
use tokio::sync::{mpsc, oneshot};

/// Has everything asked anew, and waits for it: the sources have their own deadlines.
///
/// # Errors
/// `Unavailable` where the observer is stopping.
pub(crate) async fn refresh(observer: &mpsc::Sender<Ask>) -> Result<(), Refusal> {
    let stopping = || Refusal::Unavailable { what: "the observer".into(), why: "the daemon is stopping".into() };
    let (done, answered) = oneshot::channel();
    observer.send(Ask::Refresh(done)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}
