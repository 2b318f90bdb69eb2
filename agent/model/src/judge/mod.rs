//! Turns one round of answers into one observation: facts merged by PCI address, reasons for what is missing, verdicts.

mod asleep;
mod chain;
mod conditions;
mod merge;
mod remedy;
mod verdict;

pub use asleep::{may_ask, may_fall_asleep};
pub use conditions::PCI_SCAN_FAILED;
pub(crate) use remedy::silent as remedy_of_silence;
pub use verdict::{Grounds, decide, unschedulable};
use verdict::{VerdictContext, decide_each};

use crate::absence::Absence;
use crate::docker::DockerFacts;
use crate::driver::{DriverGpu, DriverReport, DriverSource, MigMode, ProbeError, SilentGpu};
use crate::features::Features;
use crate::health::GpuHealth;
use crate::health::lanes::lanes_now;
use crate::host_facts::HostFacts;
use crate::ids::PciAddress;
use crate::observation::{
    Gpu, GpuUse, HostObservation, PassthroughVerdict, ProbeOutcome, RawObservation, StandingChange,
};
use crate::pci::{GpuFunction, PciScan, VENDOR_NVIDIA};
use crate::time::{BootMillis, UnixMillis};
use std::collections::BTreeMap;

/// When an observation was made, and which one of this run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservationMeta {
    /// Rises by one with each observation of this run.
    pub sequence: u64,
    /// On the wall clock.
    pub observed_at: UnixMillis,
    /// On CLOCK_BOOTTIME.
    pub observed_boot: BootMillis,
}

/// Everything around the GPUs that their verdicts depend on.
struct HostContext<'a> {
    docker: &'a Result<DockerFacts, ProbeError>,
    faults: Vec<(DriverSource, &'a ProbeError)>,
    silent: Vec<SilentGpu>,
    asked: bool,
    host: &'a HostFacts,
}

impl<'a> HostContext<'a> {
    fn of(raw: &'a RawObservation) -> Self {
        let nvidias = || raw.reports.iter().filter(|(who, ..)| *who != DriverSource::Sysfs);
        Self {
            docker: &raw.docker,
            faults: nvidias().filter_map(|(who, said, _)| said.as_ref().err().map(|f| (*who, f))).collect(),
            silent: nvidias().flat_map(|(_, said, _)| silent_of(said)).collect(),
            asked: nvidias().next().is_some(),
            host: &raw.host,
        }
    }

    fn os_id(&self) -> Option<&'a str> {
        self.host.os_id.known().map(String::as_str)
    }

    /// What a source reported about this GPU alone, where none has facts of it. One that was not reached gives way to one that
    /// knows.
    fn silence(&self, address: PciAddress) -> Option<&SilentGpu> {
        let of_it = || self.silent.iter().filter(|gpu| gpu.address == address);
        of_it().find(|gpu| gpu.why != Absence::NotProbed).or_else(|| of_it().next())
    }

    /// The fault that reports most: one of a source that is there, before one that is not installed.
    fn telling_fault(&self) -> Option<(DriverSource, &'a ProbeError)> {
        let is_there = |fault: &ProbeError| !matches!(fault, ProbeError::Absent { .. });
        self.faults.iter().find(|(_, fault)| is_there(fault)).or_else(|| self.faults.first()).copied()
    }
}

/// The GPUs for which alone a source did not answer; nvidia-smi may have failed as a whole because of one that it names.
fn silent_of(said: &Result<DriverReport, ProbeError>) -> Vec<SilentGpu> {
    match said {
        Ok(report) => report.silent.clone(),
        Err(ProbeError::Failed { said, .. }) => crate::smi::silent_in(said),
        Err(_) => Vec::new(),
    }
}

/// Judges one round of answers. Pure: the same input gives the same observation.
///
/// The list of sysfs is the authority: a GPU that only the driver knows is named in `scan_problems`. `previous` gives the
/// conditions that still hold the time since when they do, and GPUs that sleep what was known of them.
#[must_use]
pub fn judge(raw: RawObservation, seen: ObservationMeta, previous: Option<&HostObservation>) -> HostObservation {
    let nothing = PciScan::default();
    let scan = raw.scan.as_ref().unwrap_or(&nothing);
    let mut gpus = judge_gpus(scan, &raw, previous);
    let around =
        VerdictContext { groups: &scan.groups, iommu_groups_total: scan.iommu_groups_total, stack: &raw.host.stack };
    decide_each(&mut gpus, &around);
    let conditions = conditions::conditions(&gpus, &raw, seen.observed_at, previous);
    let driver_version = answered(&raw).find_map(|report| report.driver_version.known().cloned());
    let cuda_version = answered(&raw).find_map(|report| report.cuda_version.known().cloned());
    HostObservation {
        sequence: seen.sequence,
        observed_at: seen.observed_at,
        observed_boot: seen.observed_boot,
        gpus,
        groups: scan.groups.clone(),
        iommu_groups_total: scan.iommu_groups_total,
        scan_problems: scan_problems(&raw),
        nvswitches: scan.nvswitches.clone(),
        driver_version,
        cuda_version,
        gone: Vec::new(),
        conditions,
        probes: raw.reports.into_iter().map(outcome).collect(),
        docker: raw.docker,
        host: raw.host,
    }
}

/// Whether there is a GPU that the NVIDIA driver serves: without one there is nobody to ask, and no process is started.
#[must_use]
pub fn serves_any(scan: &PciScan) -> bool {
    scan.gpus.iter().any(serves)
}

/// Whether there is a GPU on a driver whose sensors stand in sysfs.
#[must_use]
pub fn has_sensors(scan: &PciScan) -> bool {
    scan.gpus.iter().any(|gpu| SENSING_DRIVERS.iter().any(|driver| gpu.is_bound_to(driver)))
}

/// Kernel drivers that show measured values of their GPUs in sysfs and hwmon.
pub const SENSING_DRIVERS: [&str; 5] = ["amdgpu", "i915", "nouveau", "radeon", "xe"];

/// Whether `nvidia-smi` is worth asking after NVML: where NVML failed or left a GPU that the NVIDIA driver serves without
/// facts or without its MIG devices. One that NVML was asked for and that did not answer is no reason: nvidia-smi asks NVML too.
/// Where the scan shows no such GPU there is nothing to ask; `None` = the scan itself failed.
#[must_use]
pub fn needs_smi(scan: Option<&PciScan>, nvml: &Result<DriverReport, ProbeError>) -> bool {
    let Some(scan) = scan else { return nvml.is_err() };
    // One that sleeps is left alone, and nvidia-smi asks all of them.
    let mut served = scan.gpus.iter().filter(|gpu| serves(gpu) && !gpu.is_asleep());
    let silent = |report: &DriverReport, gpu: &GpuFunction| report.silent.iter().any(|it| it.address == gpu.address);
    served.any(|gpu| match nvml {
        Ok(report) => match report.gpus.iter().find(|said| said.address == gpu.address) {
            Some(said) => leaves_migs_open(said),
            None => !silent(report, gpu),
        },
        Err(_) => true,
    })
}

/// The source that is to be asked next for facts of these GPUs; `None` when there is nobody left who could add any. NVIDIA's
/// come in the order of trust, a further one only where those before left something open, and not at all where `may_ask` reports
/// so; the sensors of other drivers come last.
#[must_use]
pub fn next_source<'a>(
    scan: &PciScan,
    may_ask: bool,
    answered: impl Iterator<Item = (DriverSource, &'a Result<DriverReport, ProbeError>)>,
) -> Option<DriverSource> {
    let answered: Vec<_> = answered.collect();
    let was_asked = |source: &DriverSource| answered.iter().any(|(who, _)| who == source);
    let is_of_nvidia = |source: &DriverSource| DriverSource::NVIDIA.contains(source);
    let nothing_open = || answered.iter().any(|(source, said)| is_of_nvidia(source) && !needs_smi(Some(scan), said));
    let mut nvidia = DriverSource::NVIDIA.into_iter().filter(|source| !was_asked(source));
    let next = nvidia.next().filter(|_| may_ask && !nothing_open());
    next.or_else(|| Some(DriverSource::Sysfs).filter(|sensors| has_sensors(scan) && !was_asked(sensors)))
}

/// NVML's safe calls give no instance ids from driver 470 on, so that it lists no MIG device where there may be some.
fn leaves_migs_open(said: &DriverGpu) -> bool {
    said.mig_current.get() == Some(MigMode::Enabled) && (said.mig_devices.is_empty() || !said.mig_unplaced.is_empty())
}

/// The NVIDIA driver serves the GPU.
fn serves(gpu: &GpuFunction) -> bool {
    gpu.id.vendor == VENDOR_NVIDIA && gpu.is_bound_to("nvidia")
}

fn answered(raw: &RawObservation) -> impl Iterator<Item = &DriverReport> {
    raw.reports.iter().filter_map(|(_, said, _)| said.as_ref().ok())
}

fn outcome((source, said, took_ms): (DriverSource, Result<DriverReport, ProbeError>, u64)) -> ProbeOutcome {
    match said {
        Ok(report) => ProbeOutcome { source, fault: None, problems: report.problems, took_ms },
        Err(fault) => ProbeOutcome { source, fault: Some(fault), problems: Vec::new(), took_ms },
    }
}

fn judge_gpus(scan: &PciScan, raw: &RawObservation, previous: Option<&HostObservation>) -> Vec<Gpu> {
    let around = HostContext::of(raw);
    let judged = |pci: &GpuFunction| {
        let mut gpu = judge_gpu(pci, facts_of(pci, raw, &around, previous), &around);
        gpu.widest_lanes = widest_lanes(&gpu, previous.and_then(|seen| seen.gpu(pci.address)));
        gpu
    };
    let mut gpus: Vec<Gpu> = scan.gpus.iter().map(judged).collect();
    gpus.sort_by_key(|gpu| gpu.pci.address);
    gpus.dedup_by_key(|gpu| gpu.pci.address);
    gpus
}

/// What is known of a GPU beyond sysfs's own facts.
#[derive(Default)]
struct Known {
    /// Of NVIDIA's tools, or why they have nothing.
    told: Option<DriverGpu>,
    version: Option<String>,
    absence: Option<Absence>,
    /// Why NVIDIA's tools have nothing of this GPU while they answer for others.
    silence: Option<SilentGpu>,
    /// Of the sensors of other drivers.
    sensed: Option<DriverGpu>,
}

fn facts_of(
    pci: &GpuFunction,
    raw: &RawObservation,
    around: &HostContext<'_>,
    previous: Option<&HostObservation>,
) -> Known {
    let reports = |sensors: bool| answered(raw).filter(move |report| (report.source == DriverSource::Sysfs) == sensors);
    // What only NVIDIA's tools say of another vendor's GPU is not believed.
    let of_nvidia = pci.id.vendor == VENDOR_NVIDIA;
    let (mut told, mut version) = merge::facts(reports(false).filter(|_| of_nvidia), pci.address);
    let (mut sensed, _) = merge::facts(reports(true), pci.address);
    if pci.is_asleep() {
        let before = asleep::remembered(pci, previous);
        let slot = if serves(pci) { &mut told } else { &mut sensed };
        *slot = slot.take().or_else(|| before.and_then(|seen| seen.driver.clone())).map(asleep::without_measures);
        version = version.or_else(|| before.and_then(|seen| seen.driver_version.clone()));
    }
    let absence = told.is_none().then(|| why_no_facts(pci, around));
    let silence = told.is_none().then(|| around.silence(pci.address)).flatten().filter(|_| serves(pci)).cloned();
    Known { told, version, absence, silence, sensed }
}

/// The facts of one GPU; the verdict is still open.
fn judge_gpu(pci: &GpuFunction, known: Known, around: &HostContext<'_>) -> Gpu {
    let told = known.told.as_ref();
    let cause_chain = chain::cause_chain(pci, told, around);
    let visible_to_runtime = chain::is_visible(pci, &cause_chain);
    let why = known.absence.clone().unwrap_or(Absence::NotReported);
    Gpu {
        confirm_before: None,
        passthrough: PassthroughVerdict::default(),
        features: Features::new(),
        features_off: BTreeMap::new(),
        is_off: false,
        change: StandingChange::None,
        pci: pci.clone(),
        driver: known.told.or_else(|| known.sensed.map(|sensed| merge::sensed(sensed, &why))),
        driver_version: known.version,
        driver_absence: known.absence,
        usage: GpuUse::Host,
        schedulable: false,
        unschedulable_reason: None,
        cause_chain,
        visible_to_runtime,
        health: GpuHealth::default(),
        silence: known.silence,
        widest_lanes: None,
        mig_places: None,
    }
}

/// Most lanes that the link of this very card was seen with.
fn widest_lanes(gpu: &Gpu, before: Option<&Gpu>) -> Option<u32> {
    let uuid = |gpu: &Gpu| gpu.driver.as_ref().and_then(|said| said.uuid.known().cloned());
    let is_same = |before: &&Gpu| {
        let exchanged = uuid(before).zip(uuid(gpu)).is_some_and(|(before, now)| before != now);
        before.pci.id == gpu.pci.id && !exchanged
    };
    let before = before.filter(is_same).and_then(|before| before.widest_lanes);
    lanes_now(&gpu.pci, gpu.driver.as_ref()).max(before)
}

/// Why no source has facts for this GPU.
fn why_no_facts(pci: &GpuFunction, around: &HostContext<'_>) -> Absence {
    if pci.id.vendor != VENDOR_NVIDIA {
        // No source of ours asks the drivers of other vendors.
        return if pci.driver.known().is_some() { Absence::NotSupported } else { Absence::DriverAbsent };
    }
    if pci.driver.known().is_none_or(|_| !serves(pci)) {
        return Absence::DriverAbsent;
    }
    if pci.is_asleep() {
        return Absence::GpuAsleep;
    }
    if !around.asked {
        return Absence::NotProbed;
    }
    if let Some(silent) = around.silence(pci.address) {
        return silent.why.clone();
    }
    let hangs = |fault: &ProbeError| matches!(fault, ProbeError::Timeout { .. } | ProbeError::Stuck { .. });
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
        return Some(format!("{source} reports a GPU at {address} that sysfs does not have; it is not listed"));
    };
    if let Some(parent) = scan.gpus.iter().find(|known| known.virtual_functions.contains(&address)) {
        let parent = parent.address;
        return Some(format!(
            "{source} reports {address}, which is a virtual function of {parent} and not a GPU of its own"
        ));
    }
    let known = scan.gpus.iter().any(|known| known.address == address && known.id.vendor == VENDOR_NVIDIA);
    let path = format!("/sys/bus/pci/devices/{address}");
    (!known).then(|| {
        format!("{source} reports a GPU at {address}, but there is no NVIDIA GPU at {path}: the report is ignored")
    })
}
