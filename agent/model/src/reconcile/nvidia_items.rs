//! The domain of NVIDIA's two containers: which are deployed, and from what.

use super::item::{Deed, Item, ItemState, Why, WishSource};
use super::setting_keys::SettingKeys;
use super::world::World;
use crate::desired::DesiredNvidia;
use crate::nvidia_container::{NvidiaPhase, NvidiaRole, NvidiaStatus};
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
    let of_role = |role, items: Vec<Item>| {
        let mut items = in_order(items);
        if let Some(last) = items.last_mut().filter(|last| last.path.as_str().contains(".deploy_")) {
            as_seen(world.settings.nvidia.deployment.deploys(role), world.nvidia.of(role), &mut last.state);
        }
        items
    };
    let driver = of_role(NvidiaRole::Driver, driver.into_iter().flatten().collect());
    let toolkit = of_role(NvidiaRole::Toolkit, toolkit.into_iter().flatten().collect());
    // Nothing waits for it: without a restart GPUs are given by the runtime.
    let restart = keys.item("docker_restart", &of.docker_restart, &holder.docker_restart, S::DockerRestart);
    [driver, toolkit, restart.into_iter().collect()].concat()
}

/// That it is set is not yet that the host is so.
fn as_seen(is_set: bool, seen: &NvidiaStatus, state: &mut ItemState) {
    if *state != ItemState::Met {
        return;
    }
    if seen.wished != is_set {
        *state = ItemState::Waiting(Why::new("under_way", "it is not begun yet"));
        return;
    }
    let waits = |code: &str, why: &str| ItemState::Waiting(Why::new(code, why));
    let has_none = seen.container.is_none() && !seen.wished;
    *state = match (&seen.phase, &seen.hold) {
        (NvidiaPhase::Refused { code, why }, _) => ItemState::Refused(Why::new(code, why.clone())),
        (NvidiaPhase::Foreign { name, .. }, _) => {
            ItemState::Held(Why::new("foreign_container", format!("the container {name} has the label of gpuhostd")))
        }
        (NvidiaPhase::Failed { fault, reason, .. }, _) => waits(fault.code(), reason),
        (NvidiaPhase::Ready, Some(hold)) if seen.wished && hold.is_usable() => ItemState::Met,
        (_, Some(hold)) => ItemState::Held(Why::new(hold.code(), hold.to_string())),
        (NvidiaPhase::Ready, None) if seen.wished => ItemState::Met,
        (NvidiaPhase::Disabled, None) if !seen.wished => ItemState::Met,
        // Where there is no Docker there is no container of it either.
        (NvidiaPhase::Unknown { .. }, None) if has_none => ItemState::Met,
        (NvidiaPhase::Unknown { why } | NvidiaPhase::Absent { why }, None) => waits(seen.phase.code(), why),
        (NvidiaPhase::Starting { lacks }, None) => waits(seen.phase.code(), lacks),
        (
            NvidiaPhase::Upgrading { step } | NvidiaPhase::RollingBack { step } | NvidiaPhase::Stopping { step },
            None,
        ) => waits(seen.phase.code(), step),
        (NvidiaPhase::Disabled | NvidiaPhase::Pulling { .. } | NvidiaPhase::Ready, None) => {
            waits(seen.phase.code(), "it is under way")
        }
    };
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
    fn what_is_set_is_met_once_the_host_is_so() {
        let seen = |wished, phase| NvidiaStatus { wished, phase, ..NvidiaStatus::not_looked(NvidiaRole::Driver) };
        let of = |wished, phase| {
            let mut state = ItemState::Met;
            as_seen(wished, &seen(wished, phase), &mut state);
            state
        };
        let unknown = || NvidiaPhase::Unknown { why: "no Docker".into() };
        assert_eq!(of(true, NvidiaPhase::Ready), ItemState::Met);
        assert!(matches!(of(false, NvidiaPhase::Ready), ItemState::Waiting(_)), "it has still to go");
        assert!(matches!(of(true, NvidiaPhase::Disabled), ItemState::Waiting(_)));
        assert!(matches!(of(true, unknown()), ItemState::Waiting(_)));
        assert_eq!(of(false, unknown()), ItemState::Met);
        let mut late = ItemState::Met;
        as_seen(true, &seen(false, NvidiaPhase::Disabled), &mut late);
        assert!(matches!(late, ItemState::Waiting(_)), "the wish is newer than what is shown");
        let refused = NvidiaPhase::Refused { code: "wsl".into(), why: String::new() };
        assert!(matches!(of(true, refused), ItemState::Refused(why) if why.code == "wsl"));
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
