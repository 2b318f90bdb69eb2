//! What outlives a round of NVML: the processes that still wait for a GPU, and which GPUs those are.

use super::suspects::{Suspect, Suspects};
use model::driver::SilentGpu;
use protocol::lines::AskedGpu;
use spawn::{Own, Purpose, Supervisor};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// What processes of NVML are started as: at most one each at a time. More GPUs than these do not hang at once on a host that is
/// worth asking.
const PURPOSES: [&str; 8] = ["nvml", "nvml 2", "nvml 3", "nvml 4", "nvml 5", "nvml 6", "nvml 7", "nvml 8"];

/// Asks NVML, one round at a time. Clones share what they know.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) supervisor: Supervisor,
    /// The disposable child.
    pub(super) child: Own,
    /// `/sys/bus/pci`.
    pub(super) bus: PathBuf,
    suspects: Arc<Mutex<Suspects>>,
    turn: Arc<Semaphore>,
}

impl Asker {
    pub(super) fn new(supervisor: Supervisor, child: Own, bus: PathBuf) -> Self {
        Self { supervisor, child, bus, suspects: Arc::default(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// The turn of one round: released when it goes. `None` where no turn came within this time.
    pub(super) async fn turn(&self, within: Duration) -> Option<SemaphorePermit<'_>> {
        let turn = timeout(within, self.turn.acquire()).await.ok()?.ok()?;
        self.with(|suspects| suspects.release(|purpose| !self.supervisor.is_busy(purpose)));
        Some(turn)
    }

    /// Looks at, or changes, what is known of GPUs that did not answer.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Suspects) -> T) -> T {
        act(&mut self.suspects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A name for a process that is not `taken`, and that no process has which waits for a GPU.
    pub(super) fn free(&self, taken: impl Fn(&str) -> bool) -> Option<Purpose> {
        let held = |purpose: &str| self.with(|suspects| suspects.holds(purpose));
        PURPOSES.into_iter().find(|purpose| !taken(purpose) && !held(purpose)).map(Purpose::Borrowed)
    }

    /// GPUs that did not answer NVML, and were not asked again yet.
    pub(super) fn silent(&self) -> Vec<SilentGpu> {
        let of = |(which, suspect): (&AskedGpu, &Suspect)| match which {
            AskedGpu::At(address) => {
                Some(SilentGpu { address: *address, why: suspect.why.clone(), said: suspect.said.clone() })
            }
            AskedGpu::Index(_) => None,
        };
        self.with(|suspects| suspects.iter().filter_map(of).collect())
    }

    /// A process waits for a GPU after its round.
    pub(super) fn waits(&self) -> bool {
        self.with(|suspects| suspects.any(|purpose| self.supervisor.is_busy(purpose)))
    }
}
