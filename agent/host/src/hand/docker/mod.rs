//! Docker's facts, and nvidia-smi in the driver container.

mod driver_container;
mod http;

pub use driver_container::smi_in_driver_container;

use http::{DockerError, get};
use model::docker::DockerFacts;
use model::driver::ProbeFault;
use serde_json::Value;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// Asks Docker for its version and its settings. One field of another type than expected costs that field.
///
/// # Errors
/// Docker is absent, refuses, or does not answer in time.
pub async fn facts(socket: &str, deadline: Duration) -> Result<DockerFacts, ProbeFault> {
    let what = format!("Docker ({socket})");
    within(&what, deadline, async {
        let (version, info) = tokio::try_join!(get(socket, "/version"), get(socket, "/info"))?;
        Ok(facts_of(&version, &info))
    })
    .await
}

/// Runs a conversation with Docker under one deadline.
async fn within<T>(
    what: &str,
    deadline: Duration,
    conversation: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, ProbeFault> {
    match timeout(deadline, conversation).await {
        Ok(outcome) => outcome.map_err(|error| error.into_fault(what)),
        Err(_) => {
            let after_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            Err(ProbeFault::Timeout { what: what.to_owned(), after_ms })
        }
    }
}

/// The facts in the answers to `GET /version` and `GET /info`. Field by field, and not into a closed type: a value that a newer
/// Docker added must not cost everything else.
#[must_use]
pub fn facts_of(version: &Value, info: &Value) -> DockerFacts {
    let text = |from: &Value, key: &str| from.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let list = |key: &str| info.get(key).and_then(Value::as_array).into_iter().flatten();
    let devices =
        list("DiscoveredDevices").filter(|device| device.get("Source").and_then(Value::as_str) == Some("cdi"));
    let mut cdi_devices: Vec<String> = devices.filter_map(|device| text(device, "ID")).collect();
    cdi_devices.sort_unstable();
    let mut runtimes: Vec<String> =
        info.get("Runtimes").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()).collect();
    runtimes.sort_unstable();
    DockerFacts {
        version: text(version, "Version").or_else(|| text(info, "ServerVersion")),
        api: text(version, "ApiVersion"),
        root_dir: text(info, "DockerRootDir"),
        runtimes,
        default_runtime: text(info, "DefaultRuntime"),
        cdi_spec_dirs: list("CDISpecDirs").filter_map(Value::as_str).map(str::to_owned).collect(),
        cdi_devices,
        cgroup_version: text(info, "CgroupVersion"),
        cgroup_driver: text(info, "CgroupDriver"),
        live_restore: info.get("LiveRestoreEnabled").and_then(Value::as_bool),
        containers_running: info.get("ContainersRunning").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()),
    }
}
