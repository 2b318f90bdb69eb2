//! The environment of a workspace: which variables a document may set.

use super::fields::{shown, wrong};
use super::refused::WorkspaceRefused;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most variables.
pub(super) const MOST_VARIABLES: usize = 1000;
/// Longest `NAME=VALUE` that the kernel hands to a program, in bytes.
const LONGEST: usize = 128 * 1024 - 1;
/// Which GPUs the NVIDIA runtime gives.
pub(super) const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

/// What a document sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Environment {
    /// Variables that are passed on.
    pub(super) variables: BTreeMap<String, String>,
    /// The GPUs that the document itself names in `NVIDIA_VISIBLE_DEVICES`: each has to be given to the workspace.
    pub(super) visible: Option<Vec<String>>,
}

impl Environment {
    /// Adds an object of variables; `path` names it.
    pub(super) fn add(&mut self, value: &Value, path: &str) -> Result<(), WorkspaceRefused> {
        let map = value.as_object().ok_or_else(|| WorkspaceRefused::invalid(path, wrong(value, "an object")))?;
        if map.len() + self.variables.len() > MOST_VARIABLES {
            return Err(WorkspaceRefused::invalid(path, format!("more than {MOST_VARIABLES} variables")));
        }
        for (name, value) in map {
            let field = format!("{path}.{}", shown(name));
            let text = value.as_str().ok_or_else(|| WorkspaceRefused::invalid(&field, "its value is not a string"))?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(WorkspaceRefused::invalid(&field, "a name is of letters, digits and '_'"));
            }
            if text.contains('\0') || name.len() + text.len() >= LONGEST {
                return Err(WorkspaceRefused::invalid(
                    &field,
                    format!("its value has a NUL, or more than {LONGEST} bytes"),
                ));
            }
            if name == VISIBLE_DEVICES {
                self.visible = Some(visible(text, &field)?);
                continue;
            }
            if let Some(why) = kept(name) {
                return Err(WorkspaceRefused::denied(&field, why));
            }
            self.variables.insert(name.clone(), text.to_owned());
        }
        Ok(())
    }
}

/// Why a variable is not a document's to set. Hooks of the runtime inherit what the loader obeys (CVE-2025-23266).
fn kept(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("NVIDIA_") {
        Some("it controls the NVIDIA runtime and is derived from gpu")
    } else if upper.starts_with("LD_") || upper == "GCONV_PATH" || upper == "GLIBC_TUNABLES" {
        Some("it controls the dynamic loader, also of programs outside the container")
    } else {
        None
    }
}

/// A variable is not a document's to set.
pub(super) fn is_kept(name: &str) -> bool {
    kept(name).is_some()
}

/// UUIDs with commas between. The runtime also takes indices, `all`, names of CDI and spaces: a document may not.
fn visible(text: &str, field: &str) -> Result<Vec<String>, WorkspaceRefused> {
    let uuid = |name: &str| {
        let known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        known && (name.starts_with("GPU-") || name.starts_with("MIG-"))
    };
    if !text.split(',').all(uuid) {
        return Err(WorkspaceRefused::denied(
            field,
            "it may name UUIDs of GPUs that are given to this workspace, and nothing else",
        ));
    }
    Ok(text.split(',').map(str::to_owned).collect())
}
