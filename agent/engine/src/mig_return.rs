//! After a boot: has the MIG instances created again that gpuhostd had created before it, for each GPU once its driver answers.

use crate::change::Records;
use crate::command::Authorized;
use crate::handle::Handle;
use model::change::UNKNOWN_BOOT;
use model::message::Message;
use model::mig::{MigOwned, MigReturnRequest};
use model::observation::{GpuUse, HostObservation};
use model::ports::Clock;
use model::refusal::Refusal;
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

    /// Works until nothing is left to return, or until it is cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut seen = self.handle.observation.clone();
        while let Some(next) = self.turn() {
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = seen.changed() => {}
                Some(ended) = self.jobs.join_next(), if !self.jobs.is_empty() => self.ended(ended),
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// Starts what is due. Returns when to look again at the latest; `None` = nothing is left.
    fn turn(&mut self) -> Option<BootMillis> {
        let now = self.clock.boot_now();
        // Boots that have no name cannot be told apart, and what is there then may be of this one.
        let is_over = |tried: &Tried| tried.attempts >= ATTEMPTS && !tried.is_under_way;
        let tried = &self.tried;
        let records = Arc::clone(&self.records.borrow_and_update());
        let open: Vec<MigOwned> = records
            .to_return(&self.boot_id)
            .filter(|owned| self.boot_id != UNKNOWN_BOOT && owned.boot_id != UNKNOWN_BOOT)
            .filter(|owned| !tried.get(&owned.gpu).is_some_and(is_over))
            .cloned()
            .collect();
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
        let tried = self.tried.entry(uuid).or_default();
        tried.is_under_way = false;
        tried.not_before = self.clock.boot_now().plus(AGAIN_AFTER_MS);
        if let Err(why) = end {
            let (attempt, attempts) = (tried.attempts, ATTEMPTS);
            tracing::warn!(
                message_id = Message::MigNotReturned.id(),
                gpu_bdf = %gpu,
                "the MIG instances that {gpu} had before the boot could not be created again (attempt {attempt} of {attempts}): {why}"
            );
        }
    }
}

/// The GPU of that UUID, where its driver answers and no change of it is under way.
fn ready(host: &HostObservation, uuid: &GpuUuid) -> Option<PciAddress> {
    let is_it =
        |gpu: &&model::observation::Gpu| gpu.driver.as_ref().is_some_and(|driver| driver.uuid.known() == Some(uuid));
    let gpu = host.gpus.iter().find(is_it)?;
    match gpu.usage {
        GpuUse::Transitioning | GpuUse::Quarantined | GpuUse::Passthrough => None,
        GpuUse::Host | GpuUse::Shared | GpuUse::Mig => Some(gpu.pci.address),
    }
}
