//! `iommu`: the groups as a tree.

use crate::failure::Failure;
use crate::text::{Look, clean, paint, print as print_lines, print_json};
use wire::dbus::group::{GroupView, MemberView};
use wire::dbus::snapshot::Snapshot;

/// Prints the groups.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.iommu_groups);
    }
    print_lines(&lines(snapshot))
}

/// The groups as lines.
pub(crate) fn lines(snapshot: &Snapshot) -> Vec<String> {
    let host = &snapshot.host;
    if host.observation_sequence == 0 {
        return vec!["The host has not been observed yet; ask again in a moment.".to_owned()];
    }
    if host.iommu_group_count == 0 {
        // The daemon knows what kind of machine this is, and so what can be done about it.
        let why = host.conditions.iter().find(|condition| condition.kind == "iommu_off");
        let off = "The kernel has no IOMMU groups: the IOMMU is off, and no GPU can be given to a virtual machine.";
        return [off]
            .into_iter()
            .chain(why.map(|why| why.message.as_str()))
            .map(|line| clean(line).into_owned())
            .collect();
    }
    let mut lines: Vec<String> = snapshot.iommu_groups.iter().flat_map(group).collect();
    let shown = snapshot.iommu_groups.len();
    lines.push(format!("{shown} of {} IOMMU groups hold a GPU", host.iommu_group_count));
    lines
}

/// One group as a small tree.
pub(crate) fn group(group: &GroupView) -> Vec<String> {
    let isolated = if group.isolated { ("isolated", Look::Good) } else { ("not isolated", Look::Bad) };
    // VFIO's word. That the host's drivers have its functions is no fault, and is beside each of them.
    let viable =
        if group.viable { format!(", {}", paint("viable: a guest can use it", Look::Good)) } else { String::new() };
    let kind = group.kind.as_deref().map(|kind| format!(" ({})", clean(kind))).unwrap_or_default();
    let title = paint(&format!("group {}", group.id), Look::Bold);
    let mut lines = vec![format!("{title}{kind}: {}{viable}", paint(isolated.0, isolated.1))];
    for (index, member) in group.members.iter().enumerate() {
        let branch = if index + 1 == group.members.len() { "└─" } else { "├─" };
        let foreign = group.foreign.contains(&member.address);
        lines.push(format!("{branch} {}", member_line(member, foreign)));
    }
    lines
}

fn member_line(member: &MemberView, foreign: bool) -> String {
    let kind = member.kind.as_deref().unwrap_or("unknown");
    let driver = member.driver.as_deref().map_or_else(|| "no driver".into(), clean);
    let mark = if foreign { paint("  belongs to another card", Look::Bad) } else { String::new() };
    let id = member.pci_id.as_deref().unwrap_or("????:????");
    format!("{} {kind:<7} {id} {driver}{mark}", member.address)
}
