//! Workspaces of a desired state: whatever a manager writes, what Docker would be asked for stays within what is allowed.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::workspace::{DescribedHost, Document, WorkspaceAction, plan};
use serde_json::{Value, json};

/// The target.
pub const TARGET: Target = Target {
    name: "workspace",
    what: "workspaces of a desired state, on a host with two GPUs, one of them with MIG",
    run,
    seeds,
    words: &WORDS,
    // A value of two bytes is a node of a tree, and a workspace of thirty becomes a request.
    bounds: Bounds { heap_per_byte: 384, ..Bounds::USUAL },
};

const WORDS: [&str; 28] = [
    "\"workspaces\":[",
    "\"workspace_id\":\"a\"",
    "\"desired\":\"running\"",
    "\"image\":",
    "\"image_id\":\"i\"",
    "\"cores\":1",
    "\"memory\":1073741824",
    "\"gpu\":{\"mode\":\"share\"}",
    "\"gpu\":{\"mode\":\"passthrough\"}",
    "\"count\":\"all\"",
    "\"devices\":[{\"uuid\":\"GPU-a\"}]",
    "\"mig_profile\":\"1g.5gb\"",
    "\"features\":[\"cuda\",\"dri3\"]",
    "\"security_context\":\"x\"",
    "\"environment\":{\"A\":\"b\"}",
    "\"NVIDIA_VISIBLE_DEVICES\":\"GPU-a\"",
    "\"LD_PRELOAD\":\"x\"",
    "\"run_config\":{",
    "\"privileged\":true",
    "\"ports\":[{\"container\":80,\"host\":8080}]",
    "\"volumes\":[{\"name\":\"v\",\"target\":\"/x\"}]",
    "\"source\":\"/srv/x\"",
    "\"read_only\":true",
    "\"networks\":[\"lab\"]",
    "\"hardware_acceleration\":true",
    "\"overrides\":{\"cuda_gpus\":9}",
    "1e308",
    "/../",
];

fn host() -> DescribedHost {
    serde_json::from_value(json!({
        "docker": { "cdi_spec_dirs": [], "runtimes": ["runc", "nvidia"] }, "cores": 64, "memory": 1_u64 << 40,
        "gpus": [
            { "uuid": "GPU-a", "bdf": "0000:41:00.0", "vendor": "nvidia", "features": ["cuda", "dri3"], "drm": { "render_gid": 105 },
              "iommu_group": 7, "iommu_group_members": ["0000:41:00.0"] },
            { "uuid": "GPU-b", "bdf": "0000:61:00.0", "vendor": "nvidia", "features": ["cuda"],
              "mig": { "mode": "enabled", "devices": [{ "uuid": "MIG-a", "profile": "1g.5gb" }, { "uuid": "MIG-b", "profile": "1g.5gb" }] } },
        ],
        "policy": { "host_paths": ["/srv"], "networks": ["lab"], "host": { "passthrough": true }, "manager": { "passthrough": true } },
    }))
    .expect("a fixed host")
}

fn run(input: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Document>(input) else { return };
    // The caller refuses longer ones.
    if document.workspaces.len() > 64 {
        return;
    }
    let planned = plan(&host(), &document);
    assert_eq!(planned.len(), document.workspaces.len());
    let mut owners: Vec<(String, Option<String>)> = Vec::new();
    for (planned, wanted) in planned.iter().zip(&document.workspaces) {
        match &planned.action {
            WorkspaceAction::Nothing => {}
            WorkspaceAction::Refusal(refused) => {
                let said = refused.to_string();
                assert!(said.len() < 2000 && !said.contains(|c: char| c.is_control()), "{said:?}");
            }
            WorkspaceAction::Create(request) => {
                is_within_bounds(&request.body);
                let wanted = wanted.value().expect("it was planned");
                let context = wanted["security_context"].as_str().map(str::to_owned);
                for gpu in &request.gpus {
                    let card = if gpu.starts_with("MIG-") { "GPU-b" } else { gpu };
                    let other = owners.iter().find(|(owned, of)| owned == card && *of != context);
                    assert!(other.is_none(), "{card} in two security contexts");
                    owners.push((card.to_owned(), context.clone()));
                }
            }
        }
    }
}

fn is_within_bounds(body: &Value) {
    let config = &body["HostConfig"];
    assert_eq!((&config["Privileged"], &config["RestartPolicy"]["Name"]), (&false.into(), &"no".into()));
    assert!(["runc", "nvidia"].contains(&config["Runtime"].as_str().expect("a runtime")));
    let known = [
        "Runtime",
        "RestartPolicy",
        "Privileged",
        "AutoRemove",
        "NanoCpus",
        "Memory",
        "MemorySwap",
        "PidsLimit",
        "LogConfig",
        "ShmSize",
        "ReadonlyRootfs",
        "Init",
        "Devices",
        "GroupAdd",
        "DeviceRequests",
        "Ulimits",
        "Mounts",
        "PortBindings",
        "NetworkMode",
    ];
    assert!(config.as_object().expect("an object").keys().all(|name| known.contains(&name.as_str())), "{config}");
    let variables: Vec<&str> = body["Env"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(variables.iter().filter(|one| one.starts_with("NVIDIA_VISIBLE_DEVICES=")).count(), 1, "{variables:?}");
    assert!(!variables.iter().any(|one| one.to_uppercase().starts_with("LD_")), "{variables:?}");
    for mount in config["Mounts"].as_array().into_iter().flatten() {
        let source = mount["Source"].as_str().expect("a text");
        let of_host = source.starts_with("/srv") && !source.contains("/..") && mount["ReadOnly"] == true;
        assert!(of_host || source.starts_with("gpuhost-"), "{mount}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let image = format!("registry.example/a/b@sha256:{}", "ab".repeat(32));
    let base = json!({ "workspace_id": "a", "desired": "running", "image": image, "cores": 1, "memory": 1 << 30 });
    let with = |change: Value| {
        let mut workspace = base.clone();
        for (name, value) in change.as_object().expect("an object") {
            workspace[name] = value.clone();
        }
        workspace
    };
    let documents = [
        json!({ "workspaces": [base] }),
        json!({ "workspaces": [
            with(json!({ "gpu": { "mode": "share", "count": "all" }, "security_context": "x" })),
            with(json!({ "workspace_id": "b", "gpu": { "mode": "share", "mig_profile": "1g.5gb" }, "security_context": "y" })),
        ] }),
        json!({ "agent": { "overrides": { "cuda_gpus": 9, "cores": 99.5 } }, "gpus": [{ "match": { "uuid": "GPU-a" }, "features": { "cuda": { "enabled": false } } }],
                "workspaces": [with(json!({ "gpu": { "mode": "passthrough", "devices": [{ "bdf": "0000:41:00.0" }] }, "nested_virtualization": true }))] }),
        json!({ "images": [{ "image_id": "i", "name": "a/b:1", "enabled": true, "hash": format!("sha256:{}", "0".repeat(64)), "require_gpu": true, "run_config": { "hostname": "h" } }],
                "workspaces": [with(json!({ "image": null, "image_id": "i", "environment": { "A": "b", "NVIDIA_VISIBLE_DEVICES": "GPU-a" },
                    "ports": [{ "container": 80, "host": 8080 }], "volumes": [{ "name": "v", "target": "/x" }, { "source": "/srv/y", "target": "/y", "read_only": true }], "networks": ["lab"] }))] }),
    ];
    let deep = [b"{\"workspaces\": [".to_vec(), often("{\"gpu\":", 3000)].concat();
    documents.iter().map(|document| document.to_string().into_bytes()).chain([deep]).collect()
}
