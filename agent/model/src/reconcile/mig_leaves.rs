//! What workspaces have to do with changes of MIG that wait: from the wishes, and from what the last attempts found in the way.

use super::item::{Item, ItemPath, ItemState, WishSource};
use super::matching::matched;
use super::world::World;
use crate::blocker::Blocker;
use crate::desired::{Desired, GpuEntry, MigApply};
use crate::holders::Holder;
use crate::ids::PciAddress;
use crate::mig::{Instance, MigRefusal};
use crate::policy::Requester;
use crate::refusal::Refusal;
use crate::workspace_life::{MigLeave, MigLeaves};
use std::collections::BTreeMap;

/// The container of each that held what had to go, as the last attempt at each GPU found it; `None` = it is in no container.
pub type MigHeld = BTreeMap<PciAddress, Vec<Option<String>>>;

/// The containers of those that alone prevented a change; none where something else prevented it as well, so that nothing is stopped for
/// nothing. What gpuhostd did not create is not destroyed when it is free, either.
#[must_use]
pub fn held_alone(refusal: &Refusal, owned: &[Instance]) -> Option<Vec<Option<String>>> {
    let holders: Vec<&Holder> = if let Refusal::Mig(blocked) = refusal {
        let (MigRefusal::InUseBlocks { instances } | MigRefusal::InUseNotWanted { instances }) = &blocked.why else {
            return None;
        };
        let are_ours = instances.iter().all(|instance| owned.contains(instance));
        are_ours.then(|| blocked.holders.iter().collect())?
    } else if let Refusal::Blocked(blocked) = refusal {
        let each: Option<Vec<&[Holder]>> = blocked.all().map(holders_of).collect();
        each?.into_iter().flatten().collect()
    } else {
        return None;
    };
    (!holders.is_empty()).then(|| holders.into_iter().map(|holder| holder.container.clone()).collect())
}

/// Who uses it, where that is all that the blocker is about.
const fn holders_of(blocker: &Blocker) -> Option<&[Holder]> {
    if let Blocker::InUse { holders } = blocker { Some(holders.as_slice()) } else { None }
}

/// The changes that wait and whose wish is that workspaces give way to them.
#[must_use]
pub fn mig_leaves(world: &World<'_>, items: &[Item], held: &MigHeld) -> MigLeaves {
    let mut leaves = MigLeaves::new();
    let document = world.desired.manager.document();
    let sources = [
        Some((WishSource::Local, &world.desired.local.wishes.gpus)),
        document.map(|document| (WishSource::Manager, &document.wishes.gpus)),
    ];
    for (source, entries) in sources.into_iter().flatten() {
        for (gpu, entry) in matched(world, entries).gpus {
            let path = ItemPath::new(format!("gpus[{gpu}].mig"));
            let item = items.iter().find(|item| item.source == source && item.path == path);
            if let (Some(item), Some(holders)) = (item, held.get(&gpu))
                && let Some(leave) = leave(source, entry, item, holders)
            {
                leaves.entry(gpu).or_insert(leave);
            }
        }
    }
    leaves
}

fn leave(source: WishSource, entry: &GpuEntry, item: &Item, holders: &[Option<String>]) -> Option<MigLeave> {
    let ItemState::ToDo(deed) = &item.state else { return None };
    let by = match source {
        WishSource::Local => Requester::Local,
        WishSource::Manager => Requester::Manager,
    };
    let (stops, word) = match &entry.mig.apply {
        Desired::Value(MigApply::Drain) => (false, "drain"),
        Desired::Value(MigApply::Force) => (true, "force"),
        Desired::Value(MigApply::WhenIdle) | Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => {
            return None;
        }
    };
    let why = format!("the desired state wants to {deed} (apply: {word})");
    Some(MigLeave { why, holders: holders.to_vec(), by, stops })
}
