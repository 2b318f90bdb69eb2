//! What the containers of Docker, running and stopped, have mapped that can be a MIG instance.

use crate::each_container::each_container;
use crate::http::DockerError;
use crate::json::Json;
use crate::within;
use model::container_claims::{ContainerClaims, may_be_mig};
use model::driver::ProbeError;
use model::ids::ContainerId;
use std::path::Path;
use std::time::Duration;

/// The variable that names to NVIDIA's runtime what to map.
const VARIABLE: &str = "NVIDIA_VISIBLE_DEVICES=";
/// The folder in which a mount for each device names it instead.
const MOUNTS: &str = "/var/run/nvidia-container-devices/";
/// Annotations that name CDI devices.
const ANNOTATION: &str = "cdi.k8s.io/";
/// Where Docker's daemon is installed.
const DAEMONS: [&str; 4] =
    ["/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/snap/bin/docker.dockerd"];

/// Asks Docker for each container that maps what can be a MIG instance. Where no Docker is installed there is none.
///
/// # Errors
/// Docker is installed, and cannot be asked or does not answer in time: then any container may have any instance.
pub async fn mig_claims(socket: &str, deadline: Duration) -> Result<Vec<ContainerClaims>, ProbeError> {
    let is_installed = || DAEMONS.iter().any(|path| Path::new(path).exists());
    claims(socket, deadline, is_installed).await
}

async fn claims(
    socket: &str,
    deadline: Duration,
    is_installed: impl FnOnce() -> bool,
) -> Result<Vec<ContainerClaims>, ProbeError> {
    let what = format!("Docker ({socket})");
    match within(&what, deadline, ask(socket)).await {
        Err(ProbeError::Absent { .. }) if !is_installed() => Ok(Vec::new()),
        Err(ProbeError::Absent { what, said }) => {
            let said = format!(
                "{said}; Docker is installed, and its stopped containers may map an instance: systemctl start docker"
            );
            Err(ProbeError::Failed { what, status: 0, said })
        }
        answer => answer,
    }
}

async fn ask(socket: &str) -> Result<Vec<ContainerClaims>, DockerError> {
    let claims = |id: &ContainerId, seen: &Json| {
        let devices = devices(seen);
        let is_running = seen.get("State").get("Running").flag() != Some(false);
        (!devices.is_empty()).then(|| ContainerClaims { id: id.short().to_owned(), is_running, devices })
    };
    each_container(socket, claims).await
}

/// The names of its devices that can be a MIG instance, sorted.
fn devices(container: &Json) -> Vec<String> {
    let host = container.get("HostConfig");
    let mut names: Vec<&str> = Vec::new();
    let variables = container.get("Config").get("Env").items().iter().filter_map(Json::text);
    names.extend(variables.filter_map(|text| text.strip_prefix(VARIABLE)).flat_map(|list| list.split(',')));
    for request in host.get("DeviceRequests").items() {
        names.extend(request.get("DeviceIDs").items().iter().filter_map(Json::text));
    }
    names.extend(host.get("Devices").items().iter().filter_map(|device| device.get("PathOnHost").text()));
    let mounts = container.get("Mounts").items().iter().filter_map(|mount| mount.get("Destination").text());
    names.extend(mounts.filter_map(|path| path.strip_prefix(MOUNTS)).map(mounted));
    let annotations = host.get("Annotations");
    for key in annotations.keys().iter().filter(|key| key.starts_with(ANNOTATION)) {
        names.extend(annotations.get(key).text().into_iter().flat_map(|list| list.split(',')));
    }
    let mut names: Vec<String> =
        names.into_iter().map(str::trim).filter(|name| may_be_mig(name)).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `cdi/VENDOR/CLASS/DEVICE`, or the device alone.
fn mounted(name: &str) -> &str {
    name.strip_prefix("cdi/").and_then(|name| name.splitn(3, '/').nth(2)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: &str = "/nonexistent/docker.sock";

    #[tokio::test(flavor = "current_thread")]
    async fn a_docker_that_is_installed_and_silent_is_no_free_host() {
        let soon = Duration::from_secs(60);
        assert_eq!(claims(NOWHERE, soon, || false).await, Ok(Vec::new()));
        let said = claims(NOWHERE, soon, || true).await.unwrap_err().to_string();
        assert!(said.contains(NOWHERE) && said.contains("systemctl start docker"), "{said}");
    }

    #[test]
    fn each_way_to_map_a_device_is_read() {
        let container = br#"{"Config": {"Env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=0:1, MIG-a,all"]},
            "HostConfig": {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0:2"]}, {"DeviceIDs": null}],
                "Devices": [{"PathOnHost": "/dev/nvidia-caps/nvidia-cap12"}, {"PathOnHost": "/dev/nvidia0"}],
                "Annotations": {"cdi.k8s.io/x": "nvidia.com/gpu=0:3", "other": "0:9"}},
            "Mounts": [{"Destination": "/var/run/nvidia-container-devices/MIG-b"},
                {"Destination": "/var/run/nvidia-container-devices/cdi/nvidia.com/gpu/0:4"}]}"#;
        let expected = [
            "/dev/nvidia-caps/nvidia-cap12",
            "0:1",
            "0:4",
            "MIG-a",
            "MIG-b",
            "nvidia.com/gpu=0:2",
            "nvidia.com/gpu=0:3",
        ];
        let found = devices(&Json::read(container).unwrap());
        assert_eq!(found, expected);
        let many: Vec<String> = (0..200).map(|number| format!("MIG-{number:036}")).collect();
        let container = format!(r#"{{"Config": {{"Env": ["{VARIABLE}{}"]}}}}"#, many.join(","));
        assert_eq!(devices(&Json::read(container.as_bytes()).unwrap()), many, "however many it has");
        assert!(devices(&Json::read(br#"{"Config": {}, "HostConfig": {}}"#).unwrap()).is_empty());
    }
}
