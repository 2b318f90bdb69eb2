//! What `GET /version` and `GET /info` say, field by field: a value of another type than expected costs that field, and what is
//! not looked at is not kept.

use model::docker::{DockerFacts, Engine};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A value of this type, or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Good(T),
    Bad(IgnoredAny),
}

impl<T> Lenient<T> {
    fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Bad(_) => None,
        }
    }
}

fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Lenient::deserialize(from).map(Lenient::good)
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let items: Option<Vec<Lenient<T>>> = lenient(from)?;
    Ok(items.unwrap_or_default().into_iter().filter_map(Lenient::good).collect())
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let map: Option<BTreeMap<String, IgnoredAny>> = lenient(from)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

/// `GET /version`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Version {
    #[serde(deserialize_with = "lenient")]
    version: Option<String>,
    #[serde(deserialize_with = "lenient")]
    api_version: Option<String>,
    #[serde(deserialize_with = "list")]
    components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

/// `GET /info`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Info {
    #[serde(deserialize_with = "lenient")]
    server_version: Option<String>,
    #[serde(deserialize_with = "lenient")]
    docker_root_dir: Option<String>,
    #[serde(deserialize_with = "keys")]
    runtimes: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    default_runtime: Option<String>,
    #[serde(rename = "CDISpecDirs", deserialize_with = "list")]
    cdi_spec_dirs: Vec<String>,
    #[serde(deserialize_with = "list")]
    discovered_devices: Vec<Discovered>,
    #[serde(deserialize_with = "lenient")]
    cgroup_version: Option<String>,
    #[serde(deserialize_with = "lenient")]
    cgroup_driver: Option<String>,
    #[serde(deserialize_with = "lenient")]
    live_restore_enabled: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    containers_running: Option<u32>,
    #[serde(deserialize_with = "list")]
    security_options: Vec<String>,
    /// Only Podman says which Buildah it is built on.
    #[serde(deserialize_with = "lenient")]
    buildah_version: Option<String>,
    /// Podman's own word for it.
    #[serde(deserialize_with = "lenient")]
    rootless: Option<bool>,
}

#[derive(Deserialize)]
struct Discovered {
    #[serde(rename = "Source")]
    source: String,
    #[serde(rename = "ID")]
    id: String,
}

fn text(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

/// The facts in both answers.
pub(super) fn facts(version: Version, info: Info) -> DockerFacts {
    let is_podman = version.components.iter().any(|component| component.name.starts_with("Podman"))
        || info.buildah_version.is_some_and(|version| !version.is_empty());
    let devices = info.discovered_devices.into_iter().filter(|device| device.source == "cdi" && !device.id.is_empty());
    let mut cdi_devices: Vec<String> = devices.map(|device| device.id).collect();
    cdi_devices.sort_unstable();
    let rootless = |option: &String| option.split(',').any(|part| part == "name=rootless");
    DockerFacts {
        version: text(version.version).or_else(|| text(info.server_version)),
        api: text(version.api_version),
        root_dir: text(info.docker_root_dir),
        runtimes: info.runtimes,
        default_runtime: text(info.default_runtime),
        cdi_spec_dirs: info.cdi_spec_dirs,
        cdi_devices,
        cdi_all: None,
        cdi_problems: Vec::new(),
        engine: if is_podman { Engine::Podman } else { Engine::Docker },
        rootless: info.rootless == Some(true) || info.security_options.iter().any(rootless),
        cgroup_version: text(info.cgroup_version),
        cgroup_driver: text(info.cgroup_driver),
        live_restore: info.live_restore_enabled,
        containers_running: info.containers_running,
    }
}
