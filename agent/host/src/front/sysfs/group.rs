//! The IOMMU groups that hold a GPU, with all their members.

use super::attribute::{Miss, Tree, reading};
use super::{Bus, function, parse, shown};
use model::absence::{Absence, Reading};
use model::ids::{IommuGroupId, PciAddress};
use model::pci::{GroupMember, IommuGroup, PciScan, UnreadableFunction};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Adds the groups of the scan's GPUs, and the number of all groups.
pub(super) fn read(root: &Path, tree: &mut Tree, bus: &Bus, scan: &mut PciScan) {
    let folder = root.join("kernel/iommu_groups");
    let wanted: BTreeSet<_> = scan.gpus.iter().filter_map(|gpu| gpu.iommu_group.get()).collect();
    let mut by_link = None;
    let mut groups = Tree::open(&folder).map_err(Miss::from_errno);
    for &id in &wanted {
        let members = listed_members(&folder, id, scan).unwrap_or_else(|| {
            let all = by_link.get_or_insert_with(|| members_by_link(tree, bus));
            all.get(&id).cloned().unwrap_or_default()
        });
        let members = members.into_iter().filter_map(|address| member(tree, bus, scan, address)).collect();
        scan.groups.push(IommuGroup { id, kind: kind(&mut groups, id), members });
    }
    scan.iommu_groups_total = count(&folder).max(u32::try_from(wanted.len()).unwrap_or(u32::MAX));
}

/// Members as the group itself lists them, sorted; `None` where it cannot be listed.
fn listed_members(folder: &Path, id: IommuGroupId, scan: &mut PciScan) -> Option<Vec<PciAddress>> {
    let path = folder.join(id.to_string()).join("devices");
    let mut members = Vec::new();
    for entry in std::fs::read_dir(&path).ok()? {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        match name.parse() {
            Ok(address) => members.push(address),
            Err(_) => {
                let name = shown(&name);
                let path = path.join(&name).display().to_string();
                let said = format!(
                    "a member of IOMMU group {id} that is not a PCI function: the group does not belong to the GPU alone"
                );
                scan.unreadable.push(UnreadableFunction { path, name, said });
            }
        }
    }
    members.sort_unstable();
    (!members.is_empty()).then_some(members)
}

/// The same by the links of the functions, for a host that does not show its groups: an empty list would read as "isolated".
fn members_by_link(tree: &mut Tree, bus: &Bus) -> BTreeMap<IommuGroupId, Vec<PciAddress>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (&address, seen) in bus {
        if let Ok(id) = function::iommu_group(tree, &seen.name) {
            groups.entry(id).or_default().push(address);
        }
    }
    groups
}

/// One member; `None` where it has left the bus meanwhile. What is on the bus and was not listed a moment ago is kept, unknown.
fn member(tree: &mut Tree, bus: &Bus, scan: &PciScan, address: PciAddress) -> Option<GroupMember> {
    if let Some(gpu) = scan.gpus.iter().find(|gpu| gpu.address == address) {
        let (id, class) = (Reading::Known(gpu.id), Reading::Known(gpu.class));
        return Some(GroupMember { address, id, class, driver: gpu.driver.clone() });
    }
    let printed = address.to_string();
    let (class, id) = match bus.get(&address) {
        Some(seen) => (seen.class.clone(), seen.identity(tree)),
        None => (tree.parsed(&printed, "class", parse::class), function::identity(tree, &printed)),
    };
    let id = id.map_err(|(_, miss): (_, Miss)| miss);
    let driver = function::driver(tree, &printed);
    let (id, class) = (reading(id, Absence::NotReported), reading(class, Absence::NotReported));
    tree.exists(&printed).then_some(GroupMember { address, id, class, driver })
}

fn kind(groups: &mut Result<Tree, Miss>, id: IommuGroupId) -> Reading<String> {
    let kind = match groups {
        Ok(groups) => groups.parsed(&id.to_string(), "type", parse::group_kind),
        Err(miss) => Err(miss.clone()),
    };
    reading(kind, Absence::NotReported)
}

fn count(folder: &Path) -> u32 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    u32::try_from(groups.count()).unwrap_or(u32::MAX)
}
