//! Reads what the doctor wants to know of a host, with the powers of the caller; what he may not read is absent, and shows it.
//!
//! It runs in a process of its own, started by a person; the front never does this.

mod cdi;
mod device;
mod docker;
mod gather;
mod kernel;
mod own;
mod place;
mod process;
mod program;
mod running_daemon;
mod software;

pub use gather::{DoctorArgs, parse, run};

use crate::snapshot;
use host::front::FactsRoot;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DockerFiles, DoctorFacts, GuardedKind, KernelFacts, NvidiaFacts, ServiceFacts};
use model::host_facts::DiskUsage;
use model::settings::Settings;
use model::snapshot::Recorded;
use model::time::UnixMillis;
use place::Place;
use spawn::Own;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// How long the files of the kernel may take: one that hangs in a driver must not keep the rest.
const FILES_WITHIN: Duration = Duration::from_secs(20);

/// Where and how a host is read.
#[derive(Debug, Clone)]
pub struct DoctorRequest {
    /// The root of the file system: `/`; another one is for tests and copies of hosts.
    pub root: PathBuf,
    /// What the daemon is configured to use of Docker and the driver.
    pub settings: Settings,
    /// Files and folders of the daemon that others must not read or write, with what they hold.
    pub guarded: Vec<(PathBuf, GuardedKind)>,
    /// Sockets of the hands.
    pub sockets: Vec<PathBuf>,
    /// The folder of the daemon's state.
    pub state: PathBuf,
    /// The disposable child, which asks NVML.
    pub child: Own,
    /// Version of this gpuhostd.
    pub version: &'static str,
    /// Now.
    pub taken_at: UnixMillis,
}

/// Reads all facts but those of the daemon on the bus and of the managers.
///
/// Each part has its deadline: the files 20 s, each program 20 s, the probes what [`Settings`] give them, Docker 10 s.
pub async fn take(request: &DoctorRequest) -> DoctorFacts {
    let ports = snapshot::SnapshotRequest {
        root: request.root.clone(),
        settings: request.settings.clone(),
        child: request.child.clone(),
    };
    let place = Place::new(&request.root);
    let (recorded, said) = tokio::join!(snapshot::recorded(&ports), program::run(&place));
    let mut facts = DoctorFacts::of(recorded, request.version, request.taken_at);
    facts.as_root = nix::unistd::geteuid().is_root();
    let (owned, host) = (request.clone(), facts.host.clone());
    let read = tokio::task::spawn_blocking(move || files(&owned, &host));
    if let Ok(Ok(files)) = timeout(FILES_WITHIN, read).await {
        (facts.kernel, facts.nvidia, facts.docker, facts.service) = files;
    } else {
        facts.kernel.cmdline = Reading::Absent(Absence::ProbeTimeout);
        facts.kernel.modules = Reading::Absent(Absence::ProbeTimeout);
        facts.nvidia.nodes = Reading::Absent(Absence::ProbeTimeout);
    }
    said.into_facts(&mut facts);
    facts
}

/// Everything that is in files. Blocking.
fn files(request: &DoctorRequest, host: &Recorded) -> (KernelFacts, NvidiaFacts, DockerFiles, ServiceFacts) {
    let place = Place::new(&request.root);
    let gpus = host.scan.as_ref().map(|scan| scan.gpus.as_slice()).unwrap_or_default();
    let kernel = KernelFacts {
        slots: gpus.iter().map(|gpu| device::slot(&place, gpu.address)).collect(),
        hypervisors: process::hypervisors(&place),
        ..kernel::read(&place, host.host.kernel.known().map(String::as_str))
    };
    let nvidia = NvidiaFacts {
        nodes: device::nodes(&place),
        char_links: device::char_links(&place),
        node_mode: device::node_mode(&place),
        cdi: cdi::read(&place, host.docker.as_ref().ok()),
        ..software::read(&place)
    };
    (kernel, nvidia, docker::read(&place), own::read(&place, request))
}

/// The file system that holds a folder, or the nearest one above it that is there.
fn disk(root: &std::path::Path, folder: &std::path::Path) -> Reading<DiskUsage> {
    let inside = folder.strip_prefix("/").unwrap_or(folder);
    let there = inside.ancestors().map(|part| root.join(part)).find(|path| path.exists());
    let path = there.unwrap_or_else(|| root.to_owned());
    FactsRoot::disk(&path.display().to_string())
}
