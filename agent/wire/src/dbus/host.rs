//! What the root object shows: the daemon, the host, and the state of the check-in.

use super::absent::Absent;
use super::value::DictView;
use super::view::view;
use model::absence::Absence;
use model::condition::{Condition, ConditionStatus};
use model::enrol::CheckinStatus;
use model::manager_trust::TrustedBy;
use model::observation::{HostObservation, ProbeOutcome};
use model::readiness::ReadinessStatus;
use model::roster::Known;
use model::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// What this version of the face can do; grows, never shrinks.
pub const FEATURES: [&str; 10] = [
    "rescan",
    "enrolment",
    "observation",
    "metrics",
    "sample",
    "passthrough",
    "lock",
    "gone-gpus",
    "desired-state",
    "trust",
];

view! {
    /// All properties of `org.gpuhost.Agent1.Host`.
    pub struct HostView at HOST_INTERFACE {
        /// Version of the daemon.
        #[dbus(constant)]
        version: String,
        /// What this daemon can do over D-Bus: rescan, enrolment, observation, metrics, sample, passthrough, lock, gone-gpus, desired-state, trust. Members are only ever added.
        #[dbus(constant)]
        features: Vec<String>,
        /// Kernel's host name. May have no value.
        hostname: Option<String>,
        /// Boot id of the kernel. May have no value.
        boot_id: Option<String>,
        /// Release of the kernel. May have no value.
        kernel: Option<String>,
        /// Name of the operating system. May have no value.
        operating_system: Option<String>,
        /// When the host was last observed, in milliseconds since 1970-01-01 UTC. Has no value before the first observation.
        #[dbus(silent)]
        observed_at: Option<u64>,
        /// Number of the observation; 0 = nothing has been observed yet.
        #[dbus(silent)]
        observation_sequence: u64,
        /// GPUs on the PCI bus.
        gpu_count: u32,
        /// GPUs that a workspace may use.
        usable_gpu_count: u32,
        /// NVIDIA GPUs that the container runtime can really inject.
        cuda_gpu_count: u32,
        /// GPUs that were here and are gone, until they return or AcknowledgeGoneGpu is called, even after a restart:
        /// Address (s), PciId (s), Name (s), Uuid (s), Serial (s), LastSeen (t) and GoneSince (t, milliseconds since 1970-01-01 UTC). A
        /// key without a value is left out.
        #[serde(default)]
        gone_gpus: Vec<GoneGpuView>,
        /// PCI addresses of the NVSwitches.
        nv_switches: Vec<String>,
        /// IOMMU groups of the kernel; 0 = the IOMMU is off.
        iommu_group_count: u32,
        /// Version of the NVIDIA driver that answered. May have no value.
        driver_version: Option<String>,
        /// CUDA version of that driver. May have no value.
        cuda_version: Option<String>,
        /// The answer of each source of driver facts: Source (s), Fault (s), Message (s), Problems (as). A key without a value is
        /// left out.
        probes: Vec<ProbeView>,
        /// Problems of the PCI scan, one sentence each.
        scan_problems: Vec<String>,
        /// The engine that answers at Docker's socket: docker or podman. May have no value.
        container_engine: Option<String>,
        /// Version of the engine that answers at Docker's socket. May have no value.
        docker_version: Option<String>,
        /// Why there are no facts from Docker. Has no value if there are.
        docker_fault: Option<String>,
        /// Conditions, as in Kubernetes: Type (s), Status (s: true, false, unknown), Reason (s), Message (s), Since (t,
        /// milliseconds since 1970-01-01 UTC).
        conditions: Vec<ConditionView>,
        /// A condition holds.
        degraded: bool,
        /// State of the check-in: not_enrolled, pending_approval, connecting, ok, unreachable, unauthenticated,
        /// duplicate_identity, upgrade_required or forgotten. Treat an unknown one as not ok.
        manager_state: String,
        /// The manager in use, host:port. May have no value.
        manager: Option<String>,
        /// This host's id with the manager. May have no value.
        server_id: Option<String>,
        /// When the manager last accepted a heartbeat, in milliseconds since 1970-01-01 UTC. May have no value.
        last_heartbeat: Option<u64>,
        /// Heartbeats that a manager accepted since the daemon started.
        #[dbus(silent)]
        heartbeats_accepted: u64,
        /// Heartbeats that failed since the daemon started.
        #[dbus(silent)]
        heartbeats_failed: u64,
        /// Why the last heartbeat failed. May have no value.
        manager_error: Option<String>,
        /// Until when the manager asked this host to wait, in milliseconds since 1970-01-01 UTC. May have no value.
        manager_wait_until: Option<u64>,
        /// What a manager's certificate is verified by: Kind (s: system, authority, pin or any), Source (s: default, configuration,
        /// administrator or manager), Sha256 (s), NotAfter (t, milliseconds since 1970-01-01 UTC), File (s). A key without a value is
        /// left out.
        #[serde(default)]
        manager_trust: Vec<TrustView>,
        /// How far the readiness call of an autoscaled host is: off, waiting (for a gate), reporting, reported or failed. Treat an
        /// unknown one as waiting.
        #[serde(default)]
        readiness: String,
        /// The gates that the readiness call waits for, or why it failed. May have no value.
        #[serde(default)]
        readiness_detail: Option<String>,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

/// What a manager's certificate is verified by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrustView {
    /// `system`, `authority`, `pin` or `any`.
    pub kind: String,
    /// `default`, `configuration`, `administrator` or `manager`.
    pub source: String,
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// When the authority expires, in milliseconds since 1970-01-01 UTC.
    pub not_after: Option<u64>,
    /// File of authorities that the configuration names.
    pub file: Option<String>,
}

impl From<&TrustedBy> for TrustView {
    fn from(by: &TrustedBy) -> Self {
        Self {
            kind: by.kind.code().to_owned(),
            source: by.source.code().to_owned(),
            sha256: by.sha256.clone(),
            not_after: by.until.and_then(millis),
            file: by.file.clone(),
        }
    }
}

/// A standing statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConditionView {
    /// Stable type, `docker_unavailable`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `true`, `false` or `unknown`.
    pub status: String,
    /// Stable reason code.
    pub reason: String,
    /// For people: the thing, what was tried, what the host reported, what to do next.
    pub message: String,
    /// Since when, in milliseconds since 1970-01-01 UTC.
    pub since: Option<u64>,
}

/// A GPU that is gone, as it was last known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GoneGpuView {
    /// PCI address that it had.
    pub address: String,
    /// Vendor and device, `10de:2330`.
    pub pci_id: String,
    /// What it was called.
    pub name: Option<String>,
    /// UUID that its driver gave it.
    pub uuid: Option<String>,
    /// Number on the board.
    pub serial: Option<String>,
    /// When it was last seen, in milliseconds since 1970-01-01 UTC.
    pub last_seen: Option<u64>,
    /// Since when it is gone, in milliseconds since 1970-01-01 UTC.
    pub gone_since: Option<u64>,
}

impl From<&Known> for GoneGpuView {
    fn from(known: &Known) -> Self {
        let card = &known.card;
        Self {
            address: card.address.to_string(),
            pci_id: card.id.to_string(),
            name: card.name.clone(),
            uuid: card.uuid.as_ref().map(ToString::to_string),
            serial: card.serial.clone(),
            last_seen: millis(known.seen_at),
            gone_since: known.gone_at.and_then(millis),
        }
    }
}

/// What one source of driver facts answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProbeView {
    /// `nvml`, `nvidia_smi` or `nvidia_smi_in_driver_container`.
    pub source: String,
    /// Stable code of why it gave no report; `null` where it did.
    pub fault: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// What was wrong with its report.
    pub problems: Vec<String>,
}

/// Milliseconds since 1970 as D-Bus carries them; an instant before 1970 is none.
#[must_use]
pub fn millis(when: UnixMillis) -> Option<u64> {
    u64::try_from(when.0).ok()
}

impl From<&Condition> for ConditionView {
    fn from(condition: &Condition) -> Self {
        let status = match condition.status {
            ConditionStatus::True => "true",
            ConditionStatus::False => "false",
            ConditionStatus::Unknown => "unknown",
        };
        Self {
            kind: condition.kind.clone(),
            status: status.to_owned(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: millis(condition.since),
        }
    }
}

impl From<&ProbeOutcome> for ProbeView {
    fn from(probe: &ProbeOutcome) -> Self {
        Self {
            source: probe.source.code().to_owned(),
            fault: probe.fault.as_ref().map(|fault| fault.code().to_owned()),
            message: probe.fault.as_ref().map(ToString::to_string),
            problems: probe.problems.clone(),
        }
    }
}

impl DictView for ConditionView {}
impl DictView for GoneGpuView {}
impl DictView for ProbeView {}
impl DictView for TrustView {}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl HostView {
    /// The view of one observation, of the check-in and of the readiness call at one instant.
    #[must_use]
    pub fn new(version: &str, seen: &HostObservation, checkin: &CheckinStatus, readiness: &ReadinessStatus) -> Self {
        let mut absent = Absent::default();
        let observed = (seen.sequence > 0).then(|| millis(seen.observed_at)).flatten();
        let why_no_driver = if seen.probes.is_empty() { Absence::NotProbed } else { Absence::ProbeFailed };
        let docker = seen.docker.as_ref();
        let conditions: Vec<_> = seen.conditions.iter().chain(&checkin.conditions).map(ConditionView::from).collect();
        Self {
            version: version.to_owned(),
            features: FEATURES.map(str::to_owned).to_vec(),
            hostname: absent.value("Hostname", seen.host.hostname.clone()),
            boot_id: absent.value("BootId", seen.host.boot_id.clone()),
            kernel: absent.value("Kernel", seen.host.kernel.clone()),
            operating_system: absent.value("OperatingSystem", seen.host.os_name.clone()),
            observed_at: absent.option("ObservedAt", observed, &Absence::NotProbed),
            observation_sequence: seen.sequence,
            gpu_count: count(seen.gpus.len()),
            usable_gpu_count: count(seen.gpus.iter().filter(|gpu| gpu.schedulable).count()),
            cuda_gpu_count: count(seen.cuda_gpu_count()),
            gone_gpus: seen.gone.iter().map(GoneGpuView::from).collect(),
            nv_switches: seen.nvswitches.iter().map(ToString::to_string).collect(),
            iommu_group_count: seen.iommu_groups_total,
            driver_version: absent.option("DriverVersion", seen.driver_version.clone(), &why_no_driver),
            cuda_version: absent.option("CudaVersion", seen.cuda_version.clone(), &why_no_driver),
            probes: seen.probes.iter().map(ProbeView::from).collect(),
            scan_problems: seen.scan_problems.clone(),
            container_engine: absent.option(
                "ContainerEngine",
                docker.ok().map(|facts| facts.engine.code().to_owned()),
                &Absence::ProbeFailed,
            ),
            docker_version: absent.option(
                "DockerVersion",
                docker.ok().and_then(|facts| facts.version.clone()),
                &if docker.is_ok() { Absence::NotReported } else { Absence::ProbeFailed },
            ),
            docker_fault: absent.option("DockerFault", docker.err().map(ToString::to_string), &Absence::None),
            degraded: conditions.iter().any(|condition| condition.status == "true"),
            conditions,
            manager_state: checkin.state.code().to_owned(),
            manager: absent.option("Manager", checkin.manager.clone(), &Absence::None),
            server_id: absent.option("ServerId", checkin.server_id.clone(), &Absence::None),
            last_heartbeat: absent.option("LastHeartbeat", checkin.last_accepted.and_then(millis), &Absence::None),
            heartbeats_accepted: checkin.accepted,
            heartbeats_failed: checkin.failed,
            manager_error: absent.option("ManagerError", checkin.last_error.clone(), &Absence::None),
            manager_wait_until: absent.option("ManagerWaitUntil", checkin.wait_until.and_then(millis), &Absence::None),
            manager_trust: checkin.trust.iter().map(TrustView::from).collect(),
            readiness: readiness.state.code().to_owned(),
            readiness_detail: absent.option("ReadinessDetail", readiness.detail.clone(), &Absence::None),
            absent,
        }
    }
}
