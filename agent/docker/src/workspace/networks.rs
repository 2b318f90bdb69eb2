//! Networks of workspaces: they exist, and are not the host's own or those of another container.

use crate::http::get;
use crate::images::found;
use crate::not_done::NotDone;

/// Docker's own words for a mode, which are no names of networks that a workspace may join.
const MODES: [&str; 3] = ["host", "none", "default"];
/// What each network of Docker's with this driver has instead of a name space of its own.
const DRIVERS: [&str; 2] = ["host", "null"];

/// Each of them can be joined.
pub(crate) async fn check(socket: &str, names: &[String]) -> Result<(), NotDone> {
    for name in names {
        let denied = |why: &str| Err(NotDone::Denied(format!("network {name:?}: {why}")));
        let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if MODES.contains(&name.as_str()) || name.is_empty() || !name.chars().all(known) {
            return denied("this is not the name of a network that a workspace may join");
        }
        let Some(network) = found(get(socket, &format!("/networks/{name}")).await)? else {
            return denied(&format!("Docker does not have it; create it with `docker network create {name}`"));
        };
        // Docker also finds one by the beginning of its id.
        if network.get("Name").text() != Some(name) {
            return denied("Docker has no network of this name, only one with such an id");
        }
        let driver = network.get("Driver").text().unwrap_or("host");
        if DRIVERS.contains(&driver) {
            return denied(&format!("its driver is {driver}: it is not a network of its own"));
        }
    }
    Ok(())
}
