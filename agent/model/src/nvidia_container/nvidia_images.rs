//! Which images are pulled for a wish on this host, or why none is.

use super::nvidia_role::NvidiaRole;
use super::nvidia_wish::NvidiaWish;
use super::nvidia_world::NvidiaRefused;
use crate::driver_host::{ToolkitVersion, driver_image};
use crate::host_facts::HostFacts;
use crate::image_ref::ImageRef;

/// The image of a role; `None` where none is wished. The driver's tag gets the operating system of this host, and no toolkit below
/// the floor is run, also in place of a newer one.
#[must_use]
pub fn nvidia_image(role: NvidiaRole, wish: &NvidiaWish, host: &HostFacts) -> Option<Result<ImageRef, NvidiaRefused>> {
    if !wish.deploys(role) {
        return None;
    }
    let (image, refused) = (wish.image(role), |code: &str, why: String| NvidiaRefused { code: code.to_owned(), why });
    Some(match role {
        NvidiaRole::Driver => {
            let (id, version) =
                (host.os_id.known().map(String::as_str), host.os_version_id.known().map(String::as_str));
            let composed = driver_image(image, id, version).map(|image| image.name);
            composed.map_err(|fault| refused("no_image_for_os", fault.to_string()))
        }
        // What an image named by its digest alone holds is not known; the policy allows its repository.
        NvidiaRole::Toolkit => match image.tag().map(ToolkitVersion::of_tag) {
            None => Ok(image.clone()),
            Some(Err(fault)) => Err(refused("toolkit_version_unknown", fault.to_string())),
            Some(Ok(version)) => version
                .above_floor()
                .map(|_| image.clone())
                .map_err(|below| refused("toolkit_below_floor", below.to_string())),
        },
    })
}
