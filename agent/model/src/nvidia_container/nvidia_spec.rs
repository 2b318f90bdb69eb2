//! What one of NVIDIA's containers is created from, and the request by which Docker creates it.

use super::{LABELS, NvidiaRole};
use crate::fingerprint::fnv1a;
use crate::image_ref::ImageRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which kernel modules the driver container builds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KernelModuleType {
    /// The driver chooses by GPU.
    #[default]
    Auto,
    /// The open ones.
    Open,
    /// The closed ones.
    Proprietary,
}

/// What a driver container is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverOptions {
    /// Which kernel modules it builds.
    pub kernel_modules: KernelModuleType,
    /// `DRIVER_CONFIG_DIGEST`: where it is equal to that of the loaded driver, a restart of the container leaves the driver loaded.
    pub config_digest: String,
}

/// Where the driver's files are that the toolkit works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverRootKind {
    /// Below `/run/nvidia/driver`: a driver container has installed them.
    Container,
    /// At `/`: the host has its own.
    Host,
}

impl DriverRootKind {
    /// As it is in records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Host => "host",
        }
    }
}

/// What a toolkit container is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolkitOptions {
    /// Where the driver's files are.
    pub driver_root: DriverRootKind,
    /// It knows `NO_RUNTIME_CONFIG` (from 1.19 on); an older one writes its configuration of Docker to a file that nobody reads.
    pub knows_no_runtime_config: bool,
}

/// What differs between the roles.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NvidiaOptions {
    /// Of the driver container.
    Driver(DriverOptions),
    /// Of the toolkit container.
    Toolkit(ToolkitOptions),
}

/// What one of the two is created from. The create request is a function of it alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaSpec {
    /// Its image, with its digest.
    pub image: ImageRef,
    /// What it is given.
    pub options: NvidiaOptions,
}

/// Folder in which driver and toolkit put what other containers need.
const RUN_NVIDIA: &str = "/run/nvidia";

impl NvidiaSpec {
    /// Seconds that a container has to end by itself. The driver container unloads the driver in this time; a killed one leaves it.
    pub const STOP_WITHIN_S: u32 = 120;
    /// Folder of the host below which the toolkit container installs its programs. They outlive it.
    pub const TOOLKIT_ROOT: &'static str = "/usr/local/nvidia";
    /// The OCI runtime that the toolkit container installs.
    pub const TOOLKIT_RUNTIME: &'static str = "/usr/local/nvidia/toolkit/nvidia-container-runtime";
    /// Label of the role.
    pub const ROLE_LABEL: &'static str = "org.gpuhost.Agent1.role";
    /// Label of the specification's digest.
    pub const SPEC_LABEL: &'static str = "org.gpuhost.Agent1.spec";

    /// Its role.
    #[must_use]
    pub const fn role(&self) -> NvidiaRole {
        match self.options {
            NvidiaOptions::Driver(_) => NvidiaRole::Driver,
            NvidiaOptions::Toolkit(_) => NvidiaRole::Toolkit,
        }
    }

    /// Sixteen hexadecimal digits that differ where the request for Docker differs.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = json!({ "image": self.image, "create": self.unlabelled() }).to_string();
        format!("{:016x}", fnv1a(&text))
    }

    /// The container's name: two specifications never want the same.
    #[must_use]
    pub fn container_name(&self) -> String {
        format!("gpuhostd-{}-{}", self.role(), self.digest())
    }

    /// Entrypoint and command, as Docker shows them.
    #[must_use]
    pub const fn command(role: NvidiaRole) -> &'static [&'static str] {
        match role {
            NvidiaRole::Driver => &["nvidia-driver", "init"],
            NvidiaRole::Toolkit => &["nvidia-toolkit"],
        }
    }

    /// Destinations of the mounts without which a container is none of this role.
    #[must_use]
    pub const fn needed_mounts(role: NvidiaRole) -> &'static [&'static str] {
        match role {
            NvidiaRole::Driver => &[RUN_NVIDIA, "/lib/firmware"],
            NvidiaRole::Toolkit => &[RUN_NVIDIA, Self::TOOLKIT_ROOT],
        }
    }

    /// The body of `POST /containers/create`.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = self.unlabelled();
        if let Some(body) = body.as_object_mut() {
            let (role, spec) = (format!("{LABELS}role"), format!("{LABELS}spec"));
            body.insert("Image".to_owned(), self.image.to_string().into());
            body.insert("Labels".to_owned(), json!({ role: self.role().code(), spec: self.digest() }));
        }
        body
    }

    fn unlabelled(&self) -> Value {
        let command = Self::command(self.role());
        let (entrypoint, arguments) = command.split_at(1);
        let (environment, binds) = match &self.options {
            NvidiaOptions::Driver(options) => (driver_environment(options), driver_binds()),
            NvidiaOptions::Toolkit(options) => (toolkit_environment(options), toolkit_binds(options)),
        };
        json!({
            "Entrypoint": entrypoint,
            "Cmd": arguments,
            "Env": environment,
            "StopTimeout": Self::STOP_WITHIN_S,
            "HostConfig": {
                "Binds": binds,
                "Privileged": true,
                "PidMode": "host",
                // Not the default one: where that is NVIDIA's, it would look for a driver before there is one.
                "Runtime": "runc",
                "RestartPolicy": { "Name": "no" },
                "AutoRemove": false,
                "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "2" } },
            },
        })
    }
}

/// What gpu-driver-container and the GPU Operator set.
fn driver_environment(options: &DriverOptions) -> Vec<String> {
    let modules: &str = options.kernel_modules.into();
    vec![
        format!("DRIVER_CONFIG_DIGEST={}", options.config_digest),
        format!("KERNEL_MODULE_TYPE={modules}"),
        "NVIDIA_VISIBLE_DEVICES=void".to_owned(),
    ]
}

/// As the GPU Operator mounts them. Docker makes the folders that are not there.
fn driver_binds() -> Vec<String> {
    [
        "/run/nvidia:/run/nvidia:rshared",
        "/run/nvidia-fabricmanager:/run/nvidia-fabricmanager",
        "/run/nvidia-topologyd:/run/nvidia-topologyd",
        "/run/nvidia/driver/lib/firmware:/lib/firmware",
        "/etc/os-release:/host-etc/os-release:ro",
        "/var/log:/var/log",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn toolkit_environment(options: &ToolkitOptions) -> Vec<String> {
    let (root, inside) = match options.driver_root {
        DriverRootKind::Container => ("/run/nvidia/driver", "/run/nvidia/driver"),
        DriverRootKind::Host => ("/", "/host"),
    };
    let mut environment = vec![
        "CREATE_DEVICE_NODES=".to_owned(),
        format!("DEV_ROOT={root}"),
        format!("DRIVER_ROOT={root}"),
        format!("DRIVER_ROOT_CTR_PATH={inside}"),
        format!("NVIDIA_DRIVER_ROOT={root}"),
        "NVIDIA_RUNTIME_SET_AS_DEFAULT=false".to_owned(),
        "NVIDIA_VISIBLE_DEVICES=void".to_owned(),
    ];
    if options.knows_no_runtime_config {
        environment.push("NO_RUNTIME_CONFIG=true".to_owned());
    }
    environment.extend([
        format!("ROOT={}", NvidiaSpec::TOOLKIT_ROOT),
        "RUNTIME=docker".to_owned(),
        // A file of the container: nobody reads it.
        "RUNTIME_CONFIG=/tmp/gpuhostd-daemon.json".to_owned(),
        "RUNTIME_RESTART_MODE=none".to_owned(),
    ]);
    environment
}

fn toolkit_binds(options: &ToolkitOptions) -> Vec<String> {
    let mut binds = vec![
        // Slave, not private: the driver's root is mounted and unmounted while it runs.
        "/run/nvidia:/run/nvidia:rslave".to_owned(),
        format!("{root}:{root}", root = NvidiaSpec::TOOLKIT_ROOT),
    ];
    match options.driver_root {
        DriverRootKind::Container => {}
        DriverRootKind::Host => binds.push("/:/host:ro,rslave".to_owned()),
    }
    binds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(options: NvidiaOptions) -> NvidiaSpec {
        let image = format!("nvcr.io/nvidia/driver:580.126.16-ubuntu24.04@sha256:{}", "a".repeat(64));
        NvidiaSpec { image: image.parse().unwrap(), options }
    }

    fn driver(config_digest: &str) -> NvidiaSpec {
        let config_digest = config_digest.to_owned();
        spec(NvidiaOptions::Driver(DriverOptions { kernel_modules: KernelModuleType::Auto, config_digest }))
    }

    #[test]
    fn a_driver_container_keeps_its_driver_over_a_restart_and_never_restarts_by_itself() {
        let body = driver("1234").body();
        assert!(body["Env"].as_array().unwrap().contains(&json!("DRIVER_CONFIG_DIGEST=1234")));
        assert_eq!(body["HostConfig"]["RestartPolicy"]["Name"], "no");
        assert_eq!((body["Entrypoint"][0].as_str(), body["Cmd"][0].as_str()), (Some("nvidia-driver"), Some("init")));
        assert_eq!(body["Labels"]["org.gpuhost.Agent1.role"], "driver");
    }

    #[test]
    fn the_digest_differs_where_the_request_does() {
        assert_eq!(driver("1").digest(), driver("1").digest());
        assert_ne!(driver("1").digest(), driver("2").digest());
        assert_ne!(driver("1").container_name(), driver("2").container_name());
    }

    #[test]
    fn a_toolkit_container_changes_nothing_of_docker() {
        for knows in [false, true] {
            let options = ToolkitOptions { driver_root: DriverRootKind::Host, knows_no_runtime_config: knows };
            let body = spec(NvidiaOptions::Toolkit(options)).body();
            let environment = body["Env"].as_array().unwrap();
            for variable in [
                "NVIDIA_RUNTIME_SET_AS_DEFAULT=false",
                "RUNTIME_RESTART_MODE=none",
                "RUNTIME_CONFIG=/tmp/gpuhostd-daemon.json",
            ] {
                assert!(environment.contains(&json!(variable)), "{variable}");
            }
            assert_eq!(environment.contains(&json!("NO_RUNTIME_CONFIG=true")), knows);
            assert!(!body.to_string().contains("docker.sock"));
        }
    }
}
