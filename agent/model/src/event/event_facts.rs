//! What of the host is worth an event when it changes: a look at everything that is published, over what was seen before.

use super::event_gpu::{GpuLook, GpuSighting};
use super::event_workspace::WorkspaceSighting;
use crate::ids::{JobId, PciAddress};
use crate::nvidia_container::{NvidiaHold, NvidiaPhase, NvidiaRole, NvidiaState, NvidiaStatus};
use crate::observation::HostObservation;
use crate::roster::Sight;
use crate::settings::Settings;
use crate::workspace::WorkspaceId;
use crate::workspace_life::WorkspacesState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSighting {
    /// Another one at each start of the daemon.
    pub run: String,
    /// Its version.
    pub version: String,
    /// The boot in which it runs, where that is known.
    pub boot_id: Option<String>,
    /// It was asked to stop.
    pub is_stopping: bool,
    /// The host takes no new workspaces, and none is left on it.
    pub is_drained: bool,
    /// A digest of each section of the settings in force.
    pub settings: BTreeMap<String, String>,
}

impl AgentSighting {
    /// A digest of each section of these settings: it shows which are others, and nothing of what is in them.
    #[must_use]
    pub fn digests(settings: &Settings) -> BTreeMap<String, String> {
        let sections = serde_json::to_value(settings).ok().and_then(|all| all.as_object().cloned()).unwrap_or_default();
        let desired = serde_json::to_value(&settings.desired).unwrap_or_default();
        let all = sections.into_iter().chain([("desired".to_owned(), desired)]);
        all.map(|(name, section)| (name, digest(&section.to_string()))).collect()
    }
}

/// FNV-1a of a text, in hexadecimal digits.
fn digest(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// One of NVIDIA's containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NvidiaSighting {
    /// The container that was ready last.
    pub deployed: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Why it does not work.
    pub failed: Option<String>,
    /// The image that was taken back.
    pub rolled_back: Option<String>,
    /// Why, for people.
    #[serde(skip)]
    pub why: Option<String>,
}

impl NvidiaSighting {
    fn look(status: &NvidiaStatus, before: &Self) -> Self {
        let mut now = Self { why: None, ..before.clone() };
        match &status.phase {
            NvidiaPhase::Disabled => return Self::default(),
            NvidiaPhase::Ready => {
                now.failed = None;
                now.deployed = status.container.as_ref().map(|id| id.as_str().to_owned()).or(now.deployed);
                let is_wanted = status.digest_wanted.is_some() && status.digest_wanted == status.digest_running;
                let image = status.image_wanted.as_ref().filter(|_| is_wanted).map(ToString::to_string);
                now.image = image.or_else(|| status.digest_running.as_ref().map(ToString::to_string));
            }
            NvidiaPhase::Failed { fault, reason, .. } => {
                now.failed = Some(fault.code().to_owned());
                now.why = Some(reason.clone());
            }
            NvidiaPhase::Refused { code, why } => {
                now.failed = Some(code.clone());
                now.why = Some(why.clone());
            }
            NvidiaPhase::Foreign { name, .. } => {
                now.failed = Some("foreign_container".to_owned());
                now.why = Some(format!("the container {name} was not created by gpuhostd"));
            }
            NvidiaPhase::Unknown { .. }
            | NvidiaPhase::Absent { .. }
            | NvidiaPhase::Pulling { .. }
            | NvidiaPhase::Starting { .. }
            | NvidiaPhase::Upgrading { .. }
            | NvidiaPhase::RollingBack { .. }
            | NvidiaPhase::Stopping { .. } => {}
        }
        if let Some(NvidiaHold::RolledBack { image, reason }) = &status.hold {
            now.rolled_back = Some(image.clone());
            now.why = Some(reason.clone());
        } else if status.phase == NvidiaPhase::Ready {
            now.rolled_back = None;
        }
        now
    }
}

/// A request to give a GPU to a virtual machine that was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedBind {
    /// The GPU.
    pub gpu: PciAddress,
    /// The code of the refusal.
    pub code: String,
    /// The refusal, for people.
    pub message: String,
}

/// Everything that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct EventWorld<'a> {
    /// The host, as it is shown.
    pub host: &'a HostObservation,
    /// The GPUs of the latest scan that worked.
    pub sight: Option<&'a Sight>,
    /// Workspaces.
    pub workspaces: &'a WorkspacesState,
    /// NVIDIA's two containers.
    pub nvidia: &'a NvidiaState,
    /// Requests that were refused, as far as their jobs are still listed.
    pub rejected: &'a BTreeMap<JobId, RejectedBind>,
    /// The daemon. Its boot is taken from the host where that is known.
    pub agent: &'a AgentSighting,
    /// The daemon runs long enough to know what the kernel log and the drivers report.
    pub is_settled: bool,
}

/// What was seen last, and what the next look is compared with, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFacts {
    /// The daemon.
    pub agent: AgentSighting,
    /// GPUs that are there.
    pub gpus: BTreeMap<PciAddress, GpuSighting>,
    /// Workspaces.
    pub workspaces: BTreeMap<WorkspaceId, WorkspaceSighting>,
    /// Entries of documents that cannot be read as workspaces, with code and message.
    pub unread: BTreeMap<String, (String, String)>,
    /// Why Docker shows no workspaces.
    pub workspaces_unknown: Option<String>,
    /// NVIDIA's two containers.
    pub nvidia: BTreeMap<NvidiaRole, NvidiaSighting>,
    /// Requests that were refused.
    #[serde(skip)]
    pub rejected: BTreeMap<JobId, RejectedBind>,
}

impl EventFacts {
    /// The same after a look. What the look does not show is what it was.
    #[must_use]
    pub fn look(&self, world: &EventWorld<'_>) -> Self {
        let boot_id = world.host.host.boot_id.known().cloned().or_else(|| world.agent.boot_id.clone());
        let is_same_boot = self.agent.boot_id.is_some() && self.agent.boot_id == boot_id;
        let look = GpuLook { is_settled: world.is_settled, is_same_boot };
        let role = |role: NvidiaRole| {
            let before = self.nvidia.get(&role).cloned().unwrap_or_default();
            (role, NvidiaSighting::look(world.nvidia.of(role), &before))
        };
        let mut now = Self {
            agent: AgentSighting { boot_id, ..world.agent.clone() },
            gpus: self.gpus(world, look),
            nvidia: NvidiaRole::ALL.iter().map(|one| role(*one)).collect(),
            rejected: world.rejected.clone(),
            ..self.clone()
        };
        let shown = world.workspaces;
        if shown.is_looked {
            now.workspaces_unknown.clone_from(&shown.unknown);
        }
        if shown.is_looked && shown.unknown.is_none() {
            let all = shown.workspaces.iter().map(|one| (one.id.clone(), WorkspaceSighting::from(one)));
            now.workspaces = all.collect();
            let unread = shown.unread.iter();
            now.unread =
                unread.map(|one| (one.name.clone(), (one.reason.code.clone(), one.reason.message.clone()))).collect();
        }
        now
    }

    /// Only a scan that worked shows which GPUs are there; one that cannot be read is what it was.
    fn gpus(&self, world: &EventWorld<'_>, look: GpuLook) -> BTreeMap<PciAddress, GpuSighting> {
        let Some(sight) = world.sight else { return self.gpus.clone() };
        let kept = sight.unreadable.iter().filter_map(|at| Some((*at, self.gpus.get(at)?.clone())));
        let seen = sight.cards.iter().map(|card| {
            let before = self.gpus.get(&card.address);
            (card.address, GpuSighting::look(card, world.host.gpu(card.address), before, look))
        });
        kept.chain(seen).collect()
    }

    /// What another look changes, to be kept beside its events.
    #[must_use]
    pub(super) fn change_to(&self, now: &Self) -> FactsChange {
        FactsChange {
            agent: differing(&self.agent, &now.agent),
            gpus: entries(&self.gpus, &now.gpus),
            workspaces: entries(&self.workspaces, &now.workspaces),
            unread: differing(&self.unread, &now.unread),
            workspaces_unknown: differing(&self.workspaces_unknown, &now.workspaces_unknown),
            nvidia: differing(&self.nvidia, &now.nvidia),
        }
    }

    /// The same after a change.
    pub(super) fn apply(&mut self, change: FactsChange) {
        let FactsChange { agent, gpus, workspaces, unread, workspaces_unknown, nvidia } = change;
        put(&mut self.agent, agent);
        put_entries(&mut self.gpus, gpus);
        put_entries(&mut self.workspaces, workspaces);
        put(&mut self.unread, unread);
        put(&mut self.workspaces_unknown, workspaces_unknown);
        put(&mut self.nvidia, nvidia);
    }
}

/// The difference between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FactsChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentSighting>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    gpus: BTreeMap<PciAddress, Option<GpuSighting>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    workspaces: BTreeMap<WorkspaceId, Option<WorkspaceSighting>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<BTreeMap<String, (String, String)>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "twice")]
    workspaces_unknown: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nvidia: Option<BTreeMap<NvidiaRole, NvidiaSighting>>,
}

impl FactsChange {
    /// It changes nothing.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Another value that is absent is not the same as no other value: a list of none or one.
mod twice {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|inner| inner.iter().collect::<Vec<_>>()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
        let list: Option<Vec<String>> = Option::deserialize(from)?;
        Ok(list.map(|list| list.into_iter().next()))
    }
}

fn differing<T: PartialEq + Clone>(before: &T, now: &T) -> Option<T> {
    (before != now).then(|| now.clone())
}

fn entries<K: Ord + Clone, V: PartialEq + Clone>(
    before: &BTreeMap<K, V>,
    now: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    let gone = before.keys().filter(|key| !now.contains_key(key)).map(|key| (key.clone(), None));
    let others = now.iter().filter(|(key, value)| before.get(key) != Some(value));
    gone.chain(others.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn put_entries<K: Ord, V>(place: &mut BTreeMap<K, V>, change: BTreeMap<K, Option<V>>) {
    for (key, value) in change {
        match value {
            Some(value) => drop(place.insert(key, value)),
            None => drop(place.remove(&key)),
        }
    }
}
