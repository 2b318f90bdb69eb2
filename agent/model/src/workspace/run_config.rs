//! `run_config` and `exec_config`, with the names of docker-py: a short list is taken, everything else is refused by its name.

use super::environment::Environment;
use super::fields::{Fields, shown};
use super::refused::WorkspaceRefused;
use serde_json::Value;

/// What is taken of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RunConfig {
    pub(super) hostname: Option<String>,
    pub(super) init: bool,
    pub(super) read_only: bool,
    pub(super) shm_size: Option<u64>,
}

impl RunConfig {
    /// Adds what an image or a workspace reports; the later one wins.
    pub(super) fn add(
        &mut self,
        value: &Value,
        path: &str,
        environment: &mut Environment,
    ) -> Result<(), WorkspaceRefused> {
        let mut fields = Fields::of(value, path)?;
        if let Some(name) = fields.text("hostname")? {
            if !is_hostname(name) {
                return Err(WorkspaceRefused::invalid(
                    fields.path("hostname"),
                    format!("{:?} is not a valid host name", shown(name)),
                ));
            }
            self.hostname = Some(name.to_owned());
        }
        self.init |= fields.boolean("init")?;
        self.read_only |= fields.boolean("read_only")?;
        self.shm_size = fields.count("shm_size")?.or(self.shm_size);
        if let Some(value) = fields.get("environment") {
            environment.add(value, &fields.path("environment"))?;
        }
        match fields.unknown() {
            Some((name, value)) => Err(refused(&fields.path(&shown(name)), name, value)),
            None => Ok(()),
        }
    }
}

/// Refuses whatever an `exec_config` reports: nothing is run inside a workspace.
pub(super) fn no_exec(value: Option<&Value>, path: &str) -> Result<(), WorkspaceRefused> {
    match value.and_then(Value::as_object).map(|map| map.keys().next()) {
        None if value.is_some() => Err(WorkspaceRefused::invalid(path, "it is not an object")),
        None | Some(None) => Ok(()),
        Some(Some(name)) => {
            Err(WorkspaceRefused::denied(format!("{path}.{}", shown(name)), "nothing is run inside a workspace"))
        }
    }
}

/// The field is named with what is inside of it: `run_config.HostConfig.Privileged`.
fn refused(field: &str, name: &str, value: &Value) -> WorkspaceRefused {
    let inner = value.as_object().and_then(|map| map.keys().next());
    let field = inner.map_or_else(|| field.to_owned(), |inner| format!("{field}.{}", shown(inner)));
    let why = match name {
        "devices" | "device_cgroup_rules" | "device_requests" => {
            "devices are derived from gpu, hardware_acceleration and nested_virtualization only"
        }
        "runtime" => "the runtime is derived from gpu",
        "labels" => "labels identify the containers of gpuhostd",
        _ => "a document may set only these for Docker: hostname, environment, init, read_only, shm_size",
    };
    WorkspaceRefused::denied(field, why)
}

pub(super) fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        let known = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        known && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 64 && name.split('.').all(label)
}
