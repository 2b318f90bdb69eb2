//! The running daemon as the doctor sees it: who owns its name on the bus, and what it reports about itself.

use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::DaemonSeen;
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
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => Reading::Absent(Absence::Unreadable(error.to_string())),
        Err(_) => Reading::Absent(Absence::ProbeTimeout),
    }
}

async fn seen(address: Option<&str>) -> zbus::Result<Reading<DaemonSeen>> {
    let builder = match address {
        Some(address) => Builder::address(address),
        None => Builder::system(),
    };
    let connection = builder.build().await?;
    let bus = DBusProxy::new(&connection).await?;
    if !bus.name_has_owner(BusName::try_from(BUS_NAME)?).await? {
        return Ok(Reading::Absent(Absence::None));
    }
    let host = HostProxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
    let said = host.get_observation(Options::new()).await?;
    Ok(seen_in(&said).map_or_else(|| Reading::Absent(Absence::garbled(&said)), Reading::Known))
}

/// Word by word, and not into the closed type: the daemon may be of another version.
fn seen_in(observation: &str) -> Option<DaemonSeen> {
    let observation: Value = serde_json::from_str(observation).ok()?;
    let text = |key: &str| observation.pointer("/Host")?.get(key)?.as_str().map(str::to_owned);
    Some(DaemonSeen {
        version: text("Version")?,
        manager_state: text("ManagerState")?,
        manager_error: text("ManagerError"),
        hands_unreachable: unreachable(&observation),
    })
}

/// What sources and conditions say of hands.
fn unreachable(observation: &Value) -> Vec<String> {
    let list = |name: &str, code: &str| {
        let all = observation.pointer(name).and_then(Value::as_array).into_iter().flatten();
        let of_hands: Vec<String> = all
            .filter(|one| one.get(code).and_then(Value::as_str) == Some("hand_unavailable"))
            .filter_map(|one| one.get("Message")?.as_str().map(str::to_owned))
            .collect();
        of_hands
    };
    let mut said = list("/Host/Probes", "Fault");
    said.extend(list("/Host/Conditions", "Reason").into_iter().filter(|text| text.contains("Docker")));
    said.dedup();
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_another_version_is_understood_by_what_it_has_in_common() {
        let newer = r#"{"Host": {"Version": "9.0.0", "ManagerState": "ok", "ManagerError": null, "Moon": 1}, "X": []}"#;
        let seen = seen_in(newer).unwrap();
        assert_eq!((seen.version.as_str(), seen.manager_state.as_str(), seen.manager_error), ("9.0.0", "ok", None));
        let dead = r#"{"Host": {"Version": "9", "ManagerState": "ok", "Probes": [
            {"Source": "nvml", "Fault": "hand_unavailable", "Message": "the host hand is unreachable"},
            {"Source": "nvidia_smi", "Fault": "hand_unavailable", "Message": "the host hand is unreachable"},
            {"Source": "sysfs", "Fault": null, "Message": null}], "Conditions": [
            {"Type": "docker_unavailable", "Reason": "hand_unavailable", "Message": "Docker does not answer"},
            {"Type": "driver_unavailable", "Reason": "hand_unavailable", "Message": "no driver facts"}]}}"#;
        let dead = seen_in(dead).unwrap().hands_unreachable;
        assert_eq!(dead, ["the host hand is unreachable", "Docker does not answer"]);
        assert_eq!(seen_in("{}"), None);
        assert_eq!(seen_in("no JSON"), None);
    }

    #[tokio::test]
    async fn a_bus_that_is_not_there_is_unknown_and_no_stopped_daemon() {
        let seen = ask(Some("unix:path=/nonexistent")).await;
        assert!(matches!(seen, Reading::Absent(Absence::Unreadable(_))), "{seen:?}");
    }
}
