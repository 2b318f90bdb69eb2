//! The digest of a specification: two that differ in anything that a container is created from have different ones.
//!
//! Only what is set is in the digest, so that a field that a later version adds changes none of the digests of before: a changed
//! digest re-creates a container. What the host contributes (which GPU, which node, which group) is not in it for the same reason.

use super::spec::{Count, GpuWish, Mode, Spec};
use crate::fingerprint::fnv1a;
use serde_json::{Map, Value, json};

impl Spec {
    /// The digest.
    pub(super) fn digest(&self) -> String {
        format!("{:016x}", fnv1a(&self.canonical().to_string()))
    }

    fn canonical(&self) -> Value {
        let mut map = Map::new();
        let mut set = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        set("image", self.image.to_string().into());
        set("millicores", format!("{:.0}", self.cores * 1e3).into());
        set("memory", self.memory.into());
        set("shm", self.shm_size.into());
        if !self.environment.variables.is_empty() {
            set("environment", json!(self.environment.variables));
        }
        if let Some(visible) = &self.environment.visible {
            set("visible", json!(visible));
        }
        if let Some(wish) = &self.gpu {
            set("gpu", gpu(wish));
        }
        if self.acceleration {
            set("acceleration", true.into());
        }
        if self.nested {
            set("nested", true.into());
        }
        if !self.ports.is_empty() {
            set("ports", json!(self.ports));
        }
        if !self.mounts.is_empty() {
            set("mounts", json!(self.mounts));
        }
        if !self.networks.is_empty() {
            set("networks", json!(self.networks));
        }
        if let Some(name) = &self.run.hostname {
            set("hostname", name.as_str().into());
        }
        if self.run.init {
            set("init", true.into());
        }
        if self.run.read_only {
            set("read_only", true.into());
        }
        if let Some(context) = &self.context {
            set("security_context", context.as_str().into());
        }
        Value::Object(map)
    }
}

fn gpu(wish: &GpuWish) -> Value {
    let mut map = Map::new();
    let mode = match wish.mode {
        Mode::Share => "share",
        Mode::Passthrough => "passthrough",
    };
    map.insert("mode".to_owned(), mode.into());
    let count = match wish.count {
        Count::Exactly(count) => Value::from(count),
        Count::All => "all".into(),
    };
    map.insert("count".to_owned(), count);
    if !wish.devices.is_empty() {
        map.insert("devices".to_owned(), json!(wish.devices));
    }
    if let Some(profile) = &wish.mig_profile {
        map.insert("mig_profile".to_owned(), profile.as_str().into());
    }
    if !wish.features.is_empty() {
        let names: Vec<&str> = wish.features.iter().map(|feature| feature.code()).collect();
        map.insert("features".to_owned(), json!(names));
    }
    if !wish.capabilities.is_empty() {
        map.insert("capabilities".to_owned(), json!(wish.capabilities));
    }
    if wish.min_memory_mib > 0 {
        map.insert("min_memory_mib".to_owned(), wish.min_memory_mib.into());
    }
    Value::Object(map)
}
