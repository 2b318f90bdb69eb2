//! Asks everything that the observer of the daemon asks, in the same order, and keeps the answers.

use super::{Basket, SnapshotRequest};
use acts::probe::Probes;
use host::front::{self, FactsRoot, Sysfs};
use model::absence::Reading;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::health::{line, record};
use model::host_facts::HostFacts;
use model::judge;
use model::os_cause::OsCause;
use model::pci::PciScan;
use model::ports::ScanError;
use model::snapshot::Recorded;
use std::time::Duration;
use tokio::time::timeout;

/// Docker's facts, from its socket.
const DOCKER_WITHIN: Duration = Duration::from_secs(10);
/// A scan, or the facts of the host.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Asks, and puts the words of nvidia-smi into the basket.
pub(super) async fn record(request: &SnapshotRequest, basket: &mut Basket) -> Recorded {
    let docker = docker::facts(&request.settings.docker.socket, DOCKER_WITHIN).await;
    let host = host_facts(request, docker.as_ref().ok().and_then(|docker| docker.root_dir.clone()), basket).await;
    let scan = scan(request).await;
    let reports = match &scan {
        Ok(scan) => drivers(request, scan, basket).await,
        Err(fault) => {
            basket.miss("the scan of the PCI bus", &fault.to_string());
            Vec::new()
        }
    };
    for (source, answer) in &reports {
        if let Err(fault) = answer {
            basket.miss(source.code(), &fault.to_string());
        }
    }
    write_docker(&docker, basket);
    let name = host.hostname.known().cloned().unwrap_or_else(|| "recorded".to_owned());
    let kernel_log = kernel_log(request, basket).await;
    Recorded { name, scan, reports, docker, host, kernel_log }
}

async fn kernel_log(request: &SnapshotRequest, basket: &mut Basket) -> Option<Vec<String>> {
    let path = request.root.join("dev/kmsg");
    let what = "the kernel log, /dev/kmsg";
    match timeout(READ_WITHIN, tokio::task::spawn_blocking(move || front::kernel_log_at(&path))).await {
        Ok(Ok(Ok(lines))) => return Some(telling(&lines)),
        Ok(Ok(Err(error))) => basket.miss(what, &error.to_string()),
        Ok(Err(ended)) => basket.miss(what, &ended.to_string()),
        Err(_) => basket.miss(what, &format!("it did not finish within {} s", READ_WITHIN.as_secs())),
    }
    None
}

/// Only what the health of GPUs is judged by: the rest of the log is nobody's business.
fn telling(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter(|line| line::record(line).is_some_and(|read| record::event_of(&read).is_some()))
        .cloned()
        .collect()
}

fn write_docker(docker: &Result<DockerFacts, ProbeError>, basket: &mut Basket) {
    match docker {
        Ok(facts) => basket.json("docker.json", facts),
        Err(fault) => basket.miss("Docker", &fault.to_string()),
    }
}

async fn scan(request: &SnapshotRequest) -> Result<PciScan, ScanError> {
    let sysfs = Sysfs::new(request.root.join("sys"));
    let path = "/sys/bus/pci/devices";
    let fault = |said: String| Err(ScanError { path: path.to_owned(), cause: OsCause::found(said) });
    match timeout(READ_WITHIN, tokio::task::spawn_blocking(move || sysfs.scan())).await {
        // A root that is none of ours is no fact of the host.
        Ok(Ok(scan)) => scan.map_err(|fault| ScanError { path: path.to_owned(), ..fault }),
        Ok(Err(ended)) => fault(ended.to_string()),
        Err(_) => fault(format!("it did not answer within {} s", READ_WITHIN.as_secs())),
    }
}

async fn sensors(request: &SnapshotRequest) -> Result<DriverReport, ProbeError> {
    let sysfs = Sysfs::new(request.root.join("sys"));
    let what = || "sensors in sysfs".to_owned();
    match timeout(READ_WITHIN, tokio::task::spawn_blocking(move || sysfs.sensors())).await {
        Ok(Ok(report)) => report,
        Ok(Err(ended)) => Err(ProbeError::Failed { what: what(), status: 0, said: ended.to_string() }),
        Err(_) => Err(ProbeError::Timeout { what: what(), after_ms: READ_WITHIN.as_secs() * 1000 }),
    }
}

async fn host_facts(request: &SnapshotRequest, docker_root: Option<String>, basket: &mut Basket) -> HostFacts {
    let (proc, sys) = (request.root.join("proc"), request.root.join("sys"));
    let os_release = vec![request.root.join("etc"), request.root.join("usr/lib")];
    let facts = FactsRoot { proc, sys, os_release, files: request.root.clone() };
    match timeout(READ_WITHIN, tokio::task::spawn_blocking(move || facts.read(docker_root.as_deref()))).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(_)) | Err(_) => {
            basket
                .miss("the facts of the host", &format!("they were not available within {} s", READ_WITHIN.as_secs()));
            HostFacts { hostname: Reading::default(), ..HostFacts::default() }
        }
    }
}

/// Asks in the order of the daemon, and nvidia-smi in any case: its words are worth having even where NVML left nothing open.
async fn drivers(
    request: &SnapshotRequest,
    scan: &PciScan,
    basket: &mut Basket,
) -> Vec<(DriverSource, Result<DriverReport, ProbeError>)> {
    let settings = &request.settings;
    let probes = Probes::new(request.child.clone(), &request.root.join("sys"));
    let is_served = judge::serves_any(scan);
    if !is_served {
        // nvidia-smi would load the driver's module: a change of the host.
        basket.miss("nvidia-smi, NVML", "not asked: the NVIDIA driver is bound to no GPU");
    }
    let mut reports: Vec<(DriverSource, Result<DriverReport, ProbeError>)> = Vec::new();
    loop {
        let was_asked = |source| reports.iter().any(|(who, _)| *who == source);
        let wants_words = was_asked(DriverSource::Nvml) && !was_asked(DriverSource::Smi);
        let next = judge::next_source(scan, is_served, reports.iter().map(|(who, said)| (*who, said)));
        let next = if wants_words { Some(DriverSource::Smi) } else { next };
        let Some(source) = next else { return reports };
        let answer = match source {
            DriverSource::Nvml => probes.run(source, &settings.nvidia).await,
            DriverSource::Smi => {
                let (words, answer) = probes.smi_with_words(&settings.nvidia).await;
                if let Some(words) = words {
                    basket.text("nvidia-smi.xml", &words);
                }
                answer
            }
            DriverSource::SmiInDriverContainer => {
                let within = Duration::from_millis(settings.nvidia.probe_timeout_ms);
                docker::smi_in_driver_container(&settings.docker.socket, within).await
            }
            DriverSource::Sysfs => sensors(request).await,
        };
        reports.push((source, answer));
    }
}
