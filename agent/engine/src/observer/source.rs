//! The sources of an observation, as one table: when each is asked, how long others wait for it, what it depends on.

use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::judge;
use model::observation::RawObservation;
use model::pci::PciScan;
use model::ports::{Clock, HostPort};
use model::settings::Settings;
use model::{DriverName, PciAddress};

/// What a host is asked for, each at most once at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObserverSource {
    /// The PCI bus and the IOMMU groups.
    Bus,
    /// The drivers of the GPUs: NVML, nvidia-smi, sensors.
    Drivers,
    /// Docker.
    Docker,
    /// The host around the GPUs.
    Host,
}

/// Everything there is.
pub const ALL: &[ObserverSource] =
    &[ObserverSource::Bus, ObserverSource::Drivers, ObserverSource::Docker, ObserverSource::Host];

/// What the plan of a change is made from: of the host, the memory that is free and the files that claim a GPU. Not Docker.
pub const FOR_A_PLAN: &[ObserverSource] = &[ObserverSource::Bus, ObserverSource::Drivers, ObserverSource::Host];

/// What a change has changed.
pub const AFTER_A_CHANGE: &[ObserverSource] = &[ObserverSource::Bus, ObserverSource::Drivers];

/// One row of the table.
pub(super) struct Row {
    /// For people.
    pub(super) name: &'static str,
    /// Whether a periodic sample asks it; what no sample asks is asked once at the start, and when a change is announced.
    pub(super) in_sample: fn(&RawObservation) -> bool,
    /// Whether somebody who watches has it asked and waits for it, in this order.
    pub(super) watched: (bool, bool),
    /// For how long others wait for it, in milliseconds. The port has deadlines of its own; this holds where they fail.
    pub(super) deadline_ms: fn(&Settings) -> u64,
    /// The source that goes first where both are to be asked.
    pub(super) after: Option<ObserverSource>,
    /// What of the other sources it is asked with: it is asked again when that changes.
    pub(super) input: fn(&RawObservation) -> Input,
    /// What is known of it when it has missed its deadline, which was so many milliseconds away.
    pub(super) late: fn(&mut RawObservation, u64),
}

/// What a source is asked with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing that another source knows.
    #[default]
    Nothing,
    /// Which driver each GPU is bound to.
    Bindings(Vec<(PciAddress, Option<DriverName>)>),
    /// The folder whose file system is measured.
    Folder(Option<String>),
}

/// Puts what a source has found into what is known of the host.
pub(super) type Found = Box<dyn FnOnce(&mut RawObservation) + Send>;

/// What one source of driver facts answered, and how long it took in milliseconds.
type Answered = (DriverSource, Result<DriverReport, ProbeError>, u64);

const LOCAL_MS: u64 = 20_000;
const DOCKER_MS: u64 = 30_000;

const BUS: Row = Row {
    name: "the PCI bus",
    // Nobody announces that a GPU has fallen asleep, and asking its driver would wake it: this is read before.
    in_sample: |raw| raw.scan.as_ref().is_ok_and(judge::may_fall_asleep),
    watched: (false, false),
    deadline_ms: |_| LOCAL_MS,
    after: None,
    input: |_| Input::Nothing,
    late: |raw, after_ms| raw.scan = Err(format!("it did not answer within {} s", after_ms / 1000)),
};

const DRIVERS: Row = Row {
    name: "the drivers of the GPUs",
    in_sample: |_| true,
    watched: (true, true),
    // One after the other, and the sensors, which have 5 s.
    deadline_ms: |settings| LOCAL_MS + settings.nvidia.probe_timeout_ms.saturating_mul(4),
    after: Some(ObserverSource::Bus),
    input: |raw| {
        let gpus = raw.scan.as_ref().map(|scan| scan.gpus.as_slice()).unwrap_or_default();
        Input::Bindings(gpus.iter().map(|gpu| (gpu.address, gpu.driver.known().cloned())).collect())
    },
    late: |raw, after_ms| {
        let fault = ProbeError::Timeout { what: "the drivers of the GPUs".to_owned(), after_ms };
        raw.reports = vec![(DriverSource::Nvml, Err(fault), after_ms)];
    },
};

const DOCKER: Row = Row {
    name: "Docker",
    in_sample: |_| true,
    watched: (true, false),
    deadline_ms: |_| DOCKER_MS,
    after: None,
    input: |_| Input::Nothing,
    late: |raw, after_ms| raw.docker = Err(ProbeError::Timeout { what: "Docker".to_owned(), after_ms }),
};

const HOST: Row = Row {
    name: "the host's own facts",
    in_sample: |_| true,
    watched: (true, true),
    deadline_ms: |_| LOCAL_MS,
    // It does not wait for Docker, which may hang; the disk that counts is the one under Docker's root.
    after: None,
    input: |raw| Input::Folder(docker_root(raw)),
    // A file system that hangs takes away nothing that was read before.
    late: |_, _| (),
};

fn docker_root(raw: &RawObservation) -> Option<String> {
    raw.docker.as_ref().ok()?.root_dir.clone()
}

impl ObserverSource {
    /// Its row of the table.
    pub(super) const fn row(self) -> &'static Row {
        match self {
            Self::Bus => &BUS,
            Self::Drivers => &DRIVERS,
            Self::Docker => &DOCKER,
            Self::Host => &HOST,
        }
    }

    /// Asks it, with what is known of the others. `may_ask` lets NVIDIA's driver be asked.
    pub(super) fn question(self, raw: &RawObservation, may_ask: impl FnOnce(&PciScan) -> bool) -> Question {
        match self {
            Self::Bus => Question::Bus,
            Self::Drivers => {
                let scan = raw.scan.clone().unwrap_or_default();
                Question::Drivers { may_ask: may_ask(&scan), scan }
            }
            Self::Docker => Question::Docker,
            Self::Host => Question::Host { docker_root: docker_root(raw) },
        }
    }
}

/// A source with all that asking it takes.
pub(super) enum Question {
    Bus,
    Drivers { scan: PciScan, may_ask: bool },
    Docker,
    Host { docker_root: Option<String> },
}

impl Question {
    /// Asks the host.
    pub(super) async fn ask<H: HostPort, K: Clock>(self, host: &H, clock: &K) -> Found {
        match self {
            Self::Bus => {
                let scan = host.scan_pci().await.map_err(|fault| fault.to_string());
                Box::new(|raw| raw.scan = scan)
            }
            Self::Drivers { scan, may_ask } => {
                let reports = ask_drivers(host, clock, &scan, may_ask).await;
                Box::new(|raw| raw.reports = reports)
            }
            Self::Docker => {
                let docker: Result<DockerFacts, ProbeError> = host.read_docker().await;
                Box::new(|raw| raw.docker = docker)
            }
            Self::Host { docker_root } => {
                let facts = host.read_host(docker_root).await;
                Box::new(|raw| raw.host = facts)
            }
        }
    }
}

/// Asks the sources of driver facts in the order of trust, as far as that wakes no GPU.
async fn ask_drivers<H: HostPort, K: Clock>(host: &H, clock: &K, scan: &PciScan, may_ask: bool) -> Vec<Answered> {
    let mut answered: Vec<Answered> = Vec::new();
    loop {
        let sofar = answered.iter().map(|(source, answer, _)| (*source, answer));
        let Some(source) = judge::next_source(scan, may_ask, sofar) else { return answered };
        let begin = clock.boot_now();
        let answer = host.probe_driver(source).await;
        answered.push((source, answer, clock.boot_now().since(begin)));
    }
}
