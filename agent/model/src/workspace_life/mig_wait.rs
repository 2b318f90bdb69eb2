//! Changes of a GPU's MIG that wait for workspaces.

use crate::ids::PciAddress;
use crate::policy::Requester;
use crate::workspace::DescribedHost;
use std::collections::BTreeMap;

/// What a change of one GPU's MIG waits for, as its last attempt found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigLeave {
    /// What is to change, in words.
    pub why: String,
    /// The container of each that holds what has to go; `None` = it is in no container.
    pub holders: Vec<Option<String>>,
    /// Whose wish the change is. For a manager only workspaces of a manager give way.
    pub by: Requester,
    /// Workspaces that run are stopped; else they are waited for.
    pub stops: bool,
}

/// The changes that wait, by GPU.
pub type MigLeaves = BTreeMap<PciAddress, MigLeave>;

/// The same host, with no room for a new workspace on these GPUs.
#[must_use]
pub fn without_leaving(mut host: DescribedHost, leaves: &MigLeaves) -> DescribedHost {
    let leaves: BTreeMap<String, &MigLeave> = leaves.iter().map(|(gpu, leave)| (gpu.to_string(), leave)).collect();
    for gpu in &mut host.gpus {
        if let Some(leave) = leaves.get(&gpu.bdf) {
            gpu.not_shared.get_or_insert_with(|| leave.why.clone());
            gpu.not_whole.get_or_insert_with(|| leave.why.clone());
        }
    }
    host
}
