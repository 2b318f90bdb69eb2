//! The whole answer of `GET /containers/ID/json`, in the shape and at the depth that an engine gives it: nothing in it is too deep to be
//! judged.

use crate::PATIENCE;
use crate::server::{Reply, Server};
use docker::{PULL_STALLED_AFTER, WorkspaceContainers};
use model::policy::{HostPolicy, WorkspacesPolicy};
use model::workspace_life::{WhyNotOurs, WorkspaceDeed};
use serde_json::{Value, json};

const ID: &str = "9c1f6b0a5d7e4823b1c0ffee9c1f6b0a5d7e4823b1c0ffee9c1f6b0a5d7e4823";
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES=void";

/// Of a container of ours.
const HOST_CONFIG: &str = r#"{
        "Binds": null, "ContainerIDFile": "", "LogConfig": { "Type": "json-file", "Config": {} }, "NetworkMode": "bridge",
        "PortBindings": { "6901/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "16901" }] },
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false, "VolumeDriver": "", "VolumesFrom": null,
        "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "private", "Dns": null, "DnsOptions": null,
        "DnsSearch": null, "ExtraHosts": null, "GroupAdd": ["44"], "IpcMode": "private", "Cgroup": "", "Links": null,
        "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false, "ReadonlyRootfs": false,
        "SecurityOpt": null, "UTSMode": "", "UsernsMode": "", "ShmSize": 536870912, "Runtime": "runc", "Isolation": "",
        "CpuShares": 0, "Memory": 8589934592, "NanoCpus": 2000000000, "CgroupParent": "", "BlkioWeight": 0,
        "BlkioWeightDevice": null, "CpuPeriod": 0, "CpuQuota": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
        "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 17179869184,
        "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0,
        "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
        "Mounts": [
            { "Type": "volume", "Source": "gpuhost-home", "Target": "/home/user" },
            { "Type": "bind", "Source": "/srv/models", "Target": "/models", "ReadOnly": true,
              "BindOptions": { "Propagation": "rprivate" } }
        ],
        "MaskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys"], "ReadonlyPaths": ["/proc/bus", "/proc/sys"]
    }"#;

fn container() -> Value {
    json!({
        "Id": ID, "Created": "2026-11-29T10:00:00.5Z", "Path": "/init", "Args": ["--serve"],
        "State": { "Status": "exited", "Running": false, "Paused": false, "Restarting": false, "OOMKilled": false, "Dead": false,
            "Pid": 0, "ExitCode": 0, "Error": "", "StartedAt": "2026-11-29T10:00:01Z", "FinishedAt": "2026-11-29T11:00:00Z" },
        "Image": format!("sha256:{ID}"), "ResolvConfPath": "/x/resolv.conf", "HostnamePath": "/x/hostname",
        "HostsPath": "/x/hosts", "LogPath": "/x/log", "Name": "/gpuhost-w-1", "RestartCount": 0, "Driver": "overlay2",
        "Platform": "linux", "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "docker-default", "ExecIDs": null,
        "HostConfig": serde_json::from_str::<Value>(HOST_CONFIG).unwrap(),
        "GraphDriver": { "Data": { "LowerDir": "/x/a:/x/b", "MergedDir": "/x/merged" }, "Name": "overlay2" },
        "Mounts": [
            { "Type": "volume", "Name": "gpuhost-home", "Source": "/x/_data", "Destination": "/home/user", "Driver": "local",
              "Mode": "z", "RW": true, "Propagation": "" },
            { "Type": "bind", "Source": "/srv/models", "Destination": "/models", "Mode": "", "RW": false,
              "Propagation": "rprivate" },
        ],
        "Config": { "Hostname": "desk", "Domainname": "", "User": "", "Tty": false, "OpenStdin": false,
            "ExposedPorts": { "6901/tcp": {} }, "Env": ["PATH=/bin", VISIBLE], "Cmd": ["/init"], "Volumes": null,
            "Image": format!("r.example/x@sha256:{ID}"), "Entrypoint": null, "Labels": {
                "org.gpuhost.Agent1.workspace": "w-1", "org.gpuhost.Agent1.generation": "3",
                "org.gpuhost.Agent1.spec": "0123456789abcdef", "org.gpuhost.Agent1.source": "manager" } },
        "NetworkSettings": { "Bridge": "", "SandboxID": "", "Ports": {}, "Networks": {
            "bridge": { "IPAMConfig": { "IPv4Address": "" }, "Links": null, "DriverOpts": { "a": "b" } } } },
    })
}

async fn seen(container: &Value) -> (Option<WhyNotOurs>, Server) {
    let labels = container.pointer("/Config/Labels").unwrap();
    let list = json!([{ "Id": ID, "Names": ["/gpuhost-w-1"], "Labels": labels, "State": "exited" }]);
    let server = Server::start(vec![
        ("/containers/json?", Reply::Json(200, list.to_string())),
        (ID, Reply::Json(200, container.to_string())),
    ]);
    let hand = WorkspaceContainers::new(&server.socket(), PULL_STALLED_AFTER);
    let look = hand.look(&[], PATIENCE).await.unwrap();
    (look.containers.first().unwrap().foreign, server)
}

/// Why the start is refused; it never reaches Docker.
async fn refused(server: &Server) -> String {
    let workspaces = WorkspacesPolicy {
        registries: vec!["r.example".to_owned()],
        host_paths: vec!["/srv/models".to_owned()],
        ..WorkspacesPolicy::default()
    };
    let policy = HostPolicy { workspaces, ..HostPolicy::default() };
    let hand = WorkspaceContainers::new(&server.socket(), PULL_STALLED_AFTER);
    let start = WorkspaceDeed::Start { workspace_id: "w-1".parse().unwrap(), id: ID.parse().unwrap() };
    let refused = hand.apply(&start, &policy, PATIENCE).await.unwrap_err().to_string();
    assert!(server.requests().iter().all(|request| request.starts_with("GET ")), "{:?}", server.requests());
    refused
}

#[tokio::test(flavor = "current_thread")]
async fn a_container_of_ours_is_ours() {
    assert_eq!(seen(&container()).await.0, None);
}

#[tokio::test(flavor = "current_thread")]
async fn options_of_a_volumes_driver_show_any_directory_and_make_a_container_foreign() {
    let options = json!({ "type": "none", "o": "bind", "device": "/etc" });
    for volume in [
        json!({ "DriverConfig": { "Name": "local", "Options": options.clone() } }),
        json!({ "DriverConfig": { "Options": options } }),
        json!({ "DriverConfig": { "Name": "local" } }),
        json!({ "Subpath": "user" }),
        json!({ "Labels": { "a": "b" } }),
    ] {
        let mut container = container();
        container["HostConfig"]["Mounts"][0]["VolumeOptions"] = volume.clone();
        let (foreign, server) = seen(&container).await;
        assert_eq!(foreign, Some(WhyNotOurs::Privileged), "{volume}");
        let refused = refused(&server).await;
        assert!(refused.contains("option that gpuhostd never sets (HostConfig.Mounts)"), "{refused}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_setting_that_is_too_deep_or_too_long_to_be_kept_is_not_taken_for_an_empty_one() {
    let deep = json!({ "a": { "b": { "c": { "d": { "e": { "f": { "g": 1 } } } } } } });
    let settings = [deep, json!("x".repeat(200_000)), json!(1e30), json!([[[[[[[[[[1]]]]]]]]]])];
    for (number, setting) in settings.into_iter().enumerate() {
        let mut container = container();
        container["HostConfig"]["SettingOfANewerDocker"] = setting.clone();
        assert_eq!(seen(&container).await.0, Some(WhyNotOurs::Privileged), "setting {number}");
        container["HostConfig"].as_object_mut().unwrap().remove("SettingOfANewerDocker");
        container["HostConfig"]["Mounts"][1]["OfANewerDocker"] = setting;
        assert_eq!(seen(&container).await.0, Some(WhyNotOurs::Privileged), "setting {number}");
    }
}
