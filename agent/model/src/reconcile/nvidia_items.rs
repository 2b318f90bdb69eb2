//! The domain of NVIDIA's two containers: which are deployed, and from what.

use super::item::{Deed, Item, ItemState, Why, WishSource};
use super::setting_keys::SettingKeys;
use super::world::World;
use crate::desired::DesiredNvidia;
use crate::settings::HostSetting as S;

/// All items of `nvidia`.
pub(super) fn items(world: &World<'_>) -> Vec<Item> {
    let local = &world.desired.local.wishes.nvidia;
    let mut items = of_section(world, WishSource::Local, local, &DesiredNvidia::default());
    if let Some(document) = world.desired.manager.document() {
        items.extend(of_section(world, WishSource::Manager, &document.wishes.nvidia, local));
    }
    items
}

fn of_section(world: &World<'_>, source: WishSource, of: &DesiredNvidia, holder: &DesiredNvidia) -> Vec<Item> {
    let keys = SettingKeys { world, source, section: "nvidia" };
    let driver = [
        keys.item("driver_image", &of.driver_image, &holder.driver_image, S::DriverImage),
        keys.item("deploy_driver", &of.deploy_driver, &holder.deploy_driver, S::DeployDriver),
    ];
    let toolkit = [
        keys.item("toolkit_image", &of.toolkit_image, &holder.toolkit_image, S::ToolkitImage),
        keys.item("driver_root", &of.driver_root, &holder.driver_root, S::DriverRoot),
        keys.item("deploy_toolkit", &of.deploy_toolkit, &holder.deploy_toolkit, S::DeployToolkit),
    ];
    [in_order(driver.into_iter().flatten().collect()), in_order(toolkit.into_iter().flatten().collect())].concat()
}

/// What is deployed comes last: with an image that was refused, another one would run than was wished.
fn in_order(mut items: Vec<Item>) -> Vec<Item> {
    let first = items.iter().find(|item| item.state != ItemState::Met).map(|item| item.path.clone());
    if let (Some(first), Some(last)) = (first, items.last_mut())
        && matches!(last.state, ItemState::ToDo(Deed::Set(S::DeployDriver(Some(true)) | S::DeployToolkit(Some(true)))))
        && first != last.path
    {
        last.state = ItemState::Waiting(Why::new("waits", format!("{first} is not set yet")));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::item::ItemPath;

    fn item(path: &str, state: ItemState) -> Item {
        Item { path: ItemPath::new(path), source: WishSource::Manager, state, blockers: String::new() }
    }

    #[test]
    fn nothing_is_deployed_before_its_image_is_set() {
        let deploy = || ItemState::ToDo(Deed::Set(S::DeployDriver(Some(true))));
        let refused = || ItemState::Refused(Why::new("unsupported_value", ""));
        let of = |image| in_order(vec![item("nvidia.driver_image", image), item("nvidia.deploy_driver", deploy())]);
        assert!(matches!(of(refused())[1].state, ItemState::Waiting(_)));
        assert_eq!(of(ItemState::Met)[1].state, deploy());
        assert_eq!(in_order(vec![item("nvidia.deploy_driver", deploy())])[0].state, deploy());
        let end = ItemState::ToDo(Deed::Set(S::DeployDriver(Some(false))));
        let items = in_order(vec![item("nvidia.driver_image", refused()), item("nvidia.deploy_driver", end.clone())]);
        assert_eq!(items[1].state, end, "taking back waits for nothing");
    }
}
