//! Keys of a section that are settings of this host: each is an item.

use super::item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
use super::world::{World, refused};
use crate::desired::Desired;
use crate::pci::VENDOR_NVIDIA;
use crate::settings::HostSetting;

/// The keys of one section of one source.
pub(super) struct SettingKeys<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) source: WishSource,
    pub(super) section: &'static str,
}

impl SettingKeys<'_> {
    /// The item of a key, where it is there; what `held` names too is held by it.
    pub(super) fn item<T: Clone>(
        &self,
        key: &str,
        wish: &Desired<T>,
        held: &Desired<T>,
        setting: impl FnOnce(Option<T>) -> HostSetting,
    ) -> Option<Item> {
        let path = ItemPath::new(format!("{}.{key}", self.section));
        let wished = match wish {
            Desired::Absent => return None,
            _ if held.is_said() => return Some(refused(path, self.source, held_locally())),
            Desired::Unsupported(words) => {
                return Some(refused(path, self.source, Why::new("unsupported_value", words.clone())));
            }
            Desired::LocalDefault => setting(None),
            Desired::Value(value) => setting(Some(value.clone())),
        };
        let state = if self.world.overlay().has(&wished) {
            ItemState::Met
        } else if let Some(why) = impossible(self.world, &wished) {
            ItemState::Refused(why)
        } else {
            self.world.state_of_deed(self.source, Deed::Set(wished))
        };
        Some(Item { path, source: self.source, state, blockers: String::new() })
    }
}

pub(super) fn held_locally() -> Why {
    Why::new("held_locally", "a file in /etc/gpuhostd/desired.d sets it, and what this host sets itself has precedence")
}

/// GPUs for CUDA can be reported in another number only where there is one at all.
fn impossible(world: &World<'_>, setting: &HostSetting) -> Option<Why> {
    let HostSetting::CudaGpus(Some(wanted)) = setting else { return None };
    let has_one = world.host.gpus.iter().any(|gpu| gpu.pci.id.vendor == VENDOR_NVIDIA);
    (*wanted > 0 && !has_one).then(|| {
        Why::new("no_physical_gpu", format!("{wanted} CUDA GPUs are to be reported, and this host has no NVIDIA GPU"))
    })
}
