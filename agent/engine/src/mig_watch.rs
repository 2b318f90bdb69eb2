//! Looks at MIG of a GPU when the driver lists other MIG devices than before: where they are, and whether ours are still there.

use crate::command::Authorized;
use crate::handle::Handle;
use crate::mig_look::look_alone;
use crate::publish::Publisher;
use model::change::UNKNOWN_BOOT;
use model::mig::{Instance, MigListed, MigOnGpu, MigPlaced, MigReturnRequest, OwnedNow};
use model::observation::{Gpu, GpuUse, HostObservation};
use model::ports::{ActPort, Clock};
use model::refusal::Refusal;
use model::time::BootMillis;
use model::{GpuUuid, PciAddress};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// A look that did not work is made again after this, and then after twice as long each time.
const FIRST_AGAIN_AFTER_MS: u64 = 30_000;
/// It is never later than this.
const LAST_AGAIN_AFTER_MS: u64 = 960_000;

/// How far the looks at a GPU are.
#[derive(Debug, Clone)]
struct Watched {
    /// What the driver listed when the last look was begun, and how many changes had ended by then.
    since: (MigListed, u64),
    is_under_way: bool,
    /// The last look worked.
    is_done: bool,
    again_after_ms: u64,
    not_before: BootMillis,
}

/// What a look was made for, and what it showed.
struct Looked {
    uuid: GpuUuid,
    gpu: PciAddress,
    changes: u64,
    seen: Result<MigOnGpu, Refusal>,
}

/// Keeps where the MIG instances of this host are.
pub(crate) struct MigWatcher<A, K> {
    act: Arc<A>,
    clock: Arc<K>,
    handle: Handle,
    publisher: Arc<Publisher>,
    boot_id: String,
    watched: BTreeMap<GpuUuid, Watched>,
    looks: JoinSet<Looked>,
    records: JoinSet<()>,
}

impl<A: ActPort, K: Clock> MigWatcher<A, K> {
    pub(crate) fn new(act: Arc<A>, clock: Arc<K>, handle: Handle, publisher: Arc<Publisher>, boot_id: String) -> Self {
        let (watched, looks, records) = (BTreeMap::new(), JoinSet::new(), JoinSet::new());
        Self { act, clock, handle, publisher, boot_id, watched, looks, records }
    }

    /// Watches until it is cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut shown = self.publisher.shown();
        loop {
            let next = self.turn(&shown.borrow_and_update().clone());
            let clock = Arc::clone(&self.clock);
            let due = async {
                match next {
                    Some(next) => clock.sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = shown.changed() => {}
                Some(ended) = self.looks.join_next(), if !self.looks.is_empty() => self.ended(ended),
                Some(_) = self.records.join_next(), if !self.records.is_empty() => {}
                () = due => {}
            }
        }
    }

    /// Begins the looks that are due. Returns when the next one is due by itself.
    fn turn(&mut self, host: &HostObservation) -> Option<BootMillis> {
        let now = self.clock.boot_now();
        for gpu in &host.gpus {
            if let Some((uuid, listed, changes)) = self.worth_a_look(gpu, host) {
                self.begin(uuid, gpu.pci.address, (listed, changes), now);
            }
        }
        let waiting = self.watched.values().filter(|watched| !watched.is_under_way && !watched.is_done);
        waiting.map(|watched| watched.not_before).filter(|when| *when > now).min()
    }

    /// What the driver lists of a GPU, where a look would show more: it has MIG devices, or had some of ours in this boot, and the last
    /// look was of something else. A change that is under way, or one that is not confirmed, is looked at when it has ended.
    fn worth_a_look(&self, gpu: &Gpu, host: &HostObservation) -> Option<(GpuUuid, MigListed, u64)> {
        let driver = gpu.driver.as_ref()?;
        let uuid = driver.uuid.known()?;
        let listed = MigListed::in_sample(driver, host.host.stack.module_load.get())?;
        let records = self.publisher.records();
        let records = records.borrow();
        let is_at_rest = match gpu.usage {
            GpuUse::Transitioning | GpuUse::Quarantined | GpuUse::Passthrough => false,
            GpuUse::Host | GpuUse::Shared | GpuUse::Mig => {
                records.of(gpu.pci.address).is_none() && records.mig_on_trial(gpu.pci.address).is_none()
            }
        };
        let has_ours = records
            .owned(uuid)
            .is_some_and(|owned| self.is_of_this_boot(&owned.boot_id) && !owned.instances.is_empty());
        let is_known = records.places(uuid).is_some_and(|places| places.hold_for(&listed));
        let is_worth_it = is_at_rest && !is_known && (listed.has_devices() || has_ours);
        is_worth_it.then(|| (uuid.clone(), listed, records.mig_changes(uuid)))
    }

    /// Boots that have no name cannot be distinguished.
    fn is_of_this_boot(&self, boot_id: &str) -> bool {
        boot_id == self.boot_id && boot_id != UNKNOWN_BOOT
    }

    fn begin(&mut self, uuid: GpuUuid, gpu: PciAddress, since: (MigListed, u64), now: BootMillis) {
        let changes = since.1;
        let first = || Watched {
            since: since.clone(),
            is_under_way: false,
            is_done: false,
            again_after_ms: FIRST_AGAIN_AFTER_MS,
            not_before: now,
        };
        let watched = self.watched.entry(uuid.clone()).or_insert_with(first);
        if watched.is_under_way {
            return;
        }
        if watched.since != since {
            *watched = first();
        }
        if watched.is_done || watched.not_before > now {
            return;
        }
        watched.is_under_way = true;
        let (act, publisher) = (Arc::clone(&self.act), Arc::clone(&self.publisher));
        self.looks.spawn(async move {
            let seen = look_alone(&*act, &publisher, gpu).await.map(|(_, seen)| seen);
            Looked { uuid, gpu, changes, seen }
        });
    }

    fn ended(&mut self, ended: Result<Looked, JoinError>) {
        let Looked { uuid, gpu, changes, seen } = match ended {
            Ok(looked) => looked,
            // A bug of ours: the daemon ends, as after every other panic, and begins anew.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(_) => return,
        };
        let now = self.clock.boot_now();
        let Some(watched) = self.watched.get_mut(&uuid) else { return };
        watched.is_under_way = false;
        match seen {
            Ok(seen) => {
                watched.is_done = true;
                self.compare_with_record(&uuid, gpu, &seen);
                self.publisher.note(|records| records.place(uuid, MigPlaced::in_look(&seen), changes));
            }
            Err(why) => {
                watched.not_before = now.plus(watched.again_after_ms);
                watched.again_after_ms = watched.again_after_ms.saturating_mul(2).min(LAST_AGAIN_AFTER_MS);
                tracing::debug!(gpu_bdf = %gpu, "where the MIG instances of {gpu} are could not be read: {why}");
            }
        }
    }

    /// What is recorded as ours and is gone either returns (the driver was loaded again) or is ours no longer (another program destroyed
    /// it).
    fn compare_with_record(&mut self, uuid: &GpuUuid, gpu: PciAddress, seen: &MigOnGpu) {
        let records = self.publisher.records();
        let owned = records.borrow().owned(uuid).filter(|owned| self.is_of_this_boot(&owned.boot_id));
        let Some(owned) = owned else { return };
        match owned.now(seen) {
            OwnedNow::AsRecorded => {}
            OwnedNow::Reloaded(load) => self.publisher.note(|records| records.reloaded(uuid.clone(), load)),
            OwnedNow::Destroyed(instances) => self.forget(gpu, &instances),
        }
    }

    /// Has the record written without them, in the lanes of the GPU and after a look of its own.
    fn forget(&mut self, gpu: PciAddress, instances: &[Instance]) {
        let named: Vec<String> = instances.iter().map(ToString::to_string).collect();
        tracing::info!(
            gpu_bdf = %gpu,
            "another program destroyed MIG instances of {gpu} that gpuhostd had created, and they do not return after a boot: {}",
            named.join(", ")
        );
        let handle = self.handle.clone();
        self.records.spawn(async move {
            let nothing = MigReturnRequest { gpu, instances: Vec::new() };
            if let Err(why) = handle.run(Authorized::bring_back(nothing)).await {
                tracing::debug!(gpu_bdf = %gpu, "the record of the MIG instances of {gpu} could not be written: {why}");
            }
        });
    }
}
