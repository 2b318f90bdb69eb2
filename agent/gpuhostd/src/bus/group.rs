//! `org.gpuhost.Agent1.IommuGroup`.

use super::dict::{Dict, dicts};
use super::face::Face;
use super::failure::NoValue;
use std::collections::BTreeMap;
use wire::dbus::group::GroupView;
use zbus::OwnedObjectPath;

type Result<T> = std::result::Result<T, NoValue>;

/// An IOMMU group that holds a GPU.
#[derive(Debug)]
pub(super) struct GroupObject(pub(super) Face<GroupView>);

/// Texts as object paths; one that is none is left out.
pub(super) fn paths(texts: &[String]) -> Vec<OwnedObjectPath> {
    texts.iter().filter_map(|text| OwnedObjectPath::try_from(text.as_str()).ok()).collect()
}

#[zbus::interface(name = "org.gpuhost.Agent1.IommuGroup")]
impl GroupObject {
    /// Number of the group as /sys/kernel/iommu_groups has it; 0 is a valid one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> u32 {
        self.0.now().id
    }

    /// Default domain type: DMA, DMA-FQ or identity. May have no value.
    #[zbus(property, name = "Type")]
    fn kind(&self) -> Result<String> {
        self.0.value("Type", |group| group.kind.clone())
    }

    /// All members by address: Address (s), PciId (s), Class (s, six hexadecimal digits), Kind (s: gpu, bridge, audio, usb,
    /// other), Driver (s). A key without a value is left out.
    #[zbus(property)]
    fn members(&self) -> Vec<Dict> {
        dicts(&self.0.now().members)
    }

    /// The GPUs in the group.
    #[zbus(property)]
    fn gpus(&self) -> Vec<OwnedObjectPath> {
        paths(&self.0.now().gpus)
    }

    /// Addresses of the members that are neither bridges nor functions of a GPU's card.
    #[zbus(property)]
    fn foreign(&self) -> Vec<String> {
        self.0.now().foreign.clone()
    }

    /// True if the group has the endpoints of one physical card only.
    #[zbus(property)]
    fn isolated(&self) -> bool {
        self.0.now().isolated
    }

    /// True if every endpoint is bound to a VFIO driver or to none, so that the kernel allows a guest to open the group.
    #[zbus(property)]
    fn viable(&self) -> bool {
        self.0.now().viable
    }

    /// Properties that have no value now, with the reason.
    #[zbus(property)]
    fn absent(&self) -> BTreeMap<String, String> {
        self.0.now().absent.0.clone()
    }
}
