//! `org.gpuhost.Agent1.Host` on the root object.

use super::dict::{Dict, dicts};
use super::enrol_options::{self, EnrolOptions};
use super::face::Face;
use super::failure::{NoValue, Refused};
use super::job::job_view;
use super::options::{Options, Parser};
use super::shown::Shown;
use super::submit::Submitter;
use super::{Moment, Sources, token};
use engine::command::Command;
use host::front::BootClock;
use model::PciAddress;
use model::ports::Clock;
use model::refusal::Refusal;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::dbus::gpu::GpuView;
use wire::dbus::group::GroupView;
use wire::dbus::host::HostView;
use wire::dbus::load::LoadView;
use wire::dbus::snapshot::Snapshot;
use wire::dbus::{HOST_INTERFACE, ROOT_PATH};
use zbus::message::Header;
use zbus::{OwnedFd, OwnedObjectPath};

/// How long a caller of `Sample` waits for fresh values.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(2);
/// So many callers of `Sample` wait at once; more get what is known.
const SAMPLES: usize = 16;

type Result<T, E = NoValue> = std::result::Result<T, E>;

/// The daemon, the host, and the check-in.
#[derive(Debug)]
pub(super) struct HostObject {
    face: Face<HostView>,
    sources: Sources,
    submitter: Submitter,
    enrolments: token::Turnstile,
    samples: Semaphore,
}

/// What the root object shows of one instant.
pub(super) fn host_view(now: &Moment) -> HostView {
    HostView::new(env!("CARGO_PKG_VERSION"), &now.seen, &now.checkin)
}

fn snapshot(now: &Moment) -> Snapshot {
    Snapshot {
        host: host_view(now),
        gpus: now.seen.gpus.iter().map(GpuView::from).collect(),
        iommu_groups: now.seen.groups.iter().map(GroupView::from).collect(),
        jobs: now.jobs.iter().map(job_view).collect(),
        load: LoadView::new(&now.seen, &now.checkin, BootClock.wall_now()),
    }
}

fn written(now: &Moment) -> Result<String, Refused> {
    let fault = |e: serde_json::Error| Refusal::HostFault {
        attempted: "write the observation as JSON".into(),
        said: e.to_string(),
    };
    Ok(serde_json::to_string(&snapshot(now)).map_err(fault)?)
}

impl HostObject {
    /// The object, and its place in the tree.
    pub(super) fn new(sources: &Sources, submitter: Submitter) -> (Self, Shown<HostView>) {
        let (shown, face) = Shown::new(ROOT_PATH.to_owned(), host_view(&sources.now()));
        (
            Self {
                face,
                sources: sources.clone(),
                submitter,
                enrolments: token::Turnstile::new(),
                samples: Semaphore::new(SAMPLES),
            },
            shown,
        )
    }
}

#[zbus::interface(name = "org.gpuhost.Agent1.Host")]
impl HostObject {
    /// Everything that all objects show at this instant, in one JSON document: Host, Gpus (with Metrics), IommuGroups, Jobs,
    /// each property under its D-Bus name, null where it has no value; and Load, how busy the host is. Options: none.
    #[zbus(out_args("observation"))]
    async fn get_observation(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String, Refused> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, HOST_INTERFACE, "GetObservation", plain, &[]).await?;
        written(&self.sources.now())
    }

    /// The same document as GetObservation, with values that change over time (driver, Docker, the host's load) no older than
    /// one second. All callers together cause at most one query of the host a second, and only while they call. A source that
    /// does not answer delays the reply by at most two seconds; the reply then has its last values. Options: none.
    #[zbus(out_args("observation"))]
    async fn sample(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String, Refused> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, HOST_INTERFACE, "Sample", plain, &[]).await?;
        if let Ok(_place) = self.samples.try_acquire() {
            self.sources.handle.sample(SAMPLE_DEADLINE).await;
        }
        written(&self.sources.now())
    }

    /// Scans the PCI bus and queries all sources again. Action: org.gpuhost.agent1.rescan. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn rescan(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Refused> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Rescan", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Rescan)?).await
    }

    /// Enrols with a manager. The token is read from a pipe, file or socket (at most 4 KiB), so that it is in no message.
    /// urls: https addresses, the first that answers is used. Action: org.gpuhost.agent1.manage-enrolment. Options: ca-pem (s:
    /// the only authorities to trust), pin-sha256 (s: the certificate to trust instead, or two with a comma between them), shared
    /// (b: the token is a shared one that is kept and sent with each heartbeat), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn enroll(
        &self,
        token: OwnedFd,
        urls: Vec<String>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Refused> {
        let mut parser = Parser::new(options);
        let wanted = EnrolOptions::take(&mut parser)?;
        let plain = parser.finish()?;
        let urls = enrol_options::checked_urls(urls)?;
        let shown = urls.join(" ");
        let details = [("manager", shown.as_str())];
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Enroll", plain, &details).await?;
        let token = self.enrolments.read(token.into()).await?;
        let spec = wanted.spec(urls, token);
        self.submitter.submit(admission.authorize(Command::Enrol(Box::new(spec)))?).await
    }

    /// Leaves the manager and wipes the credential. Action: org.gpuhost.agent1.manage-enrolment. Options:
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn leave(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Refused> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Leave", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Leave)?).await
    }

    /// Freezes every change of this host that a manager requests, until Unlock, even after a restart. Requests made on this
    /// host are still served. Action: org.gpuhost.agent1.lock. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn lock(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Refused> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Lock", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Lock(true))?).await
    }

    /// Ends the freeze of Lock. Action: org.gpuhost.agent1.lock. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn unlock(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Refused> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Unlock", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Lock(false))?).await
    }

    /// Acknowledges that the GPU at this address is gone: it is no longer in GoneGpus. Action: org.gpuhost.agent1.acknowledge.
    /// Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn acknowledge_gone_gpu(
        &self,
        address: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Refused> {
        let plain = Parser::new(options).finish()?;
        let wrong = |fault: model::ids::BadIdentity| Refusal::InvalidArgument {
            argument: "address".to_owned(),
            why: fault.to_string(),
        };
        let gpu: PciAddress = address.parse().map_err(wrong)?;
        let shown = gpu.to_string();
        let details = [("gpu", shown.as_str())];
        let admission =
            self.submitter.gate.admit(&header, HOST_INTERFACE, "AcknowledgeGoneGpu", plain, &details).await?;
        self.submitter.submit(admission.authorize(Command::AcknowledgeGone(gpu))?).await
    }

    /// Version of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        self.face.now().version.clone()
    }

    /// What this daemon can do over D-Bus: rescan, enrolment, observation, metrics, sample, passthrough, lock, gone-gpus. Members are only ever added.
    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> Vec<String> {
        self.face.now().features.clone()
    }

    /// Kernel's host name. May have no value.
    #[zbus(property)]
    fn hostname(&self) -> Result<String> {
        self.face.value("Hostname", |host| host.hostname.clone())
    }

    /// Boot id of the kernel. May have no value.
    #[zbus(property)]
    fn boot_id(&self) -> Result<String> {
        self.face.value("BootId", |host| host.boot_id.clone())
    }

    /// Release of the kernel. May have no value.
    #[zbus(property)]
    fn kernel(&self) -> Result<String> {
        self.face.value("Kernel", |host| host.kernel.clone())
    }

    /// Name of the operating system. May have no value.
    #[zbus(property)]
    fn operating_system(&self) -> Result<String> {
        self.face.value("OperatingSystem", |host| host.operating_system.clone())
    }

    /// When the host was last observed, in milliseconds since 1970-01-01 UTC. Has no value before the first observation.
    #[zbus(property(emits_changed_signal = "false"))]
    fn observed_at(&self) -> Result<u64> {
        self.face.value("ObservedAt", |host| host.observed_at)
    }

    /// Number of the observation; 0 = nothing has been observed yet.
    #[zbus(property(emits_changed_signal = "false"))]
    fn observation_sequence(&self) -> u64 {
        self.face.now().observation_sequence
    }

    /// GPUs on the PCI bus.
    #[zbus(property)]
    fn gpu_count(&self) -> u32 {
        self.face.now().gpu_count
    }

    /// GPUs that a workspace may use.
    #[zbus(property)]
    fn usable_gpu_count(&self) -> u32 {
        self.face.now().usable_gpu_count
    }

    /// NVIDIA GPUs that the container runtime can really inject.
    #[zbus(property)]
    fn cuda_gpu_count(&self) -> u32 {
        self.face.now().cuda_gpu_count
    }

    /// GPUs that were here and are gone, until they return or AcknowledgeGoneGpu is called, even after a restart:
    /// Address (s), PciId (s), Name (s), Uuid (s), Serial (s), LastSeen (t) and GoneSince (t, milliseconds since 1970-01-01 UTC). A
    /// key without a value is left out.
    #[zbus(property)]
    fn gone_gpus(&self) -> Vec<Dict> {
        dicts(&self.face.now().gone_gpus)
    }

    /// PCI addresses of the NVSwitches.
    #[zbus(property)]
    fn nv_switches(&self) -> Vec<String> {
        self.face.now().nv_switches.clone()
    }

    /// IOMMU groups of the kernel; 0 = the IOMMU is off.
    #[zbus(property)]
    fn iommu_group_count(&self) -> u32 {
        self.face.now().iommu_group_count
    }

    /// Version of the NVIDIA driver that answered. May have no value.
    #[zbus(property)]
    fn driver_version(&self) -> Result<String> {
        self.face.value("DriverVersion", |host| host.driver_version.clone())
    }

    /// CUDA version of that driver. May have no value.
    #[zbus(property)]
    fn cuda_version(&self) -> Result<String> {
        self.face.value("CudaVersion", |host| host.cuda_version.clone())
    }

    /// The answer of each source of driver facts: Source (s), Fault (s), Message (s), Problems (as). A key without a value is
    /// left out.
    #[zbus(property)]
    fn probes(&self) -> Vec<Dict> {
        dicts(&self.face.now().probes)
    }

    /// Problems of the PCI scan, one sentence each.
    #[zbus(property)]
    fn scan_problems(&self) -> Vec<String> {
        self.face.now().scan_problems.clone()
    }

    /// The engine that answers at Docker's socket: docker or podman. May have no value.
    #[zbus(property)]
    fn container_engine(&self) -> Result<String> {
        self.face.value("ContainerEngine", |host| host.container_engine.clone())
    }

    /// Version of the engine that answers at Docker's socket. May have no value.
    #[zbus(property)]
    fn docker_version(&self) -> Result<String> {
        self.face.value("DockerVersion", |host| host.docker_version.clone())
    }

    /// Why there are no facts from Docker. Has no value if there are.
    #[zbus(property)]
    fn docker_fault(&self) -> Result<String> {
        self.face.value("DockerFault", |host| host.docker_fault.clone())
    }

    /// Conditions, as in Kubernetes: Type (s), Status (s: true, false, unknown), Reason (s), Message (s), Since (t,
    /// milliseconds since 1970-01-01 UTC).
    #[zbus(property)]
    fn conditions(&self) -> Vec<Dict> {
        dicts(&self.face.now().conditions)
    }

    /// A condition holds.
    #[zbus(property)]
    fn degraded(&self) -> bool {
        self.face.now().degraded
    }

    /// State of the check-in: not_enrolled, pending_approval, connecting, ok, unreachable, unauthenticated,
    /// duplicate_identity, upgrade_required or forgotten. Treat an unknown one as not ok.
    #[zbus(property)]
    fn manager_state(&self) -> String {
        self.face.now().manager_state.clone()
    }

    /// The manager in use, host:port. May have no value.
    #[zbus(property)]
    fn manager(&self) -> Result<String> {
        self.face.value("Manager", |host| host.manager.clone())
    }

    /// This host's id with the manager. May have no value.
    #[zbus(property)]
    fn server_id(&self) -> Result<String> {
        self.face.value("ServerId", |host| host.server_id.clone())
    }

    /// When the manager last accepted a heartbeat, in milliseconds since 1970-01-01 UTC. May have no value.
    #[zbus(property)]
    fn last_heartbeat(&self) -> Result<u64> {
        self.face.value("LastHeartbeat", |host| host.last_heartbeat)
    }

    /// Heartbeats that a manager accepted since the daemon started.
    #[zbus(property(emits_changed_signal = "false"))]
    fn heartbeats_accepted(&self) -> u64 {
        self.face.now().heartbeats_accepted
    }

    /// Heartbeats that failed since the daemon started.
    #[zbus(property(emits_changed_signal = "false"))]
    fn heartbeats_failed(&self) -> u64 {
        self.face.now().heartbeats_failed
    }

    /// Why the last heartbeat failed. May have no value.
    #[zbus(property)]
    fn manager_error(&self) -> Result<String> {
        self.face.value("ManagerError", |host| host.manager_error.clone())
    }

    /// Until when the manager asked this host to wait, in milliseconds since 1970-01-01 UTC. May have no value.
    #[zbus(property)]
    fn manager_wait_until(&self) -> Result<u64> {
        self.face.value("ManagerWaitUntil", |host| host.manager_wait_until)
    }

    /// Properties that have no value now, with the reason.
    #[zbus(property)]
    fn absent(&self) -> BTreeMap<String, String> {
        self.face.now().absent.0.clone()
    }
}
