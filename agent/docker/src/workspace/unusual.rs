//! What a container of a workspace never has: every setting of `HostConfig` that is not known here has to be empty, so that one of a
//! newer Docker does not go unnoticed.

use crate::json::Json;

/// Devices that a workspace can have, by their paths on the host.
const NODES: [&str; 3] = ["/dev/kvm", "/dev/net/tun", "/dev/dxg"];

/// The first setting that no container of ours has; none where all are as ours have them.
pub(crate) fn unusual_setting(host_config: &Json) -> Option<String> {
    host_config.keys().into_iter().find(|name| !is_usual(name, host_config.get(name)))
}

fn is_usual(name: &str, value: &Json) -> bool {
    if *value == Json::NotKept {
        return false;
    }
    let text = value.text().unwrap_or_default();
    match name {
        // Ours, or Docker's own without any harm.
        "AutoRemove" | "Init" | "ReadonlyRootfs" => name != "AutoRemove" || value.flag() != Some(true),
        "NanoCpus" | "Memory" | "MemorySwap" | "MemoryReservation" | "ShmSize" | "PidsLimit" | "ConsoleSize"
        | "LogConfig" | "Ulimits" | "GroupAdd" | "PortBindings" | "DeviceRequests" | "RestartPolicy"
        | "OomKillDisable" | "MemorySwappiness" => name != "OomKillDisable" || value.flag() != Some(true),
        "Runtime" => ["", "runc", "nvidia"].contains(&text),
        "NetworkMode" => text != "host" && !text.starts_with("container:") && !text.starts_with("ns:"),
        "IpcMode" => ["", "private", "shareable", "none"].contains(&text),
        "CgroupnsMode" => ["", "private", "host"].contains(&text),
        // An empty list hides nothing of the kernel's files.
        "MaskedPaths" | "ReadonlyPaths" => !value.items().is_empty(),
        "Devices" => value.items().iter().all(|device| is_node(device.get("PathOnHost").text().unwrap_or_default())),
        "Mounts" => value.items().iter().all(is_mount),
        _ => is_empty(value),
    }
}

fn is_node(path: &str) -> bool {
    NODES.contains(&path) || path.starts_with("/dev/dri/") || path.starts_with("/dev/vfio/")
}

/// A volume or a directory of the host, with the fields that ours have: options of a volume's driver can show any directory
/// (`o=bind,device=/etc`), and a part of a volume is found by a path that a tenant can change.
fn is_mount(mount: &Json) -> bool {
    let kind = mount.get("Type").text().unwrap_or_default();
    let has_usual_fields = mount.keys().into_iter().all(|name| {
        let value = mount.get(&name);
        match name.as_str() {
            "Type" => true,
            "Source" | "Target" => value.text().is_some(),
            "ReadOnly" => value.flag().is_some(),
            "BindOptions" | "VolumeOptions" => are_usual(value),
            _ => is_empty(value),
        }
    });
    has_usual_fields && ["volume", "bind"].contains(&kind)
}

/// None but the propagation that ours have.
fn are_usual(options: &Json) -> bool {
    let is_usual = |name: String| {
        let value = options.get(&name);
        is_empty(value) || (name == "Propagation" && value.text() == Some("rprivate"))
    };
    matches!(options, Json::Null | Json::Object(_)) && options.keys().into_iter().all(is_usual)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::NotKept => false,
        Json::Flag(flag) => !flag,
        Json::Number(number) => *number == 0,
        Json::Text(text) => text.is_empty(),
        Json::List(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the three engines show of a container of ours.
    const OURS: &str = r#"{"Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": "default", "PortBindings": null, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": false, "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null,
        "CgroupnsMode": "host", "Dns": null, "IpcMode": "private", "Cgroup": "", "Links": null, "OomScoreAdj": 0,
        "PidMode": "", "Privileged": false, "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null,
        "UTSMode": "", "UsernsMode": "", "ShmSize": 67108864, "Runtime": "runc", "Isolation": "", "CpuShares": 0,
        "Memory": 268435456, "NanoCpus": 1000000000, "CgroupParent": "", "BlkioWeight": 0, "Devices": null,
        "DeviceCgroupRules": null, "DeviceRequests": null, "MemorySwap": 536870912, "MemorySwappiness": null,
        "OomKillDisable": false, "PidsLimit": null, "Ulimits": null, "CpuCount": 0,
        "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"]}"#;

    fn found(change: (&str, &str)) -> Option<String> {
        assert!(OURS.contains(change.0), "{change:?}");
        unusual_setting(&Json::read(OURS.replacen(change.0, change.1, 1).as_bytes()).unwrap())
    }

    #[test]
    fn a_container_of_ours_has_nothing_unusual() {
        assert_eq!(found(("", "")), None);
        for (from, to) in [
            ("\"CgroupnsMode\": \"host\"", "\"CgroupnsMode\": \"private\""),
            ("\"IpcMode\": \"private\"", "\"IpcMode\": \"shareable\""),
            ("\"Ulimits\": null", "\"Ulimits\": [{\"Name\": \"memlock\", \"Soft\": -1, \"Hard\": -1}]"),
            ("\"Devices\": null", "\"Devices\": [{\"PathOnHost\": \"/dev/dri/by-path/pci-0000:41:00.0-card\"}]"),
            (
                "\"Isolation\": \"\"",
                "\"Mounts\": [{\"Type\": \"bind\", \"BindOptions\": {\"Propagation\": \"rprivate\"}}]",
            ),
            (
                "\"Isolation\": \"\"",
                "\"Mounts\": [{\"Type\": \"volume\", \"Source\": \"gpuhost-v\", \"Target\": \"/x\", \"VolumeOptions\": {\"DriverConfig\": {}}}]",
            ),
            ("\"Isolation\": \"\"", "\"Annotations\": {}"),
        ] {
            assert_eq!(found((from, to)), None, "{to}");
        }
    }

    #[test]
    fn what_ours_never_have_is_found_by_name_and_what_a_newer_docker_adds_too() {
        for (from, to) in [
            ("\"Privileged\": false", "\"Privileged\": true"),
            ("\"PidMode\": \"\"", "\"PidMode\": \"host\""),
            ("\"PidMode\": \"\"", "\"PidMode\": \"container:x\""),
            ("\"IpcMode\": \"private\"", "\"IpcMode\": \"host\""),
            ("\"IpcMode\": \"private\"", "\"IpcMode\": \"container:x\""),
            ("\"NetworkMode\": \"default\"", "\"NetworkMode\": \"host\""),
            ("\"NetworkMode\": \"default\"", "\"NetworkMode\": \"container:x\""),
            ("\"UsernsMode\": \"\"", "\"UsernsMode\": \"host\""),
            ("\"UTSMode\": \"\"", "\"UTSMode\": \"host\""),
            ("\"CapAdd\": null", "\"CapAdd\": [\"SYS_ADMIN\"]"),
            ("\"SecurityOpt\": null", "\"SecurityOpt\": [\"seccomp=unconfined\"]"),
            ("\"CgroupParent\": \"\"", "\"CgroupParent\": \"/\""),
            ("\"DeviceCgroupRules\": null", "\"DeviceCgroupRules\": [\"a *:* rwm\"]"),
            ("\"VolumesFrom\": null", "\"VolumesFrom\": [\"x\"]"),
            ("\"Links\": null", "\"Links\": [\"x:y\"]"),
            ("\"Binds\": null", "\"Binds\": [\"/:/host\"]"),
            ("\"VolumeDriver\": \"\"", "\"VolumeDriver\": \"x\""),
            ("\"Runtime\": \"runc\"", "\"Runtime\": \"other\""),
            ("\"AutoRemove\": false", "\"AutoRemove\": true"),
            ("\"OomKillDisable\": false", "\"OomKillDisable\": true"),
            ("\"PublishAllPorts\": false", "\"PublishAllPorts\": true"),
            ("\"Devices\": null", "\"Devices\": [{\"PathOnHost\": \"/dev/sda\"}]"),
            ("\"MaskedPaths\": [\"/proc/kcore\"]", "\"MaskedPaths\": []"),
            ("\"ReadonlyPaths\": [\"/proc/bus\"]", "\"ReadonlyPaths\": null"),
            ("\"CpuCount\": 0", "\"Annotations\": {\"cdi.k8s.io/x\": \"nvidia.com/gpu=0\"}"),
            ("\"CpuCount\": 0", "\"Sysctls\": {\"kernel.shmmax\": \"1\"}"),
            ("\"CpuCount\": 0", "\"Tmpfs\": {\"/x\": \"\"}"),
            ("\"CpuCount\": 0", "\"Mounts\": [{\"Type\": \"tmpfs\"}]"),
            ("\"CpuCount\": 0", "\"Mounts\": [{\"Type\": \"bind\", \"BindOptions\": {\"Propagation\": \"rshared\"}}]"),
            (
                "\"CpuCount\": 0",
                "\"Mounts\": [{\"Type\": \"volume\", \"VolumeOptions\": {\"DriverConfig\": {\"Name\": \"local\"}}}]",
            ),
            ("\"CpuCount\": 0", "\"Mounts\": [{\"Type\": \"volume\", \"VolumeOptions\": {\"Subpath\": \"x\"}}]"),
            ("\"CpuCount\": 0", "\"Mounts\": [{\"Type\": \"bind\", \"BindOptions\": {\"CreateMountpoint\": true}}]"),
            ("\"CpuCount\": 0", "\"Mounts\": [{\"Type\": \"volume\", \"OfANewerDocker\": {\"a\": {\"b\": 1}}}]"),
            ("\"CpuCount\": 0", "\"Mounts\": [{\"Source\": \"/etc\"}]"),
            ("\"CpuCount\": 0", "\"SomethingOfANewerDocker\": \"on\""),
            ("\"CpuCount\": 0", "\"SomethingOfANewerDocker\": 0.5"),
        ] {
            let name = to.split('"').nth(1).unwrap();
            assert_eq!(found((from, to)).as_deref(), Some(name), "{to}");
        }
    }
}
