//! Looks at MIG that readers ask for: each begins after its question, and a GPU is looked at once at a time, by however many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Disk, at, dgx};
use common::{ManualClock, NoManager, PATIENCE};
use engine::change::ChangePorts;
use engine::handle::Handle;
use engine::start::{EngineParts, EnginePorts};
use model::holders::Holders;
use model::plan::{Look, PlanStep, Target};
use model::policy::Policy;
use model::ports::{ActError, ActPort};
use model::settings::Settings;
use sim::SimHost;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Cut up.
const CUT: &str = "0000:47:00.0";
/// Another one that is cut up.
const OTHER: &str = "0000:4e:00.0";

/// The simulated host, of which each look waits for a permit.
struct Slow {
    host: SimHost,
    begun: AtomicU32,
    permits: Semaphore,
}

impl ActPort for Slow {
    async fn look(&self, target: &Target) -> Result<Look, ActError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        self.host.look(target).await
    }

    async fn holders(&self, target: &Target) -> Result<Holders, ActError> {
        self.host.holders(target).await
    }

    async fn act(&self, target: &Target, step: &PlanStep) -> Result<(), ActError> {
        self.host.act(target, step).await
    }
}

async fn start() -> (Arc<Slow>, Handle, DropGuard) {
    let host = dgx();
    let act = Arc::new(Slow { host: host.clone(), begun: AtomicU32::new(0), permits: Semaphore::new(0) });
    let change = ChangePorts {
        act: Arc::clone(&act),
        journal: Arc::new(Disk::default()),
        clock: ManualClock::new(),
        boot_id: "boot".to_owned(),
    };
    let ports = EnginePorts {
        announced: host.changes(),
        host: Arc::new(host),
        manager: Arc::new(NoManager),
        settings: watch::channel(Arc::new(Settings::default())).1,
        policy: watch::channel(Arc::new(Policy::default())).1,
        change,
    };
    let cancel = CancellationToken::new();
    let engine = EngineParts::default().engine(ports, cancel.clone()).await;
    tokio::spawn(engine.run);
    let mut seen = engine.handle.observation.clone();
    let is_known = |o: &Arc<model::observation::HostObservation>| o.gpus.iter().any(|gpu| gpu.driver.is_some());
    tokio::time::timeout(PATIENCE, seen.wait_for(is_known)).await.expect("in time").unwrap();
    // The engine's own looks at the places of each GPU that is cut up come first.
    act.permits.add_permits(64);
    let is_placed = |o: &Arc<model::observation::HostObservation>| {
        let is_cut = |gpu: &&model::observation::Gpu| gpu.driver.as_ref().is_some_and(|it| !it.mig_devices.is_empty());
        o.gpus.iter().filter(is_cut).all(|gpu| gpu.mig_places.is_some())
    };
    tokio::time::timeout(PATIENCE, seen.wait_for(is_placed)).await.expect("in time").unwrap();
    act.permits.forget_permits(64);
    act.begun.store(0, Ordering::SeqCst);
    (act, engine.handle, cancel.drop_guard())
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never saw: {what}"));
}

#[tokio::test]
async fn a_reader_sees_the_instances_and_a_gpu_that_is_not_there_is_named() {
    let (act, handle, _end) = start().await;
    act.permits.add_permits(8);
    let look = handle.look_at_mig(at(CUT)).await.unwrap();
    assert!(look.seen.instances.len() > 1 && look.seen.catalog.known().is_some(), "{look:?}");
    assert_eq!(handle.look_at_mig(at("0000:ff:00.0")).await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn who_comes_during_a_look_gets_a_later_one_and_shares_it_with_all_who_came() {
    let (act, handle, _end) = start().await;
    let ask = |gpu: &'static str| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.look_at_mig(at(gpu)).await })
    };
    let first = ask(CUT);
    until("the first look", || act.begun.load(Ordering::SeqCst) == 1).await;
    let later: Vec<_> = (0..5).map(|_| ask(CUT)).collect();
    let other = ask(OTHER);
    until("the look at the other GPU, which nobody holds up", || act.begun.load(Ordering::SeqCst) == 2).await;
    act.permits.add_permits(2);
    let before = first.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    until("the next look", || act.begun.load(Ordering::SeqCst) == 3).await;
    act.host.change(|state| state.mig.get_mut(&at(CUT)).unwrap().instances.clear());
    act.permits.add_permits(1);
    for reader in later {
        assert!(reader.await.unwrap().unwrap().seen.instances.is_empty(), "it began after the question");
    }
    assert!(!before.seen.instances.is_empty());
    assert_eq!(act.begun.load(Ordering::SeqCst), 3, "five readers share one look");
}
