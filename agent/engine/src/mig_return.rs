//! After a boot, or after the driver was loaded again: has the MIG instances created again that gpuhostd had created before it, for each
//! GPU once its driver answers.

use crate::change::Records;
use crate::command::Authorized;
use crate::handle::Handle;
use model::change::UNKNOWN_BOOT;
use model::message::Message;
use model::mig::{MigOwned, MigReturnRequest};
use model::observation::{GpuUse, HostObservation};
use model::ports::Clock;
use model::refusal::Refusal;
use model::stack::DriverLoad;
use model::time::BootMillis;
use model::{GpuUuid, PciAddress};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// So often it is tried for a GPU in a run of the daemon.
const ATTEMPTS: u32 = 5;
/// Time between two attempts.
const AGAIN_AFTER_MS: u64 = 30_000;

/// What became of the attempts at a GPU.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    /// The load of the driver after which it is tried; `None` after a boot.
    after: Option<DriverLoad>,
    attempts: u32,
    not_before: BootMillis,
    is_under_way: bool,
}

/// Brings MIG instances back. A GPU that does not answer keeps no other waiting.
pub(crate) struct MigReturner<K> {
    clock: Arc<K>,
    handle: Handle,
    records: watch::Receiver<Arc<Records>>,
    boot_id: String,
    tried: BTreeMap<GpuUuid, Tried>,
    jobs: JoinSet<(GpuUuid, PciAddress, Result<(), Refusal>)>,
}

impl<K: Clock> MigReturner<K> {
    pub(crate) fn new(clock: Arc<K>, handle: Handle, records: watch::Receiver<Arc<Records>>, boot_id: String) -> Self {
        Self { clock, handle, records, boot_id, tried: BTreeMap::new(), jobs: JoinSet::new() }
    }

    /// Works until it is cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut seen = self.handle.observation.clone();
        loop {
            let next = self.turn();
            let clock = Arc::clone(&self.clock);
            let due = async {
                match next {
                    Some(next) => clock.sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = seen.changed() => {}
                Ok(()) = self.records.changed() => {}
                Some(ended) = self.jobs.join_next(), if !self.jobs.is_empty() => self.ended(ended),
                () = due => {}
            }
        }
    }

    /// Starts what is due. Returns when to look again at the latest; `None` = nothing is left.
    fn turn(&mut self) -> Option<BootMillis> {
        let now = self.clock.boot_now();
        // Boots that have no name cannot be told apart, and what is there then may be of this one.
        let records = Arc::clone(&self.records.borrow_and_update());
        let left = records.to_return(&self.boot_id);
        let known = left.filter(|(owned, _)| self.boot_id != UNKNOWN_BOOT && owned.boot_id != UNKNOWN_BOOT);
        let left: Vec<(MigOwned, Option<DriverLoad>)> = known.map(|(owned, after)| (owned.clone(), after)).collect();
        for (owned, after) in &left {
            let tried = self.tried.entry(owned.gpu.clone()).or_default();
            if tried.after != *after && !tried.is_under_way {
                *tried = Tried { after: *after, ..Tried::default() };
            }
        }
        let tried = &self.tried;
        let is_over = |owned: &MigOwned| {
            tried.get(&owned.gpu).is_some_and(|tried| tried.attempts >= ATTEMPTS && !tried.is_under_way)
        };
        let open: Vec<MigOwned> = left.into_iter().map(|(owned, _)| owned).filter(|owned| !is_over(owned)).collect();
        if open.is_empty() {
            return None;
        }
        let host = Arc::clone(&self.handle.observation.borrow());
        for owned in open {
            if let Some(gpu) = ready(&host, &owned.gpu) {
                self.start(now, gpu, &owned);
            }
        }
        let waiting = self.tried.values().filter(|tried| !tried.is_under_way && tried.attempts < ATTEMPTS);
        let next = waiting.map(|tried| tried.not_before).filter(|when| *when > now).min();
        Some(next.unwrap_or_else(|| now.plus(AGAIN_AFTER_MS)))
    }

    fn start(&mut self, now: BootMillis, gpu: PciAddress, owned: &MigOwned) {
        let tried = self.tried.entry(owned.gpu.clone()).or_default();
        if tried.is_under_way || tried.not_before > now {
            return;
        }
        tried.is_under_way = true;
        tried.attempts = tried.attempts.saturating_add(1);
        let (handle, uuid) = (self.handle.clone(), owned.gpu.clone());
        let request = MigReturnRequest { gpu, instances: owned.instances.clone() };
        self.jobs.spawn(async move {
            let end = handle.run(Authorized::bring_back(request)).await.map(drop);
            (uuid, gpu, end)
        });
    }

    fn ended(&mut self, ended: Result<(GpuUuid, PciAddress, Result<(), Refusal>), tokio::task::JoinError>) {
        let (uuid, gpu, end) = match ended {
            Ok(ended) => ended,
            // A bug of ours: the daemon ends, as after every other panic, and begins anew.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(_) => return,
        };
        let Err(why) = end else {
            self.tried.remove(&uuid);
            return;
        };
        let tried = self.tried.entry(uuid).or_default();
        tried.is_under_way = false;
        tried.not_before = self.clock.boot_now().plus(AGAIN_AFTER_MS);
        let (attempt, attempts) = (tried.attempts, ATTEMPTS);
        tracing::warn!(
            message_id = Message::MigNotReturned.id(),
            gpu_bdf = %gpu,
            "the MIG instances that {gpu} had before its driver was loaded could not be created again (attempt {attempt} of {attempts}): {why}"
        );
    }
}

/// The GPU of that UUID, where its driver answers and no change of it is under way.
fn ready(host: &HostObservation, uuid: &GpuUuid) -> Option<PciAddress> {
    let is_it =
        |gpu: &&model::observation::Gpu| gpu.driver.as_ref().is_some_and(|driver| driver.uuid.known() == Some(uuid));
    let gpu = host.gpus.iter().find(is_it)?;
    // A change on trial ends first.
    if gpu.confirm_before.is_some() {
        return None;
    }
    match gpu.usage {
        GpuUse::Transitioning | GpuUse::Quarantined | GpuUse::Passthrough => None,
        GpuUse::Host | GpuUse::Shared | GpuUse::Mig => Some(gpu.pci.address),
    }
}
