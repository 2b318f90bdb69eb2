//! `org.gpuhost.Agent1.Host` on the root object.

use super::descriptor::Turnstile;
use super::enrol_options::{self, EnrolOptions};
use super::failure::Refused;
use super::job::job_view;
use super::options::{Options, Parser, invalid};
use super::submit::Submitter;
use super::workspaces::workspaces_view;
use super::{Moment, Sources, token};
use engine::command::Command;
use host::front::BootClock;
use model::PciAddress;
use model::enrol::EnrolmentEdit;
use model::event::{DELIVER_MOST, EventQuery};
use model::manager_trust::TrustChange;
use model::nvidia_container::NvidiaRole;
use model::ports::Clock;
use model::refusal::Refusal;
use model::time::UnixMillis;
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::dbus::event::EventPageView;
use wire::dbus::gpu::GpuView;
use wire::dbus::group::GroupView;
use wire::dbus::host::HostView;
use wire::dbus::load::LoadView;
use wire::dbus::snapshot::Snapshot;
use wire::dbus::workspace::WorkspaceView;
use wire::dbus::{HOST_INTERFACE, ROOT_PATH};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedFd, OwnedObjectPath};

/// How long a caller of `Sample` waits for fresh values.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(2);
/// So many callers of `Sample` wait at once; more get what is known.
const SAMPLES: usize = 16;

type Result<T> = std::result::Result<T, Refused>;

/// The methods of the root object.
#[derive(Debug)]
pub(super) struct HostMethods {
    sources: Sources,
    submitter: Submitter,
    enrolments: Turnstile,
    samples: Semaphore,
}

/// What the root object shows of one instant.
pub(super) fn host_view(now: &Moment) -> HostView {
    HostView::new(env!("CARGO_PKG_VERSION"), &now.seen, &now.checkin, &now.readiness)
}

fn snapshot(now: &Moment) -> Snapshot {
    Snapshot {
        host: host_view(now),
        gpus: now.seen.gpus.iter().map(GpuView::from).collect(),
        iommu_groups: now.seen.groups.iter().map(GroupView::from).collect(),
        nvidia_containers: NvidiaRole::ALL.iter().map(|role| now.nvidia.of(*role).into()).collect(),
        workspaces_summary: Some(workspaces_view(now)),
        workspaces: now.workspaces.workspaces.iter().map(WorkspaceView::from).collect(),
        jobs: now.jobs.iter().map(job_view).collect(),
        load: LoadView::new(&now.seen, &now.checkin, BootClock.wall_now()),
    }
}

fn written(now: &Moment) -> Result<String> {
    let fault = |e: serde_json::Error| Refusal::HostFault {
        attempted: "write the observation as JSON".into(),
        said: e.to_string(),
    };
    Ok(serde_json::to_string(&snapshot(now)).map_err(fault)?)
}

/// Longest bundle of authorities in bytes.
const TRUST_MAX_BYTES: usize = 64 * 1024;

fn added_trust(trust: &str) -> std::result::Result<TrustChange, Refusal> {
    if trust.len() > TRUST_MAX_BYTES {
        return Err(invalid("trust", format!("it is larger than {TRUST_MAX_BYTES} bytes")));
    }
    let neither = |fault| invalid("trust", format!("it is not a PEM text with a CERTIFICATE block, and {fault}"));
    TrustChange::add(trust).map_err(neither)
}

/// A change of trust as an administrator is asked about it.
fn shown_trust(change: &TrustChange) -> &str {
    match change {
        TrustChange::AddPin(sha256) | TrustChange::Remove(sha256) => sha256,
        TrustChange::AddAuthorities(_) => "certificate authorities",
    }
}

impl HostMethods {
    /// Methods that reach the core through these.
    pub(super) fn new(sources: &Sources, submitter: Submitter) -> Self {
        Self { sources: sources.clone(), submitter, enrolments: Turnstile::new(1), samples: Semaphore::new(SAMPLES) }
    }
}

/// Signals that there are events up to this number.
pub(super) async fn announce_events(connection: &Connection, newest: u64) -> zbus::Result<()> {
    HostMethods::events_happened(&SignalEmitter::new(connection, ROOT_PATH)?, newest).await
}

#[zbus::interface(name = "org.gpuhost.Agent1.Host")]
impl HostMethods {
    /// Everything that all objects show at this instant, in one JSON document: Host, Gpus (with Metrics), IommuGroups,
    /// NvidiaContainers, WorkspacesSummary, Workspaces, Jobs, each property under its D-Bus name, null where it has no value; and Load, how busy the host is. Options: none.
    #[zbus(out_args("observation"))]
    async fn get_observation(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, HOST_INTERFACE, "GetObservation", plain, &[]).await?;
        written(&self.sources.now())
    }

    /// The same document as GetObservation, with values that change over time (driver, Docker, the host's load) no older than
    /// one second. All callers together cause at most one query of the host a second, and only while they call. A source that
    /// does not answer delays the reply by at most two seconds; the reply then has its last values. Options: none.
    #[zbus(out_args("observation"))]
    async fn sample(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, HOST_INTERFACE, "Sample", plain, &[]).await?;
        if let Ok(_place) = self.samples.try_acquire() {
            self.sources.handle.sample(SAMPLE_DEADLINE).await;
        }
        written(&self.sources.now())
    }

    /// The kept events with a larger number than after, oldest first, at most 500 and 112 KiB at once, in one JSON document: Events (Seq,
    /// Id, Time in milliseconds since 1970-01-01 UTC, BootId, Type, Subject, Severity, Code, Message, Data), Next (the number to give as
    /// after for the next page), More, Waiting (how many wait to be delivered to the manager) and Dropped (how many were dropped before
    /// the manager had them). Options: since (t: only events of this time or later, in the same unit), limit (t: at most so many).
    #[zbus(out_args("page"))]
    async fn read_events(&self, after: u64, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let mut parser = Parser::new(options);
        let since = parser.number("since", u64::MAX)?.and_then(|since| i64::try_from(since).ok());
        let limit = parser.number("limit", 500)?;
        let plain = parser.finish()?;
        self.submitter.gate.admit(&header, HOST_INTERFACE, "ReadEvents", plain, &[]).await?;
        let most = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DELIVER_MOST);
        let page = self.sources.events.page(EventQuery { after, since: since.map(UnixMillis), most }).await?;
        let fault =
            |e: serde_json::Error| Refusal::HostFault { attempted: "write events as JSON".into(), said: e.to_string() };
        Ok(serde_json::to_string(&EventPageView::from(&page)).map_err(fault)?)
    }

    /// Events have happened: ReadEvents gives those up to this number. What happens within a quarter of a second is one signal.
    #[zbus(signal)]
    async fn events_happened(emitter: &SignalEmitter<'_>, newest: u64) -> zbus::Result<()>;

    /// Scans the PCI bus and queries all sources again. Action: org.gpuhost.agent1.rescan. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn rescan(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Rescan", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Rescan)?).await
    }

    /// Enrols with a manager. The token is read from a pipe, file or socket (at most 4 KiB), so that it is in no message.
    /// urls: https addresses, the first that answers is used. Action: org.gpuhost.agent1.manage-enrolment. Options: ca-pem (s:
    /// the only authorities to trust), pin-sha256 (s: the certificate to trust instead, or two with a comma between them), shared
    /// (b: the token is a shared one that is kept and sent with each heartbeat), server-id (s), provider (s) and
    /// public-hostname (s: what an autoscaler knows of this host), unless-enrolled (b: a host that is enrolled with one of these managers,
    /// under this server-id if one is given, is left as it is), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn enroll(
        &self,
        token: OwnedFd,
        urls: Vec<String>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let mut parser = Parser::new(options);
        let wanted = EnrolOptions::take(&mut parser)?;
        let plain = parser.finish()?;
        let urls = enrol_options::checked_urls(urls)?;
        let shown = urls.join(" ");
        let details = [("manager", shown.as_str())];
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Enroll", plain, &details).await?;
        let token = token::read(&self.enrolments, token.into()).await?;
        let spec = wanted.spec(urls, token);
        self.submitter.submit(admission.authorize(Command::Enrol(Box::new(spec)))?).await
    }

    /// Leaves the manager and wipes the credential. Action: org.gpuhost.agent1.manage-enrolment. Options:
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn leave(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Leave", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Leave)?).await
    }

    /// Has a manager's certificate verified by one thing more: an authority (trust is its PEM text), or a pinned certificate (trust
    /// is its SHA-256), two at most. Authorities and pins exclude each other; the first takes the place of the system's
    /// authorities. Action: org.gpuhost.agent1.manage-enrolment. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn add_trust(
        &self,
        trust: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let change = added_trust(&trust)?;
        let details = [("trust", shown_trust(&change))];
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "AddTrust", plain, &details).await?;
        let edit = Box::new(EnrolmentEdit::Trust(change.clone()));
        self.submitter.submit(admission.authorize(Command::EditEnrolment(edit))?).await
    }

    /// No longer verifies a manager's certificate by the authority or pinned certificate with this SHA-256 (ManagerTrust), of the
    /// enrolment or added by the manager. Refused if it is the only one, or if the manager in use would not be trusted
    /// any more. Action: org.gpuhost.agent1.manage-enrolment. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn remove_trust(
        &self,
        sha256: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let change = TrustChange::remove(&sha256).map_err(|fault| invalid("sha256", fault.to_string()))?;
        let details = [("trust", shown_trust(&change))];
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "RemoveTrust", plain, &details).await?;
        let edit = Box::new(EnrolmentEdit::Trust(change.clone()));
        self.submitter.submit(admission.authorize(Command::EditEnrolment(edit))?).await
    }

    /// Takes another token, which is tried at once: the shared token, or the token of an enrolment that is under way. It is read
    /// from a pipe, file or socket (at most 4 KiB). Action: org.gpuhost.agent1.manage-enrolment. Options:
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn set_token(
        &self,
        token: OwnedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "SetToken", plain, &[]).await?;
        let token = token::read(&self.enrolments, token.into()).await?;
        let edit = Box::new(EnrolmentEdit::Token(token));
        self.submitter.submit(admission.authorize(Command::EditEnrolment(edit))?).await
    }

    /// Freezes every change of this host that a manager requests, until Unlock, even after a restart. Requests made on this
    /// host are still served. Action: org.gpuhost.agent1.lock. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn lock(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let admission = self.submitter.gate.admit(&header, HOST_INTERFACE, "Lock", plain, &[]).await?;
        self.submitter.submit(admission.authorize(Command::Lock(true))?).await
    }

    /// Ends the freeze of Lock. Action: org.gpuhost.agent1.lock. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn unlock(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
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
    ) -> Result<OwnedObjectPath> {
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
}
