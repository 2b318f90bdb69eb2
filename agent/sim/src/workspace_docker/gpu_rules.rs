//! What may never be of GPUs, whatever went wrong: looked at whenever a container of a workspace is started.

use model::workspace::WorkspaceContainer;
use std::collections::BTreeMap;

/// What two containers that run at once may not have in common; `card_of` has the PCI address of each GPU and MIG device.
pub(super) fn conflict(
    one: &WorkspaceContainer,
    other: &WorkspaceContainer,
    card_of: &BTreeMap<String, String>,
) -> Option<String> {
    let card = |name: &String| card_of.get(name).unwrap_or(name).clone();
    let cards = |names: &[String]| names.iter().map(card).collect::<Vec<_>>();
    let (shared, whole) = (cards(&one.gpus), cards(&one.vfio));
    let (others_shared, others_whole) = (cards(&other.gpus), cards(&other.vfio));
    let both = format!("{} and {}", one.workspace_id, other.workspace_id);
    if let Some(gpu) = whole.iter().find(|gpu| others_whole.contains(gpu)) {
        return Some(format!("the GPU {gpu} was given whole to {both}"));
    }
    let is_mixed = |whole: &[String], shared: &[String]| whole.iter().find(|gpu| shared.contains(gpu)).cloned();
    if let Some(gpu) = is_mixed(&whole, &others_shared).or_else(|| is_mixed(&others_whole, &shared)) {
        return Some(format!("the GPU {gpu} was both shared and passed through: {both}"));
    }
    let common = shared.iter().find(|gpu| others_shared.contains(gpu))?;
    (one.security_context != other.security_context)
        .then(|| format!("the GPU {common} was in two security contexts: {both}"))
}
