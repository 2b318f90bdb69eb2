//! The part of the engine that changes a host, on a simulated host and with a journal in memory.

#![allow(dead_code, reason = "each file of tests uses its part")]

use crate::common::{ManualClock, NoManager, PATIENCE};
use engine::change::{Change, ChangePorts, Records};
use engine::command::{Actor, Authorized, Command, Origin, Verdict};
use engine::job::{Job, JobState};
use engine::start::Ends;
use model::change::{Phase, decode};
use model::holders::Holders;
use model::observation::Gpu;
use model::plan::{Look, PlanStep, Target};
use model::policy::{Operation, Policy};
use model::ports::{ActFault, ActPort, JournalDocument, JournalFault, JournalPort};
use model::refusal::Refusal;
use model::settings::Settings;
use model::{JobId, PciAddress};
use sim::act::StepFault;
use sim::{SimHost, load};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) const GPU: &str = "0000:07:00.0";
pub(crate) const OTHER: &str = "0000:0f:00.0";

/// A journal that outlives the daemon, and cannot be read where the second says so.
#[derive(Clone, Default)]
pub(crate) struct Disk(
    pub(crate) Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) Arc<Mutex<bool>>,
    /// Names whose documents cannot be read.
    pub(crate) Arc<Mutex<BTreeSet<String>>>,
);

impl JournalPort for Disk {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalFault> {
        if *self.1.lock().unwrap() {
            return Err(JournalFault { attempted: "read /journal".into(), said: "Input/output error".into() });
        }
        let unreadable = self.2.lock().unwrap().clone();
        let document = |(name, bytes): (&String, &Vec<u8>)| JournalDocument {
            name: name.clone(),
            place: format!("/journal/{name}"),
            content: if unreadable.contains(name) { Err("Input/output error".into()) } else { Ok(bytes.clone()) },
        };
        Ok(self.0.lock().unwrap().iter().map(document).collect())
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalFault> {
        self.0.lock().unwrap().insert(name.to_owned(), document);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), JournalFault> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

impl Disk {
    pub(crate) fn phases(&self) -> Vec<Phase> {
        self.0.lock().unwrap().iter().map(|(name, bytes)| decode(name, bytes).unwrap().phase).collect()
    }
}

/// The simulated host, which can be told to hold back the next step for ever.
pub(crate) struct Acting {
    pub(crate) host: SimHost,
    pub(crate) holds_back: Mutex<bool>,
}

impl ActPort for Acting {
    async fn look(&self, target: &Target) -> Result<Look, ActFault> {
        self.host.look(target).await
    }

    async fn holders(&self, target: &Target) -> Result<Holders, ActFault> {
        self.host.holders(target).await
    }

    async fn act(&self, target: &Target, step: &PlanStep) -> Result<(), ActFault> {
        if *self.holds_back.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        self.host.act(target, step).await
    }
}

pub(crate) struct Bench {
    pub(crate) host: SimHost,
    pub(crate) acting: Arc<Acting>,
    pub(crate) disk: Disk,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) handle: engine::handle::Handle,
    pub(crate) records: watch::Receiver<Arc<Records>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) run: tokio::task::JoinHandle<()>,
}

pub(crate) async fn start(host: SimHost, disk: Disk, boot: &str) -> Bench {
    let acting = Arc::new(Acting { host, holds_back: Mutex::new(false) });
    start_on(acting, disk, boot, ManualClock::new()).await
}

pub(crate) async fn start_on(acting: Arc<Acting>, disk: Disk, boot: &str, clock: Arc<ManualClock>) -> Bench {
    let (cancel, host) = (CancellationToken::new(), acting.host.clone());
    let ends = Ends::default();
    let records = ends.publisher().records();
    let ports = ChangePorts {
        act: Arc::clone(&acting),
        journal: Arc::new(disk.clone()),
        clock: Arc::clone(&clock),
        boot_id: boot.to_owned(),
    };
    let settings = watch::channel(Arc::new(Settings::default())).1;
    let policy = watch::channel(Arc::new(Policy::default())).1;
    let engine = ends
        .engine_that_changes(
            (Arc::new(host.clone()), host.changes()),
            (Arc::new(NoManager), settings),
            ports,
            policy,
            cancel.clone(),
        )
        .await;
    let run = tokio::spawn(engine.run);
    let mut seen = engine.handle.observation.clone();
    seen.wait_for(|observation| observation.sequence > 0).await.unwrap();
    Bench { host, acting, disk, clock, handle: engine.handle, records, cancel, run }
}

pub(crate) fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

pub(crate) fn change(operation: Operation, gpu: &str) -> Change {
    Change { operation, gpu: at(gpu), dry_run: false, confirm_within_ms: None, guest_memory_mib: None }
}

pub(crate) fn bind(gpu: &str) -> Change {
    change(Operation::PassthroughBind, gpu)
}

pub(crate) fn release(gpu: &str) -> Change {
    change(Operation::PassthroughRelease, gpu)
}

impl Bench {
    pub(crate) async fn submit(&self, command: Command) -> JobId {
        let actor = Actor { uid: Some(0), origin: Origin::Bus };
        self.handle.submit(Authorized::by(Verdict::Allowed, command, actor).unwrap()).await.unwrap()
    }

    pub(crate) async fn end_of(&self, id: JobId) -> Job {
        let mut jobs = self.handle.jobs.clone();
        let ended = |jobs: &Arc<Vec<Job>>| jobs.iter().any(|job| job.id == id && job.state == JobState::Finished);
        let jobs = tokio::time::timeout(PATIENCE, jobs.wait_for(ended)).await.expect("in time").unwrap();
        jobs.iter().find(|job| job.id == id).unwrap().clone()
    }

    pub(crate) async fn make(&self, change: Change) -> Result<(), Refusal> {
        let id = self.submit(Command::Change(change)).await;
        self.end_of(id).await.result.unwrap()
    }

    pub(crate) async fn until_driver(&self, gpu: &str, wanted: Option<&str>) {
        let mut seen = self.handle.observation.clone();
        let is = |o: &Arc<model::observation::HostObservation>| {
            o.gpu(at(gpu)).unwrap().pci.driver.known().map(|driver| driver.as_str()) == wanted
        };
        tokio::time::timeout(PATIENCE, seen.wait_for(is)).await.expect("in time").unwrap();
    }

    pub(crate) fn driver(&self, gpu: &str) -> Option<String> {
        self.host.state().bus.functions[&at(gpu)].driver.as_ref().map(ToString::to_string)
    }

    /// The GPU as everybody is to see it.
    pub(crate) fn shown(&self, gpu: &str) -> Gpu {
        self.handle.observation.borrow().gpu(at(gpu)).unwrap().clone()
    }

    pub(crate) fn conditions(&self) -> Vec<String> {
        self.handle.observation.borrow().conditions.iter().map(|condition| condition.kind.clone()).collect()
    }

    pub(crate) fn fault(&self, at: u64, fault: StepFault) {
        self.host.change(|state| {
            let next = state.step_faults.taken + at;
            state.step_faults.at.insert(next, fault);
        });
    }

    pub(crate) async fn stop(self) -> (SimHost, Disk) {
        self.cancel.cancel();
        self.run.await.unwrap();
        (self.host, self.disk)
    }
}

/// The host without anybody who uses a GPU, the driver itself included.
pub(crate) fn dgx() -> SimHost {
    let mut description = load("dgx-a100").unwrap();
    for gpu in &mut description.gpus {
        gpu.processes.clear();
        gpu.persistence = false;
    }
    SimHost::new(description).unwrap()
}
