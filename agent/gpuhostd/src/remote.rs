//! What jobs do beside changes of the host: enrol, leave, freeze the changes that a manager asks for, accept an epoch
//! again, and acknowledge what is gone.

use crate::checkin::CheckinPort;
use crate::desired::DesiredPort;
use crate::overlay::Overlay;
use crate::roster::Acknowledge;
use engine::publish::Publisher;
use host::front::{StoreError, remove, write_atomic};
use model::PciAddress;
use model::condition::{Condition, ConditionStatus};
use model::desired::Epoch;
use model::enrol::EnrolmentEdit;
use model::enrol::{EnrolSpec, Farewell};
use model::ports::{Clock, ManagerPort};
use model::refusal::Refusal;
use model::settings::HostSetting;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// The file whose being there freezes changes from remote.
const FILE: &str = "remote-lock";
/// Type of the condition that holds while they are frozen.
const LOCKED: &str = "remote_changes_locked";

/// The manager's side of the daemon, as jobs see it.
pub(crate) struct Remote<K> {
    checkin: CheckinPort,
    acknowledge: Acknowledge,
    overlay: Overlay,
    wishes: DesiredPort,
    state: PathBuf,
    publisher: Arc<Publisher>,
    clock: Arc<K>,
    locked: watch::Sender<bool>,
}

impl<K: Clock> Remote<K> {
    /// Ties the ends together, and shows whether an earlier run was asked to freeze changes; `state` is the daemon's folder.
    pub(crate) async fn new(
        (checkin, acknowledge, overlay, wishes): (CheckinPort, Acknowledge, Overlay, DesiredPort),
        state: PathBuf,
        publisher: Arc<Publisher>,
        clock: Arc<K>,
    ) -> Self {
        let file = state.join(FILE);
        // A folder that cannot be looked into is no leave to change anything.
        let locked = tokio::task::spawn_blocking(move || file.try_exists().unwrap_or(true)).await.unwrap_or(true);
        let locked = watch::Sender::new(locked);
        let remote = Self { checkin, acknowledge, overlay, wishes, state, publisher, clock, locked };
        let is_locked = *remote.locked.borrow();
        remote.show(is_locked);
        remote
    }

    /// Whether what a manager requests is frozen.
    pub(crate) fn locked(&self) -> watch::Receiver<bool> {
        self.locked.subscribe()
    }

    fn show(&self, locked: bool) {
        self.locked.send_replace(locked);
        if !locked {
            return self.publisher.lift(LOCKED);
        }
        self.publisher.stand(Condition {
            kind: LOCKED.to_owned(),
            status: ConditionStatus::True,
            reason: "locked".to_owned(),
            message: "an administrator has frozen every change that a manager requests; `gpuhostctl unlock` allows them again"
                .to_owned(),
            since: self.clock.wall_now(),
        });
    }
}

fn write(state: &Path, locked: bool) -> Result<(), StoreError> {
    if locked { write_atomic(state, FILE, b"", 0o600) } else { remove(state, FILE) }
}

impl<K: Clock> ManagerPort for Remote<K> {
    async fn enrol(&self, spec: EnrolSpec) -> Result<(), Refusal> {
        self.checkin.enrol(spec).await
    }

    async fn leave(&self) -> Result<Farewell, Refusal> {
        let farewell = self.checkin.leave().await?;
        // What a manager has set is not this host's own.
        self.overlay.forget().await?;
        Ok(farewell)
    }

    async fn edit_enrolment(&self, edit: EnrolmentEdit) -> Result<(), Refusal> {
        self.checkin.edit(edit).await
    }

    async fn configure(&self, settings: Vec<HostSetting>) -> Result<(), Refusal> {
        self.overlay.configure(settings).await
    }

    async fn lock(&self, locked: bool) -> Result<(), Refusal> {
        let state = self.state.clone();
        let written = tokio::task::spawn_blocking(move || write(&state, locked)).await;
        let fault = |said: String| Refusal::HostFault {
            attempted: format!("record in {} whether remote changes are frozen", self.state.display()),
            said,
        };
        written.map_err(|broken| fault(broken.to_string()))?.map_err(|said| fault(said.to_string()))?;
        self.show(locked);
        Ok(())
    }

    async fn acknowledge_gone(&self, gpu: PciAddress) -> Result<(), Refusal> {
        self.acknowledge.gpu(gpu).await
    }

    async fn accept_epoch(&self, epoch: Epoch) -> Result<(), Refusal> {
        self.wishes.accept_epoch(epoch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::start::EngineParts;
    use host::front::BootClock;
    use model::settings::Settings;
    use tokio_util::sync::CancellationToken;

    async fn start(state: &Path) -> (Remote<BootClock>, EngineParts) {
        let (ends, clock) = (EngineParts::default(), Arc::new(BootClock));
        let settings = watch::channel(Arc::new(Settings::default())).1;
        let crate::checkin::Checkin { port, .. } = crate::checkin::start(
            ends.handle(),
            settings,
            state.to_owned(),
            Arc::clone(&clock),
            crate::checkin::DesiredEnds::new(crate::desired::channel().0, &ends),
            CancellationToken::new(),
        );
        let (acknowledge, _) =
            crate::roster::start(state.to_owned(), ends.publisher(), clock.wall_now(), CancellationToken::new()).await;
        let (overlay, keep) = crate::overlay::start(state.to_owned(), &ends.publisher(), clock.wall_now()).await;
        tokio::spawn(keep(watch::channel(Arc::default()).1, CancellationToken::new()));
        let (wishes, _queue) = crate::desired::channel();
        (Remote::new((port, acknowledge, overlay, wishes), state.to_owned(), ends.publisher(), clock).await, ends)
    }

    fn locked(ends: &EngineParts) -> bool {
        ends.handle().observation.borrow().conditions.iter().any(|one| one.kind == LOCKED)
    }

    #[tokio::test]
    async fn a_lock_outlives_the_daemon_until_it_is_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let (remote, ends) = start(folder.path()).await;
        assert!(!locked(&ends));
        remote.lock(true).await.unwrap();
        assert!(locked(&ends) && locked(&start(folder.path()).await.1));
        remote.lock(false).await.unwrap();
        assert!(!locked(&ends) && !locked(&start(folder.path()).await.1));
        let nowhere = start(&folder.path().join("none")).await.0;
        assert_eq!(nowhere.lock(true).await.unwrap_err().code(), "host_fault");
    }
}
