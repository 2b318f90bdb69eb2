//! Turns one round of answers into one observation: facts merged by PCI address, reasons for what is missing, verdicts.

mod chain;
mod conditions;
mod merge;
mod remedy;
mod verdict;

pub use verdict::{explain, health_reasons, passthrough_verdict, unschedulable_reason};

use crate::absence::Absence;
use crate::docker::DockerFacts;
use crate::driver::{DriverGpu, DriverReport, DriverSource, MigMode, ProbeFault};
use crate::health::GpuHealth;
use crate::ids::PciAddress;
use crate::observation::{Gpu, HostObservation, ProbeOutcome, RawObservation};
use crate::pci::{GpuFunction, PciScan, VENDOR_NVIDIA};
use crate::time::{BootMillis, UnixMillis};

/// When an observation was made, and which one of this run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Rises by one with each observation of this run.
    pub sequence: u64,
    /// On the wall clock.
    pub observed_at: UnixMillis,
    /// On CLOCK_BOOTTIME.
    pub observed_boot: BootMillis,
}

/// Everything around the GPUs that their verdicts depend on.
struct Around<'a> {
    docker: &'a Result<DockerFacts, ProbeFault>,
    faults: Vec<(DriverSource, &'a ProbeFault)>,
    asked: bool,
    os_id: Option<&'a str>,
}

impl<'a> Around<'a> {
    fn of(raw: &'a RawObservation) -> Self {
        Self {
            docker: &raw.docker,
            faults: raw.reports.iter().filter_map(|(who, said, _)| said.as_ref().err().map(|f| (*who, f))).collect(),
            asked: !raw.reports.is_empty(),
            os_id: raw.host.os_id.known().map(String::as_str),
        }
    }

    /// The fault that says most: one of a source that is there, before one that is not installed.
    fn telling_fault(&self) -> Option<(DriverSource, &'a ProbeFault)> {
        let is_there = |fault: &ProbeFault| !matches!(fault, ProbeFault::Absent { .. });
        self.faults.iter().find(|(_, fault)| is_there(fault)).or_else(|| self.faults.first()).copied()
    }
}

/// Judges one round of answers. Pure: the same input gives the same observation.
///
/// The list of sysfs is the authority: a GPU that only the driver knows is named in `scan_problems`. `previous` gives the
/// conditions that still hold the time since when they do.
#[must_use]
pub fn judge(raw: RawObservation, seen: Seen, previous: Option<&HostObservation>) -> HostObservation {
    let nothing = PciScan::default();
    let scan = raw.scan.as_ref().unwrap_or(&nothing);
    let gpus = judge_gpus(scan, &raw);
    let mut observation = HostObservation {
        sequence: seen.sequence,
        observed_at: seen.observed_at,
        observed_boot: seen.observed_boot,
        gpus,
        groups: scan.groups.clone(),
        iommu_groups_total: scan.iommu_groups_total,
        scan_problems: scan_problems(&raw),
        nvswitches: scan.nvswitches.clone(),
        driver_version: answered(&raw).find_map(|report| report.driver_version.known().cloned()),
        cuda_version: answered(&raw).find_map(|report| report.cuda_version.known().cloned()),
        probes: Vec::new(),
        docker: Err(ProbeFault::HandUnavailable { what: "Docker".to_owned(), said: "not asked".to_owned() }),
        host: crate::host_facts::HostFacts::default(),
        conditions: Vec::new(),
    };
    observation.conditions = conditions::conditions(&observation, &raw, previous);
    observation.probes = raw.reports.into_iter().map(outcome).collect();
    observation.docker = raw.docker;
    observation.host = raw.host;
    observation
}

/// Whether there is a GPU that the NVIDIA driver serves: without one there is nobody to ask, and no process is started.
#[must_use]
pub fn serves_any(scan: &PciScan) -> bool {
    scan.gpus.iter().any(is_served_by_nvidia)
}

/// Whether `nvidia-smi` is worth asking after NVML: where NVML failed or left a GPU that the NVIDIA driver serves without
/// facts or without its MIG devices. Where the scan shows no such GPU there is nothing to ask; `None` = the scan itself failed.
#[must_use]
pub fn needs_smi(scan: Option<&PciScan>, nvml: &Result<DriverReport, ProbeFault>) -> bool {
    let Some(scan) = scan else { return nvml.is_err() };
    let mut served = scan.gpus.iter().filter(|gpu| is_served_by_nvidia(gpu));
    served.any(|gpu| match nvml {
        Ok(report) => report.gpus.iter().find(|said| said.address == gpu.address).is_none_or(leaves_migs_open),
        Err(_) => true,
    })
}

/// NVML's safe calls give no instance ids from driver 470 on, so that it lists no MIG device where there may be some.
fn leaves_migs_open(said: &DriverGpu) -> bool {
    said.mig_current.get() == Some(MigMode::Enabled) && (said.mig_devices.is_empty() || !said.mig_unplaced.is_empty())
}

fn is_served_by_nvidia(gpu: &GpuFunction) -> bool {
    gpu.id.vendor == VENDOR_NVIDIA && gpu.driver.known().is_some_and(|driver| driver.as_str() == "nvidia")
}

fn answered(raw: &RawObservation) -> impl Iterator<Item = &DriverReport> {
    raw.reports.iter().filter_map(|(_, said, _)| said.as_ref().ok())
}

fn outcome((source, said, took_ms): (DriverSource, Result<DriverReport, ProbeFault>, u64)) -> ProbeOutcome {
    match said {
        Ok(report) => ProbeOutcome { source, fault: None, problems: report.problems, took_ms },
        Err(fault) => ProbeOutcome { source, fault: Some(fault), problems: Vec::new(), took_ms },
    }
}

fn judge_gpus(scan: &PciScan, raw: &RawObservation) -> Vec<Gpu> {
    let around = Around::of(raw);
    let mut gpus: Vec<Gpu> = scan.gpus.iter().map(|pci| judge_gpu(pci, scan, raw, &around)).collect();
    gpus.sort_by_key(|gpu| gpu.pci.address);
    gpus.dedup_by_key(|gpu| gpu.pci.address);
    gpus
}

fn judge_gpu(pci: &GpuFunction, scan: &PciScan, raw: &RawObservation, around: &Around<'_>) -> Gpu {
    // What only NVIDIA's tools say of another vendor's GPU is not believed.
    let reports = answered(raw).filter(|_| pci.id.vendor == VENDOR_NVIDIA);
    let (driver, driver_version) = merge::facts(reports, pci.address);
    let driver_absence = driver.is_none().then(|| why_no_facts(pci, around));
    let cause_chain = chain::cause_chain(pci, driver.as_ref(), around);
    let visible_to_runtime = chain::is_visible(pci, &cause_chain);
    let usage = verdict::usage(pci, driver.as_ref());
    let unschedulable_reason = unschedulable_reason(usage, driver.as_ref(), &cause_chain)
        .or_else(|| (!visible_to_runtime).then_some("not_visible_to_runtime"));
    Gpu {
        passthrough: passthrough_verdict(pci, driver.as_ref(), scan),
        pci: pci.clone(),
        driver,
        driver_version,
        driver_absence,
        usage,
        schedulable: unschedulable_reason.is_none(),
        unschedulable_reason: unschedulable_reason.map(str::to_owned),
        cause_chain,
        visible_to_runtime,
        health: GpuHealth::default(),
    }
}

/// Why no source has facts for this GPU.
fn why_no_facts(pci: &GpuFunction, around: &Around<'_>) -> Absence {
    if pci.id.vendor != VENDOR_NVIDIA {
        // No source of ours asks the drivers of other vendors.
        return if pci.driver.known().is_some() { Absence::NotSupported } else { Absence::DriverAbsent };
    }
    if pci.driver.known().is_none_or(|_| !is_served_by_nvidia(pci)) {
        return Absence::DriverAbsent;
    }
    if !around.asked {
        return Absence::NotProbed;
    }
    let hangs = |fault: &ProbeFault| matches!(fault, ProbeFault::Timeout { .. } | ProbeFault::Stuck { .. });
    if around.faults.iter().any(|(_, fault)| hangs(fault)) { Absence::ProbeTimeout } else { Absence::ProbeFailed }
}

/// What the scan and the reports say that is neither GPU nor group.
fn scan_problems(raw: &RawObservation) -> Vec<String> {
    let mut problems = Vec::new();
    let scan = match &raw.scan {
        Ok(scan) => Some(scan),
        Err(why) => {
            problems.push(format!("the PCI bus could not be scanned, so no GPU is listed: {why}"));
            None
        }
    };
    for function in scan.into_iter().flat_map(|scan| &scan.unreadable) {
        problems.push(format!("PCI function {}: cannot read {}: {}", function.name, function.path, function.said));
    }
    for report in answered(raw) {
        problems.extend(report.gpus.iter().filter_map(|gpu| stranger(gpu, scan, report.source)));
    }
    problems
}

/// A GPU that the driver names and sysfs does not.
fn stranger(gpu: &DriverGpu, scan: Option<&PciScan>, source: DriverSource) -> Option<String> {
    let address: PciAddress = gpu.address;
    let source = source.code();
    let Some(scan) = scan else {
        return Some(format!("{source} names a GPU at {address}; it is not listed, because sysfs is the authority"));
    };
    if let Some(parent) = scan.gpus.iter().find(|known| known.virtual_functions.contains(&address)) {
        let parent = parent.address;
        return Some(format!("{source} names {address}, a virtual function of {parent}: it is not a GPU of its own"));
    }
    let known = scan.gpus.iter().any(|known| known.address == address && known.id.vendor == VENDOR_NVIDIA);
    let path = format!("/sys/bus/pci/devices/{address}");
    (!known).then(|| {
        format!("{source} names a GPU at {address}, but there is no GPU of NVIDIA's at {path}: it is not believed")
    })
}
