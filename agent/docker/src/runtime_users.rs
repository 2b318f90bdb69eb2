//! Which containers of Docker, running and stopped, are created with a runtime: without it they do not start any more.

use crate::each_container::each_container;
use crate::http::DockerError;
use crate::json::Json;
use crate::within;
use model::daemon_json::RuntimeName;
use model::driver::ProbeError;
use model::ids::ContainerId;
use model::printable::printable;
use std::time::Duration;

/// Longest name that is passed on, in bytes.
const NAME_MAX_BYTES: usize = 80;

/// Their names, or the first digits of their ids.
///
/// # Errors
/// Docker cannot be asked or does not answer in time.
pub async fn runtime_users(socket: &str, runtime: &RuntimeName, deadline: Duration) -> Result<Vec<String>, ProbeError> {
    within(&format!("Docker ({socket})"), deadline, ask(socket, runtime)).await
}

async fn ask(socket: &str, runtime: &RuntimeName) -> Result<Vec<String>, DockerError> {
    let user = |id: &ContainerId, seen: &Json| {
        let has_it = seen.get("HostConfig").get("Runtime").text() == Some(runtime.as_str());
        let name = seen.get("Name").text().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
        has_it.then(|| name.map_or_else(|| id.short().to_owned(), |name| printable(name, NAME_MAX_BYTES)))
    };
    each_container(socket, user).await
}
