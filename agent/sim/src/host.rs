//! The simulated host behind the ports, and the handle by which a test changes it.

use crate::bad_description::BadDescription;
use crate::bus::Bus;
use crate::description::Description;
use crate::driver::{report, without_values};
use crate::facts::facts;
use crate::faults::{DockerFault, NvmlFault, Signal};
use crate::nvidia_docker::SimDocker;
use crate::scan::scan;
use crate::sensors;
use crate::smi::{SmiBehaviour, Spoilt, behaviour, nvml_error_text};
use crate::state::HostState;
use crate::workspace_docker::SimEngine;
use model::absence::Reading;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::health::kernel_log::KernelLogUnavailable;
use model::host_facts::HostFacts;
use model::judge;
use model::observation::RawObservation;
use model::os_cause::OsCause;
use model::pci::PciScan;
use model::ports::{ChangePort, HostChange, HostPort, KernelLogPort, ScanError};
use std::future::{Future, poll_fn, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The deadline that a hanging probe is claimed to have missed, in milliseconds.
pub const DEADLINE_MS: u64 = 30_000;

const NVML: &str = "libnvidia-ml.so.1";
const SMI: &str = "nvidia-smi";

/// A simulated host. Clones are the same host.
#[derive(Debug, Clone)]
pub struct SimHost {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    state: HostState,
    /// Its Docker, as far as NVIDIA's containers go.
    docker: SimDocker,
    /// Its Docker, as far as workspaces go.
    workspaces: SimEngine,
    /// Who waits for an event of it.
    listeners: Vec<Waker>,
    /// Rises with each change.
    version: u64,
    waiting: Vec<Waker>,
    /// Who waits for the kernel log.
    readers: Vec<Waker>,
}

/// Where the changes of a [`SimHost`] are announced. Several at once count as one.
#[derive(Debug)]
pub struct SimChanges {
    shared: Arc<Mutex<Shared>>,
    seen: u64,
}

impl SimHost {
    /// A host as its description states.
    ///
    /// # Errors
    /// The description describes a bus that cannot be.
    pub fn new(description: Description) -> Result<Self, BadDescription> {
        let workspaces = SimEngine::of(&description);
        let state = HostState::new(description)?;
        Ok(Self {
            shared: Arc::new(Mutex::new(Shared {
                state,
                docker: SimDocker::with_every_image(),
                workspaces,
                listeners: Vec::new(),
                version: 0,
                waiting: Vec::new(),
                readers: Vec::new(),
            })),
        })
    }

    /// Announces the changes from here on.
    #[must_use]
    pub fn changes(&self) -> SimChanges {
        let seen = self.lock().version;
        SimChanges { shared: Arc::clone(&self.shared), seen }
    }

    /// The kernel log from its beginning on.
    #[must_use]
    pub fn kernel_log(&self) -> SimKernelLog {
        SimKernelLog { shared: Arc::clone(&self.shared), taken: 0, greeted: false }
    }

    /// Changes the host, and announces it where udev would: where the bus is another one afterwards.
    pub fn change<T>(&self, how: impl FnOnce(&mut HostState) -> T) -> T {
        let mut shared = self.lock();
        let before = shared.state.bus.clone();
        let logged = shared.state.description.kernel_log.len();
        let result = how(&mut shared.state);
        let mut waiting = Vec::new();
        if shared.state.bus != before {
            shared.version += 1;
            waiting.append(&mut shared.waiting);
        }
        if shared.state.description.kernel_log.len() != logged {
            waiting.append(&mut shared.readers);
        }
        drop(shared);
        waiting.into_iter().for_each(Waker::wake);
        result
    }

    /// Looks at its Docker, as far as NVIDIA's containers go, or changes it.
    pub fn nvidia_docker<T>(&self, look: impl FnOnce(&mut SimDocker) -> T) -> T {
        look(&mut self.lock().docker)
    }

    /// Looks at its Docker, as far as workspaces go, or changes it; events of it are announced.
    pub fn workspaces<T>(&self, look: impl FnOnce(&mut SimEngine) -> T) -> T {
        let mut shared = self.lock();
        let result = look(&mut shared.workspaces);
        let announces = shared.workspaces.has_event() != Ok(false);
        let listeners = if announces { std::mem::take(&mut shared.listeners) } else { Vec::new() };
        drop(shared);
        listeners.into_iter().for_each(Waker::wake);
        result
    }

    /// Whether its Docker has an event of workspaces; where it has none, the waker is woken by the next.
    pub(crate) fn workspaces_event(&self, waker: &Waker) -> Result<bool, String> {
        let mut shared = self.lock();
        let has = shared.workspaces.has_event();
        if has == Ok(false) && !shared.listeners.iter().any(|known| known.will_wake(waker)) {
            shared.listeners.push(waker.clone());
        }
        has
    }

    /// The host as it is now.
    #[must_use]
    pub fn state(&self) -> HostState {
        self.lock().state.clone()
    }

    /// What an observer would be answered now by NVML and nvidia-smi on the host. Each answer took 12 ms.
    #[must_use]
    pub fn asked(&self) -> RawObservation {
        let HostState { description, bus, .. } = self.state();
        let scan = scanned(&description, &bus);
        let mut reports = Vec::new();
        while let Ok(scan) = &scan {
            let sofar = reports.iter().map(|(source, answer, _)| (*source, answer));
            let next = judge::next_source(scan, judge::serves_any(scan), sofar);
            let asked = [DriverSource::Nvml, DriverSource::Smi];
            let Some(source) = next.filter(|source| asked.contains(source)) else { break };
            reports.push((source, probe(&description, &bus, source), 12));
        }
        RawObservation {
            scan: scan.map_err(|fault| fault.to_string()),
            reports,
            docker: docker(&description),
            host: facts(&description, None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

fn scanned(description: &Description, bus: &Bus) -> Result<PciScan, ScanError> {
    if description.faults.no_pci_bus {
        let said = "No such file or directory (os error 2)".to_owned();
        return Err(ScanError { path: "/sys/bus/pci/devices".to_owned(), cause: OsCause::found(said) });
    }
    Ok(scan(bus, &description.faults))
}

/// A test that panicked while it changed the host does not take the host away from the others.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostPort for SimHost {
    fn scan_pci(&self) -> impl Future<Output = Result<PciScan, ScanError>> + Send {
        let HostState { description, bus, .. } = self.state();
        ready(scanned(&description, &bus))
    }

    fn read_host(&self, docker_root: Option<String>) -> impl Future<Output = HostFacts> + Send {
        let HostState { description, driver_load, mig_masters, .. } = self.state();
        let mut facts = facts(&description, docker_root);
        if description.driver.is_some() {
            facts.stack.module_load = Reading::Known(driver_load);
        }
        ready(HostFacts { mig_masters, ..facts })
    }

    fn probe_driver(&self, source: DriverSource) -> impl Future<Output = Result<DriverReport, ProbeError>> + Send {
        let HostState { description, bus, .. } = self.state();
        ready(probe(&description, &bus, source))
    }

    fn read_docker(&self) -> impl Future<Output = Result<DockerFacts, ProbeError>> + Send {
        ready(docker(&self.state().description))
    }
}

impl ChangePort for SimChanges {
    fn next_change(&mut self) -> impl Future<Output = HostChange> + Send {
        poll_fn(|context| {
            let mut shared = lock(&self.shared);
            if shared.version == self.seen {
                if !shared.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    shared.waiting.push(context.waker().clone());
                }
                return Poll::Pending;
            }
            self.seen = shared.version;
            Poll::Ready(HostChange::Devices)
        })
    }
}

/// The kernel log of a [`SimHost`], as a reader of `/dev/kmsg` gets it: from the oldest record on.
#[derive(Debug)]
pub struct SimKernelLog {
    shared: Arc<Mutex<Shared>>,
    taken: usize,
    greeted: bool,
}

impl KernelLogPort for SimKernelLog {
    fn next_lines(&mut self) -> impl Future<Output = Result<Vec<String>, KernelLogUnavailable>> + Send {
        poll_fn(|context| {
            let mut shared = lock(&self.shared);
            let log = shared.state.description.kernel_log.iter().enumerate();
            let lines: Vec<String> = log.skip(self.taken).map(|(number, line)| line.record(number)).collect();
            if lines.is_empty() && self.greeted {
                if !shared.readers.iter().any(|waker| waker.will_wake(context.waker())) {
                    shared.readers.push(context.waker().clone());
                }
                return Poll::Pending;
            }
            self.greeted = true;
            self.taken += lines.len();
            Poll::Ready(Ok(lines))
        })
    }
}

/// What a source answers on this host.
///
/// # Errors
/// What keeps it from answering.
pub fn probe(description: &Description, bus: &Bus, source: DriverSource) -> Result<DriverReport, ProbeError> {
    let in_container = description.driver.as_ref().is_some_and(|driver| driver.in_container);
    match source {
        DriverSource::Nvml => nvml_stands(description).map(|()| report(description, bus, source)),
        DriverSource::Smi => smi_report(description, bus, source),
        DriverSource::SmiInDriverContainer if in_container => {
            docker(description)?;
            smi_report(description, bus, source)
        }
        DriverSource::SmiInDriverContainer => {
            Err(absent("a driver container", "no running container has the label org.gpuhost.Agent1.role=driver"))
        }
        DriverSource::Sysfs => Ok(sensors::report(description, bus)),
    }
}

fn nvml_stands(description: &Description) -> Result<(), ProbeError> {
    let what = NVML.to_owned();
    if description.driver.is_none() {
        return Err(absent(NVML, "cannot open shared object file: No such file or directory"));
    }
    match &description.faults.nvml {
        None
        | Some(
            NvmlFault::Return { .. }
            | NvmlFault::NoEffect { .. }
            | NvmlFault::CrashAfter { .. }
            | NvmlFault::Slow { .. },
        ) => Ok(()),
        Some(NvmlFault::Missing) => Err(absent(NVML, "cannot open shared object file: No such file or directory")),
        Some(NvmlFault::NotALibrary) => Err(absent(NVML, "file too short")),
        Some(NvmlFault::Init(status)) => {
            Err(ProbeError::Failed { what, status: *status, said: nvml_error_text(*status).to_owned() })
        }
        Some(NvmlFault::Crash { signal, .. }) => Err(crashed(NVML, *signal)),
        Some(NvmlFault::Hang { .. }) => Err(ProbeError::Timeout { what, after_ms: DEADLINE_MS }),
    }
}

fn smi_report(description: &Description, bus: &Bus, source: DriverSource) -> Result<DriverReport, ProbeError> {
    let what = SMI.to_owned();
    match behaviour(description, bus) {
        SmiBehaviour::Missing => Err(absent(SMI, "No such file or directory (os error 2)")),
        SmiBehaviour::Hang { .. } => Err(ProbeError::Timeout { what, after_ms: DEADLINE_MS }),
        SmiBehaviour::Crash(signal) => Err(crashed(SMI, signal)),
        SmiBehaviour::Exit { status, text } => {
            Err(ProbeError::Failed { what, status: i32::from(status), said: text.trim().to_owned() })
        }
        SmiBehaviour::Document(Spoilt::Not) => Ok(report(description, bus, source)),
        SmiBehaviour::Document(Spoilt::NotAvailable) => Ok(without_values(report(description, bus, source))),
        SmiBehaviour::Document(Spoilt::Truncated(bytes)) => {
            Err(ProbeError::Garbled { what, why: format!("the document ends after {bytes} bytes") })
        }
        SmiBehaviour::Document(Spoilt::Garbage) => {
            Err(ProbeError::Garbled { what, why: "the answer is not XML".to_owned() })
        }
        SmiBehaviour::Document(Spoilt::EntityBomb) => {
            Err(ProbeError::Garbled { what, why: "the document declares entities".to_owned() })
        }
    }
}

fn docker(description: &Description) -> Result<DockerFacts, ProbeError> {
    let what = "Docker (/var/run/docker.sock)";
    match (&description.faults.docker, &description.docker) {
        (Some(DockerFault::Refused), _) => Err(absent(what, "Connection refused (os error 111)")),
        (Some(DockerFault::Hang), _) => Err(ProbeError::Timeout { what: what.to_owned(), after_ms: DEADLINE_MS }),
        (None, None) => Err(absent(what, "No such file or directory (os error 2)")),
        (None, Some(facts)) => Ok(facts.clone()),
    }
}

fn absent(what: &str, said: &str) -> ProbeError {
    ProbeError::Absent { what: what.to_owned(), said: said.to_owned() }
}

fn crashed(what: &str, signal: Signal) -> ProbeError {
    ProbeError::Crashed { what: what.to_owned(), signal: signal.number() }
}
