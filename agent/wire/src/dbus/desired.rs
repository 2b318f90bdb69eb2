//! What the root object shows of the desired state: what is wished, by whom, what is in the way, and what was set.

use super::absent::Absent;
use super::host::millis;
use super::value::DictView;
use super::view::view;
use model::absence::Absence;
use model::checkin::FetchStatus;
use model::desired::{DesiredState, DocumentId, DocumentRefusal, FileFault, InForceDocument};
use model::reconcile::{Item, ItemState, Shown};
use model::settings::{GpuOverlay, SettingsOverlay};
use model::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// [`DesiredItemView::state`] of an item for which nothing has to be done.
pub const MET: &str = "met";

view! {
    /// All properties of `org.gpuhost.Agent1.DesiredState`.
    pub struct DesiredView at DESIRED_INTERFACE {
        /// Where the desired state comes from: none, local (files in /etc/gpuhostd/desired.d), manager (its document) or both.
        source: String,
        /// The manager's document on disk: none (there has never been one), in_force, or unreadable: then nothing is changed and
        /// nothing undone for the manager, and LedgerFault has the reason.
        ledger: String,
        /// Why the manager's document cannot be read, and what to do. Has no value unless Ledger is unreadable.
        ledger_fault: Option<String>,
        /// Epoch of the manager's document in force. Has no value if there is none.
        epoch: Option<String>,
        /// Revision of the manager's document in force. Has no value if there is none.
        revision: Option<u64>,
        /// The newest revision of this epoch for which an observation found every item of the manager met, since the daemon
        /// started. Has no value if there is none.
        applied_revision: Option<u64>,
        /// The last document of the manager that was refused, until one is accepted: Code (s), Document (s, EPOCH.REVISION),
        /// Message (s), Since (t, milliseconds since 1970-01-01 UTC). A key without a value is left out. Has no value if none is.
        refused: Option<DesiredRefusalView>,
        /// Epochs that were left, the newest last: their documents are refused until AcceptEpoch is called.
        epochs_left: Vec<String>,
        /// Files of the last valid set in /etc/gpuhostd/desired.d, in the order in which they are read.
        local_files: Vec<String>,
        /// Files in /etc/gpuhostd/desired.d that cannot be used: Place (s, the path, with the line if known), Message (s). While
        /// there is one, the last valid set of files stays in force.
        local_faults: Vec<DesiredFaultView>,
        /// One entry for each thing that is wished: Path (s, gpus[0000:41:00.0].use), Source (s: local or manager), State (s: met,
        /// to_do, waiting, held or refused), Code (s) and Message (s, why it is not met), Since (t) and RetryAt (t, the next
        /// attempt), in milliseconds since 1970-01-01 UTC. A key without a value is left out.
        items: Vec<DesiredItemView>,
        /// How documents of the manager reach this host: none (no heartbeat has been accepted yet), long_poll (a request waits at the
        /// manager), hint (a reply names the newest, which is fetched), embedded (in the replies), interval (asked every 30 s) or off
        /// (the manager does not have the path).
        #[serde(default)]
        fetch: String,
        /// The newest document by the last accepted reply, EPOCH.REVISION. Has no value if the reply names none.
        #[serde(default)]
        newest: Option<String>,
        /// Until when the manager is not asked for documents, in milliseconds since 1970-01-01 UTC. Has no value unless Fetch is off.
        #[serde(default)]
        fetch_off_until: Option<u64>,
        /// Why the last request for a document failed. Has no value if it did not.
        #[serde(default)]
        fetch_error: Option<String>,
        /// What is set over the configuration files: Enabled (b), Draining (b), DrainAt (t), Labels (a{sv}), Zone (s), Pool (s),
        /// MaxWorkspaces (t), Millicores (t), MemoryBytes (t), CudaGpus (t), HeartbeatIntervalS (t), SampleIntervalS (t), LogLevel
        /// (s), DeployDriver (b), DriverImage (s), DeployToolkit (b), ToolkitImage (s), DriverRoot (s), DockerRestart (s), Gpus (av:
        /// Address (s), Off (b), Features (a{sv})). A key that is left out is as the files have it.
        effective: EffectiveView,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

/// A document that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesiredRefusalView {
    /// Stable code, `stale_revision`.
    pub code: String,
    /// Epoch and revision, where that much could be read.
    pub document: Option<String>,
    /// What is wrong with it and what to do.
    pub message: String,
    /// Since when, in milliseconds since 1970-01-01 UTC.
    pub since: Option<u64>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesiredFaultView {
    /// Path, with the line where there is one.
    pub place: String,
    /// The field and what is wrong with it.
    pub message: String,
}

/// One thing that is wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesiredItemView {
    /// Where it is in the desired state.
    pub path: String,
    /// `local` or `manager`.
    pub source: String,
    /// `met`, `to_do`, `waiting`, `held` or `refused`.
    pub state: String,
    /// Why it is not met: stable code.
    pub code: Option<String>,
    /// The same in words, with what to do.
    pub message: Option<String>,
    /// Since when, in milliseconds since 1970-01-01 UTC.
    pub since: Option<u64>,
    /// When it is tried again, in milliseconds since 1970-01-01 UTC.
    pub retry_at: Option<u64>,
}

/// What would be done, or be in the way, if a file were installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesiredChangeView {
    /// Where it is in the desired state.
    pub path: String,
    /// `local` or `manager`.
    pub source: String,
    /// `to_do`, `waiting`, `held` or `refused`.
    pub state: String,
    /// Why it would not be done: stable code; none where it would.
    pub code: Option<String>,
    /// What would be done, or why not.
    pub message: String,
}

impl DesiredChangeView {
    /// The change that an item is; none where it is met.
    #[must_use]
    pub fn of(item: &Item) -> Option<Self> {
        let (state, code, message) = match &item.state {
            ItemState::Met => return None,
            ItemState::ToDo(deed) => ("to_do", None, deed.to_string()),
            ItemState::Waiting(why) => ("waiting", Some(&why.code), why.message.clone()),
            ItemState::Held(why) => ("held", Some(&why.code), why.message.clone()),
            ItemState::Refused(why) => ("refused", Some(&why.code), why.message.clone()),
        };
        Some(Self {
            path: item.path.to_string(),
            source: item.source.code().to_owned(),
            state: state.to_owned(),
            code: code.cloned(),
            message,
        })
    }
}

/// What is set over the configuration files; a field without a value is as the files have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EffectiveView {
    /// Work may be placed here.
    pub enabled: Option<bool>,
    /// No new work: it is wished, or the time for it has come.
    pub draining: bool,
    /// From when on there is no new work, in milliseconds since 1970-01-01 UTC.
    pub drain_at: Option<u64>,
    /// Labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Zone.
    pub zone: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// The most workspaces at once.
    pub max_workspaces: Option<u32>,
    /// Cores that are reported, in thousandths.
    pub millicores: Option<u64>,
    /// Memory that is reported, in bytes.
    pub memory_bytes: Option<u64>,
    /// CUDA GPUs that are reported.
    pub cuda_gpus: Option<u32>,
    /// Seconds between heartbeats.
    pub heartbeat_interval_s: Option<u64>,
    /// Seconds between samples.
    pub sample_interval_s: Option<u64>,
    /// How much is written to the log.
    pub log_level: Option<String>,
    /// How much of the images that gpuhostd has pulled is removed: off, emergency, normal or aggressive.
    pub prune: Option<String>,
    /// Per cent of Docker's disk that may be used.
    pub disk_usage_limit_pct: Option<u64>,
    /// So many images are pulled at once.
    pub concurrent_pulls: Option<u64>,
    /// NVIDIA's driver container is deployed.
    pub deploy_driver: Option<bool>,
    /// Its image.
    pub driver_image: Option<String>,
    /// NVIDIA's toolkit container is deployed.
    pub deploy_toolkit: Option<bool>,
    /// Its image.
    pub toolkit_image: Option<String>,
    /// Where it looks for the driver's files.
    pub driver_root: Option<String>,
    /// When Docker may be restarted.
    pub docker_restart: Option<String>,
    /// Single GPUs of which something is set.
    pub gpus: Vec<EffectiveGpuView>,
}

/// What is set of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EffectiveGpuView {
    /// PCI address.
    pub address: String,
    /// No workspace may be placed on it.
    pub off: bool,
    /// Features on (`true`) and off.
    pub features: BTreeMap<String, bool>,
}

impl DictView for DesiredRefusalView {}
impl DictView for DesiredFaultView {}
impl DictView for DesiredItemView {}
impl DictView for EffectiveView {}

impl From<&DocumentRefusal> for DesiredRefusalView {
    fn from(refusal: &DocumentRefusal) -> Self {
        Self {
            code: refusal.code.to_owned(),
            document: refusal.id.as_ref().map(ToString::to_string),
            message: refusal.message.clone(),
            since: millis(refusal.since),
        }
    }
}

impl From<&FileFault> for DesiredFaultView {
    fn from(fault: &FileFault) -> Self {
        Self { place: fault.place.clone(), message: fault.message.clone() }
    }
}

impl From<&Shown> for DesiredItemView {
    fn from(item: &Shown) -> Self {
        Self {
            path: item.path.to_string(),
            source: item.source.code().to_owned(),
            state: item.state.to_owned(),
            code: item.why.as_ref().map(|why| why.code.clone()),
            message: item.why.as_ref().map(|why| why.message.clone()),
            since: millis(item.since),
            retry_at: item.retry_at.and_then(to_the_second),
        }
    }
}

/// An instant that two clocks give, to the second: the milliseconds differ from one look at them to the next, and nothing has changed.
fn to_the_second(when: UnixMillis) -> Option<u64> {
    millis(when).map(|ms| ms.saturating_add(500) / 1000 * 1000)
}

impl From<&SettingsOverlay> for EffectiveView {
    fn from(set: &SettingsOverlay) -> Self {
        let gpu = |(address, of): (&model::PciAddress, &GpuOverlay)| EffectiveGpuView {
            address: address.to_string(),
            off: of.off,
            features: of.features.iter().map(|(feature, on)| (feature.code().to_owned(), *on)).collect(),
        };
        Self {
            enabled: set.enabled,
            draining: set.is_draining(),
            drain_at: set.drain_at.and_then(|drain| millis(drain.at)),
            labels: set.labels.clone(),
            zone: set.zone.clone(),
            pool: set.pool.clone(),
            max_workspaces: set.max_workspaces,
            millicores: set.millicores,
            memory_bytes: set.memory_bytes,
            cuda_gpus: set.cuda_gpus,
            heartbeat_interval_s: set.heartbeat_interval_s,
            sample_interval_s: set.sample_interval_s,
            log_level: set.log_level.as_ref().map(ToString::to_string),
            prune: set.prune.map(|mode| mode.code().to_owned()),
            disk_usage_limit_pct: set.disk_usage_limit_pct,
            concurrent_pulls: set.concurrent_pulls,
            deploy_driver: set.nvidia.deploy_driver,
            driver_image: set.nvidia.driver_image.as_ref().map(|it| it.image().to_string()),
            deploy_toolkit: set.nvidia.deploy_toolkit,
            toolkit_image: set.nvidia.toolkit_image.as_ref().map(|it| it.image().to_string()),
            driver_root: set.nvidia.driver_root.map(|root| root.to_string()),
            docker_restart: set.nvidia.docker_restart.map(|restart| restart.to_string()),
            gpus: set.gpus.iter().map(gpu).collect(),
        }
    }
}

impl DesiredView {
    /// The view of what is wished, how far it is met, and what is set, at one instant.
    #[must_use]
    pub fn new(
        wished: &DesiredState,
        (applied, items): (Option<&DocumentId>, &[Shown]),
        set: &SettingsOverlay,
        fetch: &FetchStatus,
    ) -> Self {
        let mut absent = Absent::default();
        let id = wished.manager.document().map(|document| &document.id);
        // The reconciler follows the documents: for a moment it may be about the one before.
        let applied = applied.filter(|applied| id.is_some_and(|id| id.epoch == applied.epoch));
        let is_local = !wished.local.files.is_empty();
        let (ledger, fault) = match &wished.manager {
            InForceDocument::None => ("none", None),
            InForceDocument::InForce(_) => ("in_force", None),
            InForceDocument::Unreadable { why } => ("unreadable", Some(why.clone())),
        };
        let source = match (is_local, id.is_some()) {
            (false, false) => "none",
            (true, false) => "local",
            (false, true) => "manager",
            (true, true) => "both",
        };
        let refused = wished.refused.as_ref().map(DesiredRefusalView::from);
        Self {
            source: source.to_owned(),
            ledger: ledger.to_owned(),
            ledger_fault: absent.option("LedgerFault", fault, &Absence::None),
            epoch: absent.option("Epoch", id.map(|id| id.epoch.to_string()), &Absence::None),
            revision: absent.option("Revision", id.map(|id| id.revision.into()), &Absence::None),
            applied_revision: absent.option("AppliedRevision", applied.map(|id| id.revision.into()), &Absence::None),
            refused: absent.option("Refused", refused, &Absence::None),
            epochs_left: wished.epochs_left.iter().map(ToString::to_string).collect(),
            local_files: wished.local.files.clone(),
            local_faults: wished.local.faults.iter().map(DesiredFaultView::from).collect(),
            items: items.iter().map(DesiredItemView::from).collect(),
            fetch: fetch.way.code().to_owned(),
            newest: absent.option("Newest", fetch.newest.as_ref().map(ToString::to_string), &Absence::None),
            fetch_off_until: absent.option("FetchOffUntil", fetch.off_until.and_then(to_the_second), &Absence::None),
            fetch_error: absent.option("FetchError", fetch.last_error.clone(), &Absence::None),
            effective: EffectiveView::from(set),
            absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::desired::{DesiredDocument, DesiredSections};

    #[test]
    fn the_time_of_the_next_attempt_does_not_move_with_each_look() {
        for (ms, shown) in [(0, 0), (1_499, 1_000), (1_500, 2_000), (2_499, 2_000)] {
            assert_eq!(to_the_second(UnixMillis(ms)), Some(shown), "{ms}");
        }
        assert_eq!(to_the_second(UnixMillis(-1)), None);
    }

    #[test]
    fn what_nobody_wishes_is_none_with_its_reasons() {
        let view = DesiredView::new(
            &DesiredState::default(),
            (None, &[]),
            &SettingsOverlay::default(),
            &FetchStatus::default(),
        );
        assert_eq!((view.source.as_str(), view.ledger.as_str(), view.revision), ("none", "none", None));
        let absent: Vec<&str> = view.absent.0.keys().map(String::as_str).collect();
        assert_eq!(
            absent,
            ["AppliedRevision", "Epoch", "FetchError", "FetchOffUntil", "LedgerFault", "Newest", "Refused", "Revision"]
        );
    }

    #[test]
    fn a_revision_of_another_epoch_is_not_shown_as_applied() {
        let id =
            |epoch: &str| DocumentId { epoch: epoch.to_owned().try_into().unwrap(), revision: 7.try_into().unwrap() };
        let wished = DesiredState {
            manager: InForceDocument::InForce(Box::new(DesiredDocument {
                id: id("new"),
                issued_at: None,
                server_id: None,
                not_after: None,
                requires: Vec::new(),
                wishes: DesiredSections::default(),
            })),
            ..DesiredState::default()
        };
        let shown = |applied| {
            let view =
                DesiredView::new(&wished, (Some(&applied), &[]), &SettingsOverlay::default(), &FetchStatus::default());
            (view.source, view.applied_revision)
        };
        assert_eq!(shown(id("old")), ("manager".to_owned(), None));
        assert_eq!(shown(id("new")), ("manager".to_owned(), Some(7)));
    }
}
