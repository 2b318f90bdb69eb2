//! Asks the running daemon for what it shows on the bus; a daemon that is down is named and is no failure.

use super::Basket;
use std::time::Duration;
use tokio::time::timeout;
use wire::dbus::proxy::{HostProxy, Options};
use zbus::connection::Builder;
use zbus::proxy::CacheProperties;

/// How long bus and daemon may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Where its answer goes in the archive.
const INTO: &str = "daemon.json";

/// Asks on this bus, or on the system bus.
pub(super) async fn ask(address: Option<&str>, basket: &mut Basket) {
    let what = "gpuhostd on the message bus";
    match timeout(WITHIN, observation(address)).await {
        Ok(Ok(text)) => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(document) => basket.json(INTO, &document),
            Err(error) => basket.miss(what, &format!("its answer is not JSON: {error}")),
        },
        Ok(Err(error)) => basket.miss(what, &error.to_string()),
        Err(_) => basket.miss(what, &format!("it did not answer within {} s", WITHIN.as_secs())),
    }
}

async fn observation(address: Option<&str>) -> zbus::Result<String> {
    let builder = match address {
        Some(address) => Builder::address(address),
        None => Builder::system(),
    };
    let connection = builder.build().await?;
    let host = HostProxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
    host.get_observation(Options::new()).await
}
