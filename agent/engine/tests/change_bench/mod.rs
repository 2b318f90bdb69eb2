//! The part of the engine that changes a host, on a simulated host and with a journal in memory.

#![allow(dead_code, reason = "each file of tests uses its part")]

use crate::common::{ManualClock, NoManager, PATIENCE};
use engine::change::{ChangePorts, Records};
use engine::command::{Authorized, Command, Verdict};
use engine::job::{Job, JobOutcome};
use engine::start::{EngineParts, EnginePorts};
use model::PciAddress;
use model::change::{Bind, Change, Phase, decode};
use model::holders::Holders;
use model::mig::MigOwned;
use model::observation::Gpu;
use model::os_cause::OsCause;
use model::plan::{Look, PlanStep, Target};
use model::policy::Policy;
use model::ports::{ActError, ActPort, JournalDocument, JournalError, JournalPort};
use model::refusal::Refusal;
use model::settings::Settings;
use sim::step_faults::StepFault;
use sim::{SimHost, load};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
    /// The number with which every write fails.
    pub(crate) Arc<Mutex<Option<i32>>>,
);

impl JournalPort for Disk {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalError> {
        if *self.1.lock().unwrap() {
            return Err(JournalError {
                attempted: "read".into(),
                path: "/journal".into(),
                cause: OsCause { said: "Input/output error".into(), errno: Some(5) },
            });
        }
        let unreadable = self.2.lock().unwrap().clone();
        let document = |(name, bytes): (&String, &Vec<u8>)| JournalDocument {
            name: name.clone(),
            place: format!("/journal/{name}"),
            content: if unreadable.contains(name) {
                Err(OsCause::found("Input/output error"))
            } else {
                Ok(bytes.clone())
            },
        };
        Ok(self.0.lock().unwrap().iter().map(document).collect())
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalError> {
        if let Some(number) = *self.3.lock().unwrap() {
            return Err(JournalError {
                attempted: "write".into(),
                path: Path::new("/var/lib/gpuhostd/journal").join(name),
                cause: std::io::Error::from_raw_os_error(number).into(),
            });
        }
        self.0.lock().unwrap().insert(name.to_owned(), document);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), JournalError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

impl Disk {
    pub(crate) fn phases(&self) -> Vec<Phase> {
        let all = self.0.lock().unwrap();
        let entries = all.iter().filter(|(name, _)| !MigOwned::is_name(name));
        entries.map(|(name, bytes)| decode(name, bytes).unwrap().phase).collect()
    }
}

/// The simulated host, which can be told to hold back the next step for ever.
pub(crate) struct Acting {
    pub(crate) host: SimHost,
    pub(crate) holds_back: Mutex<bool>,
    /// A card that is pulled out when so many more steps have been asked for.
    pub(crate) pulls: Mutex<Option<(PciAddress, u32)>>,
}

impl ActPort for Acting {
    async fn look(&self, target: &Target) -> Result<Look, ActError> {
        self.host.look(target).await
    }

    async fn holders(&self, target: &Target) -> Result<Holders, ActError> {
        self.host.holders(target).await
    }

    async fn act(&self, target: &Target, step: &PlanStep) -> Result<(), ActError> {
        if *self.holds_back.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        let pulled = {
            let mut pulls = self.pulls.lock().unwrap();
            let now = pulls.filter(|(_, left)| *left == 0).map(|(gpu, _)| gpu);
            *pulls = pulls.filter(|_| now.is_none()).map(|(gpu, left)| (gpu, left - 1));
            now
        };
        if let Some(gpu) = pulled {
            self.host.change(|state| state.unplug(gpu)).unwrap();
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
    pub(crate) set_policy: watch::Sender<Arc<Policy>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) engine: tokio::task::JoinHandle<()>,
}

pub(crate) async fn start(host: SimHost, disk: Disk, boot: &str) -> Bench {
    let acting = Arc::new(Acting { host, holds_back: Mutex::new(false), pulls: Mutex::new(None) });
    start_on(acting, disk, boot, ManualClock::new()).await
}

pub(crate) async fn start_on(acting: Arc<Acting>, disk: Disk, boot: &str, clock: Arc<ManualClock>) -> Bench {
    let (cancel, host) = (CancellationToken::new(), acting.host.clone());
    let parts = EngineParts::default();
    let records = parts.publisher().records();
    let change = ChangePorts {
        act: Arc::clone(&acting),
        journal: Arc::new(disk.clone()),
        clock: Arc::clone(&clock),
        boot_id: boot.to_owned(),
    };
    let settings = watch::channel(Arc::new(Settings::default())).1;
    let (set_policy, policy) = watch::channel(Arc::new(Policy::default()));
    let announced = host.changes();
    let ports =
        EnginePorts { host: Arc::new(host.clone()), announced, manager: Arc::new(NoManager), settings, policy, change };
    let engine = parts.engine(ports, cancel.clone()).await;
    let run = tokio::spawn(engine.run);
    let mut seen = engine.handle.observation.clone();
    seen.wait_for(|observation| observation.sequence > 0).await.unwrap();
    Bench { host, acting, disk, clock, handle: engine.handle, records, set_policy, cancel, engine: run }
}

pub(crate) fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

pub(crate) fn bind(gpu: &str) -> Change {
    Change::PassthroughBind(Bind { gpu: at(gpu), confirm_within_ms: None, guest_memory_mib: None })
}

pub(crate) fn bind_on_trial(gpu: &str, confirm_within_ms: u64) -> Change {
    Change::PassthroughBind(Bind { gpu: at(gpu), confirm_within_ms: Some(confirm_within_ms), guest_memory_mib: None })
}

pub(crate) fn release(gpu: &str) -> Change {
    Change::PassthroughRelease(at(gpu))
}

/// A command of root's.
pub(crate) fn root(command: Command) -> Authorized {
    Authorized::by_local_user(Verdict::Allowed, command, Some(0)).unwrap()
}

impl Bench {
    /// The end of what was asked for.
    pub(crate) async fn run(&self, authorized: Authorized) -> Result<JobOutcome, Refusal> {
        tokio::time::timeout(PATIENCE, self.handle.run(authorized)).await.expect("in time")
    }

    /// The job of a command of root's, as it ended.
    pub(crate) async fn job(&self, command: Command) -> Job {
        let id = self.handle.submit(root(command)).await.unwrap();
        tokio::time::timeout(PATIENCE, self.handle.end_of(id)).await.expect("in time").unwrap()
    }

    pub(crate) async fn make(&self, change: Change) -> Result<JobOutcome, Refusal> {
        self.run(root(Command::Change(change))).await
    }

    pub(crate) async fn plan(&self, change: Change) -> Result<JobOutcome, Refusal> {
        self.run(root(Command::Plan(change))).await
    }

    pub(crate) async fn confirm(&self, gpu: &str) -> Result<JobOutcome, Refusal> {
        self.run(root(Command::Confirm(at(gpu)))).await
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
        self.engine.await.unwrap();
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
