//! What an IOMMU group object shows.

use super::absent::Absent;
use super::value::{DictView, PathText};
use super::view::view;
use super::{gpu_path, group_path};
use model::pci::{GroupMember, IommuGroup};
use serde::{Deserialize, Serialize};

view! {
    /// All properties of `org.gpuhost.Agent1.IommuGroup`.
    pub struct GroupView at IOMMU_GROUP_INTERFACE {
        /// Object path.
        #[dbus(document)]
        path: String,
        /// Number of the group as /sys/kernel/iommu_groups has it; 0 is a valid one.
        #[dbus(constant)]
        id: u32,
        /// Default domain type: DMA, DMA-FQ or identity. May have no value.
        #[serde(rename = "Type")]
        kind: Option<String>,
        /// All members by address: Address (s), PciId (s), Class (s, six hexadecimal digits), Kind (s: gpu, bridge, audio, usb,
        /// other), Driver (s). A key without a value is left out.
        members: Vec<MemberView>,
        /// The GPUs in the group.
        gpus: Vec<PathText>,
        /// Addresses of the members that are neither bridges nor functions of a GPU's card.
        foreign: Vec<String>,
        /// True if the group has the endpoints of one physical card only.
        isolated: bool,
        /// True if every endpoint is bound to a VFIO driver or to none, so that the kernel allows a guest to open the group.
        viable: bool,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MemberView {
    /// PCI address.
    pub address: String,
    /// PCI vendor and device id.
    pub pci_id: Option<String>,
    /// PCI class code, six hexadecimal digits.
    pub class: Option<String>,
    /// `gpu`, `bridge`, `audio`, `usb` or `other`; `null` where the class is unknown.
    pub kind: Option<String>,
    /// Bound kernel driver.
    pub driver: Option<String>,
}

impl DictView for MemberView {}

impl From<&GroupMember> for MemberView {
    fn from(member: &GroupMember) -> Self {
        let kind = member.class.get().map(|class| {
            let name = match class.base_and_sub() {
                _ if class.is_gpu() => "gpu",
                _ if class.is_bridge() => "bridge",
                0x0403 | 0x0401 => "audio",
                0x0c03 => "usb",
                _ => "other",
            };
            name.to_owned()
        });
        Self {
            address: member.address.to_string(),
            pci_id: member.id.get().map(|id| id.to_string()),
            class: member.class.get().map(|class| class.to_string()),
            kind,
            driver: member.driver.known().map(ToString::to_string),
        }
    }
}

impl From<&IommuGroup> for GroupView {
    fn from(group: &IommuGroup) -> Self {
        let mut absent = Absent::default();
        let gpus: Vec<_> = group
            .members
            .iter()
            .filter(|m| m.class.get().is_some_and(model::PciClass::is_gpu))
            .map(|m| m.address)
            .collect();
        let foreign = group.members.iter().filter(|member| {
            !member.class.get().is_some_and(model::PciClass::is_bridge)
                && !gpus.iter().any(|gpu| gpu.same_card(member.address))
        });
        Self {
            path: group_path(group.id),
            id: group.id.0,
            kind: absent.value("Type", group.kind.clone()),
            members: group.members.iter().map(MemberView::from).collect(),
            foreign: foreign.map(|member| member.address.to_string()).collect(),
            gpus: gpus.into_iter().map(|gpu| PathText(gpu_path(gpu))).collect(),
            isolated: group.is_isolated(),
            viable: group.is_viable(),
            absent,
        }
    }
}
