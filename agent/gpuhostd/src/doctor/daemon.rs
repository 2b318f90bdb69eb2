//! The running daemon as the doctor sees it: who owns its name on the bus, and what it says of itself.

use model::absence::{Absence, Reading};
use model::doctor::facts::DaemonSeen;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;
use wire::dbus::BUS_NAME;
use wire::dbus::proxy::{HostProxy, Options};
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;

/// How long bus and daemon may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Asks on this bus, or on the system bus. Nothing is started by asking.
pub(super) async fn ask(address: Option<&str>) -> Reading<DaemonSeen> {
    match timeout(WITHIN, seen(address)).await {
        Ok(Ok(Some(seen))) => Reading::Known(seen),
        Ok(Ok(None)) => Reading::Absent(Absence::None),
        Ok(Err(error)) => Reading::Absent(Absence::Unreadable(error.to_string())),
        Err(_) => Reading::Absent(Absence::ProbeTimeout),
    }
}

async fn seen(address: Option<&str>) -> zbus::Result<Option<DaemonSeen>> {
    let builder = match address {
        Some(address) => Builder::address(address),
        None => Builder::system(),
    };
    let connection = builder.build().await?;
    let bus = DBusProxy::new(&connection).await?;
    if !bus.name_has_owner(BusName::try_from(BUS_NAME)?).await? {
        return Ok(None);
    }
    let host = HostProxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
    Ok(said(&host.get_observation(Options::new()).await?))
}

/// Word by word, and not into the closed type: the daemon may be of another version.
fn said(observation: &str) -> Option<DaemonSeen> {
    let observation: Value = serde_json::from_str(observation).ok()?;
    let text = |key: &str| observation.pointer("/host")?.get(key)?.as_str().map(str::to_owned);
    let manager_error = text("ManagerError");
    Some(DaemonSeen { version: text("Version")?, manager_state: text("ManagerState")?, manager_error })
}
