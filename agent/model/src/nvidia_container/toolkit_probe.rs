//! How the way into a container is tried: one short container from the toolkit's image that looks for a device node.

use super::NvidiaSpec;
use crate::image_ref::ImageRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The way by which a container gets GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolkitWay {
    /// By a CDI device, which Docker itself knows.
    Cdi,
    /// By the OCI runtime `nvidia` and a variable.
    Runtime,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolkitProbe {
    /// A container sees a GPU's device node.
    Device,
    /// A container starts and sees none: libraries without a device, on which applications fail later.
    NoDevice,
    /// Docker or the runtime does not start such a container.
    Refused {
        /// Their words.
        why: String,
    },
}

/// Looks with what every shell has; the image has no other tools for certain.
const LOOK: &str = r#"for node in /dev/nvidia[0-9]*; do if [ -c "$node" ]; then exit 0; fi; done; exit 64"#;

impl ToolkitWay {
    /// Exit status of a container that sees no device.
    pub const NO_DEVICE: i64 = 64;
    /// The value of [`NvidiaSpec::ROLE_LABEL`] by which it is found again.
    pub const LABEL_VALUE: &'static str = "probe";

    /// The body of `POST /containers/create`: no network, no mounts, no capabilities.
    #[must_use]
    pub fn body(self, image: &ImageRef) -> Value {
        let (runtime, visible, requests) = match self {
            Self::Cdi => {
                ("runc", "void", json!([{ "Driver": "cdi", "Count": 0, "DeviceIDs": ["nvidia.com/gpu=all"] }]))
            }
            Self::Runtime => ("nvidia", "all", json!([])),
        };
        json!({
            "Image": image.to_string(),
            "Entrypoint": ["/bin/sh", "-c", LOOK],
            "Cmd": [],
            "Env": [format!("NVIDIA_VISIBLE_DEVICES={visible}"), "NVIDIA_DRIVER_CAPABILITIES=utility"],
            "Labels": { NvidiaSpec::ROLE_LABEL: Self::LABEL_VALUE },
            "HostConfig": {
                "Runtime": runtime,
                "DeviceRequests": requests,
                "NetworkMode": "none",
                "ReadonlyRootfs": true,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "RestartPolicy": { "Name": "no" },
                "AutoRemove": false,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_asks_for_a_device_in_one_way_and_for_no_power() {
        let image: ImageRef = "r.example/toolkit:1".parse().unwrap();
        let (cdi, runtime) = (ToolkitWay::Cdi.body(&image), ToolkitWay::Runtime.body(&image));
        assert_eq!(cdi["HostConfig"]["DeviceRequests"][0]["Count"], 0);
        assert_eq!(
            (&cdi["HostConfig"]["Runtime"], &runtime["HostConfig"]["Runtime"]),
            (&json!("runc"), &json!("nvidia"))
        );
        assert_eq!(
            (&cdi["Env"][0], &runtime["Env"][0]),
            (&json!("NVIDIA_VISIBLE_DEVICES=void"), &json!("NVIDIA_VISIBLE_DEVICES=all"))
        );
        for body in [cdi, runtime] {
            assert!(body["HostConfig"].get("Binds").is_none() && body["HostConfig"].get("Privileged").is_none());
        }
    }
}
