//! Workspace plans: the very create body, admission with its numbers, and what a document may not say.
#![allow(clippy::disallowed_methods, reason = "handed cases are read from files")]

use model::workspace::{DescribedHost, Document, Planned, WorkspaceAction, WorkspaceRefused, plan};
use serde_json::{Map, Value, json};
use std::path::Path;

const ONE: &str = "GPU-11111111-aaaa-4000-8000-000000000001";
const TWO: &str = "GPU-22222222-aaaa-4000-8000-000000000002";

fn image() -> String {
    format!("registry.example/lab/desktop@sha256:{}", "5e".repeat(32))
}

fn gpu(uuid: &str, bdf: &str) -> Value {
    json!({ "uuid": uuid, "bdf": bdf, "vendor": "nvidia", "features": ["cuda", "nvenc", "egl"], "memory_mib": 24576, "health": "ok",
            "iommu_group": 30, "iommu_group_members": [bdf] })
}

/// Two GPUs, CDI on.
fn host() -> Value {
    json!({
        "docker": { "cdi_spec_dirs": ["/etc/cdi"], "runtimes": ["runc", "nvidia"] },
        "cores": 8, "memory": 34_359_738_368_u64, "groups": { "kvm": 108 },
        "cdi_devices": [format!("nvidia.com/gpu={ONE}"), format!("nvidia.com/gpu={TWO}")],
        "gpus": [gpu(ONE, "0000:41:00.0"), gpu(TWO, "0000:61:00.0")],
        "policy": { "registries": ["registry.example"], "host_paths": ["/srv/data"], "networks": ["lab"] },
    })
}

fn workspace() -> Value {
    json!({ "workspace_id": "w1", "desired": "running", "kind": "user", "generation": 3, "image": image(), "cores": 2, "memory": 2_147_483_648_u64 })
}

fn with(mut base: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

fn planned(host: &Value, document: &Value) -> Vec<Planned> {
    let host: DescribedHost = serde_json::from_value(host.clone()).unwrap();
    let document: Document = serde_json::from_value(document.clone()).unwrap();
    plan(&host, &document)
}

fn one(host: &Value, workspace: &Value) -> WorkspaceAction {
    planned(host, &json!({ "workspaces": [workspace] })).remove(0).action
}

fn body(action: WorkspaceAction) -> Value {
    let WorkspaceAction::Create(request) = action else { panic!("{action:?}") };
    request.body
}

fn refusal(action: WorkspaceAction) -> WorkspaceRefused {
    let WorkspaceAction::Refusal(refused) = action else { panic!("{action:?}") };
    refused
}

fn variable(body: &Value, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    let mut found = body["Env"].as_array().unwrap().iter().filter_map(|one| one.as_str()?.strip_prefix(&prefix));
    let value = found.next().map(str::to_owned);
    assert_eq!(found.next(), None, "{name} is there once");
    value
}

#[test]
fn the_whole_body_is_ours() {
    let wanted = json!({
        "gpu": { "mode": "share", "count": 1, "features": ["cuda", "nvenc"] },
        "environment": { "VNC_PW": "secret" },
        "ports": [{ "container": 6901, "host": 16901 }],
        "volumes": [{ "name": "home", "target": "/home/user" }, { "source": "/srv/data/a", "target": "/data", "read_only": true }],
        "networks": ["lab"],
        "run_config": { "hostname": "desk", "init": true },
    });
    let WorkspaceAction::Create(request) = one(&host(), &with(workspace(), &wanted)) else { panic!("it is refused") };
    assert_eq!((request.name.as_str(), request.gpus.as_slice()), ("gpuhost-w1", &[ONE.to_owned()][..]));
    let expected = json!({
        "Image": image(),
        "Hostname": "desk",
        "Env": ["NVIDIA_DRIVER_CAPABILITIES=compute,utility,video", "NVIDIA_VISIBLE_DEVICES=void", "VNC_PW=secret"],
        "Labels": { "org.gpuhost.Agent1.workspace": "w1", "org.gpuhost.Agent1.generation": "3", "org.gpuhost.Agent1.gpus": ONE, "org.gpuhost.Agent1.source": "manager", "org.gpuhost.Agent1.vfio": "",
                    "org.gpuhost.Agent1.security-context": "",
                    "org.gpuhost.Agent1.spec": "6945855ac2b3d094" },
        "ExposedPorts": { "6901/tcp": {} },
        "NetworkingConfig": { "EndpointsConfig": { "lab": {} } },
        "HostConfig": {
            "Runtime": "runc", "RestartPolicy": { "Name": "no" }, "Privileged": false, "AutoRemove": false, "ReadonlyRootfs": false,
            "NanoCpus": 2_000_000_000_u64, "Memory": 2_147_483_648_u64, "MemorySwap": 2_147_483_648_u64,
            "PidsLimit": 16384, "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "3" } }, "ShmSize": 536_870_912, "Init": true, "NetworkMode": "lab",
            "DeviceRequests": [{ "Driver": "cdi", "Count": 0, "DeviceIDs": [format!("nvidia.com/gpu={ONE}")] }],
            "PortBindings": { "6901/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "16901" }] },
            "Mounts": [
                { "Type": "volume", "Source": "gpuhost-home", "Target": "/home/user", "ReadOnly": false },
                { "Type": "bind", "Source": "/srv/data/a", "Target": "/data", "ReadOnly": true, "BindOptions": { "Propagation": "rprivate" } },
            ],
        },
    });
    assert_eq!(request.body, expected);
}

#[test]
fn docker_decides_the_way_and_a_workspace_without_a_gpu_gets_none() {
    let wanted = with(workspace(), &json!({ "gpu": { "mode": "share", "count": 2 } }));
    for change in [
        json!({ "docker": { "cdi_spec_dirs": [], "runtimes": ["runc", "nvidia"] } }),
        json!({ "cdi_devices": [format!("nvidia.com/gpu={ONE}")] }),
    ] {
        let body = body(one(&with(host(), &change), &wanted));
        assert_eq!(body["HostConfig"]["Runtime"], "nvidia", "{change}");
        assert!(body["HostConfig"]["DeviceRequests"].is_null(), "{change}");
        assert_eq!(variable(&body, "NVIDIA_VISIBLE_DEVICES").unwrap(), format!("{ONE},{TWO}"), "{change}");
    }
    let neither = with(host(), &json!({ "docker": { "cdi_spec_dirs": [], "runtimes": ["runc"] } }));
    let said = refusal(one(&neither, &wanted)).to_string();
    assert!(said.contains("CDI is disabled in Docker") && said.contains("no runtime nvidia"), "{said}");
    let plain = body(one(&neither, &workspace()));
    assert_eq!(variable(&plain, "NVIDIA_VISIBLE_DEVICES").unwrap(), "void");
    assert_eq!(plain["HostConfig"]["Runtime"], "runc");
    assert_eq!(variable(&plain, "NVIDIA_DRIVER_CAPABILITIES"), None);
}

#[test]
fn what_an_earlier_workspace_takes_a_later_one_does_not_get() {
    let of = |id: &str, context: &str| {
        with(workspace(), &json!({ "workspace_id": id, "security_context": context, "gpu": { "mode": "share" } }))
    };
    let document = json!({ "workspaces": [of("a", "x"), of("b", "y"), of("c", "x")] });
    let all = planned(&host(), &document);
    let gpus = |planned: &Planned| {
        let WorkspaceAction::Create(request) = &planned.action else { panic!("{planned:?}") };
        request.gpus.clone()
    };
    assert_eq!((gpus(&all[0]), gpus(&all[1])), (vec![ONE.to_owned()], vec![TWO.to_owned()]));
    let WorkspaceRefused::NoGpu { wanted: 1, available: 0, why } = refusal(all[2].action.clone()) else {
        panic!("{all:?}")
    };
    assert!(why.len() == 2 && why[1].contains("another security context"), "{why:?}");
    // With more shares than GPUs the third is given the first one's GPU, and never the second's.
    let shared = planned(&host(), &with(document, &json!({ "agent": { "overrides": { "cuda_gpus": 8 } } })));
    assert_eq!(gpus(&shared[2]), [ONE]);
}

#[test]
fn shares_are_counted_and_end() {
    let of = |number: usize| {
        with(workspace(), &json!({ "workspace_id": format!("w{number}"), "cores": 0.1, "gpu": { "mode": "share" } }))
    };
    let workspaces: Vec<Value> = (0..6).map(of).collect();
    let all = planned(&host(), &json!({ "agent": { "overrides": { "cuda_gpus": 5 } }, "workspaces": workspaces }));
    let created = all.iter().filter(|one| matches!(one.action, WorkspaceAction::Create(_))).count();
    assert_eq!(created, 5);
    assert_eq!(refusal(all[5].action.clone()).code(), "no_gpu");
}

#[test]
fn numbers_of_a_refusal_are_those_of_the_host() {
    let running = json!([{ "workspace_id": "r", "cores": 7, "memory": 30_000_000_000_u64 }]);
    let host = with(host(), &json!({ "running": running }));
    let refused = |change: &Value| refusal(one(&host, &with(workspace(), change)));
    assert_eq!(refused(&json!({})), WorkspaceRefused::NoCores { wanted: 2.0, available: 1.0, effective: 8.0 });
    assert_eq!(refused(&json!({ "cores": 9 })), WorkspaceRefused::CoresExceedPhysical { wanted: 9.0, physical: 8.0 });
    let memory = WorkspaceRefused::NoMemory {
        wanted: 8_000_000_000,
        available: 4_359_738_368,
        effective: 34_359_738_368,
        physical: 34_359_738_368,
    };
    assert_eq!(refused(&json!({ "cores": 1, "memory": 8_000_000_000_u64 })), memory);
    let many = refused(&json!({ "cores": 1, "gpu": { "mode": "share", "count": 3 } }));
    assert_eq!(many, WorkspaceRefused::GpuCountExceedsPhysical { wanted: 3, physical: 2 });
    // The same workspace again is not counted beside itself.
    let again = with(workspace(), &json!({ "workspace_id": "r", "cores": 8 }));
    assert!(matches!(one(&host, &again), WorkspaceAction::Create(_)));
}

#[test]
fn what_has_a_container_keeps_its_gpu_until_its_own_turn() {
    let of = |id: &str| with(workspace(), &json!({ "workspace_id": id, "gpu": { "mode": "share" } }));
    let there = with(host(), &json!({ "running": [{ "workspace_id": "old", "gpus": [ONE] }] }));
    let all = planned(&there, &json!({ "workspaces": [of("new"), of("old")] }));
    let gpus: Vec<_> =
        all.iter().map(|planned| serde_json::to_value(planned).unwrap()["create"]["gpus"].clone()).collect();
    assert_eq!(gpus, [json!([TWO]), json!([ONE])]);
    // One that is refused still has what it has.
    let bad = with(of("old"), &json!({ "cores": 99 }));
    let all = planned(&there, &json!({ "workspaces": [bad, of("a"), of("b")] }));
    assert!(matches!(all[1].action, WorkspaceAction::Create(_)), "{all:?}");
    assert_eq!(refusal(all[2].action.clone()).code(), "no_gpu");
}

#[test]
fn what_gives_way_has_its_gpu_until_it_is_gone() {
    let other = |context: &str| {
        let wish = json!({ "workspace_id": "heir", "security_context": context,
                           "gpu": { "mode": "share", "devices": [{ "uuid": ONE }] } });
        with(workspace(), &wish)
    };
    let old = json!({ "workspace_id": "old", "cores": 2, "memory": 2_147_483_648_u64, "gpus": [ONE], "security_context": "x" });
    let there = with(host(), &json!({ "running": [old] }));
    let second = |first: &Value, heir: Value, agent: Value| {
        let document = json!({ "agent": agent, "workspaces": [with(workspace(), first), heir] });
        planned(&there, &document).remove(1).action
    };
    let many = || json!({ "overrides": { "cuda_gpus": 4 } });
    // Its next container needs no GPU, or another one, or is of another context: the one that is there still has the first.
    for next in [
        json!({ "workspace_id": "old" }),
        json!({ "workspace_id": "old", "security_context": "y", "gpu": { "mode": "share", "devices": [{ "uuid": TWO }] } }),
        json!({ "workspace_id": "old", "security_context": "y", "gpu": { "mode": "share", "devices": [{ "uuid": ONE }] } }),
    ] {
        assert_eq!(refusal(second(&next, other("y"), many())).code(), "no_gpu", "{next}");
    }
    // Of its own context it can be shared, and it is counted as one workspace.
    let agent = json!({ "overrides": { "cuda_gpus": 4 }, "max_workspaces": 2 });
    let action = second(&json!({ "workspace_id": "old" }), other("x"), agent);
    assert!(matches!(action, WorkspaceAction::Create(_)), "{action:?}");
}

#[test]
fn parts_of_one_gpu_serve_one_security_context() {
    let mut cut = host();
    let devices = json!([{ "uuid": "MIG-a", "profile": "1g.5gb" }, { "uuid": "MIG-b", "profile": "1g.5gb" }]);
    cut["gpus"][0]["mig"] = json!({ "mode": "enabled", "devices": devices });
    cut["docker"]["cdi_spec_dirs"] = json!([]);
    let of = |id: &str, context: &str| {
        with(
            workspace(),
            &json!({ "workspace_id": id, "security_context": context, "gpu": { "mode": "share", "mig_profile": "1g.5gb" } }),
        )
    };
    let all = planned(&cut, &json!({ "workspaces": [of("a", "x"), of("b", "y"), of("c", "x")] }));
    let gpus: Vec<_> =
        all.iter().map(|planned| serde_json::to_value(planned).unwrap()["create"]["gpus"].clone()).collect();
    assert_eq!(gpus, [json!(["MIG-a"]), Value::Null, json!(["MIG-b"])]);
    cut["gpus"][0]["mig"]["devices"] = json!([]);
    let said = refusal(one(&cut, &of("a", "x"))).to_string();
    assert!(said.contains(&format!("{ONE}: MIG is on, and it has no MIG device")), "{said}");
}

#[test]
fn the_host_may_be_closed_or_full() {
    let running = with(host(), &json!({ "running": [{ "workspace_id": "r" }] }));
    for (agent, code) in [
        (json!({ "enabled": false }), "disabled"),
        (json!({ "draining": true }), "draining"),
        (json!({ "max_workspaces": 1 }), "max_workspaces"),
    ] {
        let document = json!({ "agent": agent, "workspaces": [workspace()] });
        assert_eq!(refusal(planned(&running, &document).remove(0).action).code(), code);
    }
    // What is there already is kept while the host is drained.
    let there = with(workspace(), &json!({ "workspace_id": "r" }));
    let document = json!({ "agent": { "draining": true }, "workspaces": [there] });
    assert!(matches!(planned(&running, &document)[0].action, WorkspaceAction::Create(_)));
}

#[test]
fn a_gpu_is_shared_or_given_away_whole_and_never_both() {
    let allowed =
        with(host(), &json!({ "policy": { "host": { "passthrough": true }, "manager": { "passthrough": true } } }));
    let whole = with(workspace(), &json!({ "gpu": { "mode": "passthrough", "devices": [{ "bdf": "0000:41:00.0" }] } }));
    assert_eq!(refusal(one(&host(), &whole)).code(), "denied_by_local_policy");
    let body = body(one(&allowed, &whole));
    assert_eq!(body["HostConfig"]["Ulimits"], json!([{ "Name": "memlock", "Soft": -1, "Hard": -1 }]));
    assert_eq!(body["Labels"]["org.gpuhost.Agent1.vfio"], "0000:41:00.0");
    let nodes: Vec<&str> =
        body["HostConfig"]["Devices"].as_array().unwrap().iter().filter_map(|one| one["PathOnHost"].as_str()).collect();
    assert_eq!(nodes, ["/dev/vfio/vfio", "/dev/vfio/30"]);
    let other =
        with(workspace(), &json!({ "workspace_id": "w2", "gpu": { "mode": "share", "devices": [{ "uuid": ONE }] } }));
    for pair in [[&whole, &other], [&other, &whole]] {
        let all = planned(&allowed, &json!({ "workspaces": pair }));
        assert_eq!(refusal(all[1].action.clone()).code(), "no_gpu", "{all:?}");
    }
    let mut group = allowed;
    group["gpus"][0]["iommu_group_members"] = json!(["0000:41:00.0", "0000:42:00.0"]);
    let said = refusal(one(&group, &whole)).to_string();
    assert!(said.contains("30 also holds 0000:42:00.0"), "{said}");
}

#[test]
fn a_bad_workspace_takes_no_other_one_down() {
    let document = json!({ "workspaces": [
        7, { "workspace_id": "a\u{1b}[31m" }, with(workspace(), &json!({ "cores": "2" })), workspace(), workspace(),
        with(workspace(), &json!({ "workspace_id": "w2", "desired": "stopped" })),
    ] });
    let all = planned(&host(), &document);
    let codes: Vec<&str> = all
        .iter()
        .map(|planned| match &planned.action {
            WorkspaceAction::Create(_) => "create",
            WorkspaceAction::Nothing => "nothing",
            WorkspaceAction::Refusal(refused) => refused.code(),
        })
        .collect();
    assert_eq!(codes, ["invalid_argument", "invalid_argument", "invalid_argument", "create", "conflict", "nothing"]);
    assert_eq!(all[0].workspace_id, "workspaces[0]");
    for planned in &all {
        let said = serde_json::to_string(planned).unwrap();
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn what_a_document_may_not_say_is_refused_by_its_name() {
    let crowd: Map<String, Value> = (0..100_000).map(|number| (format!("A{number}"), json!("x"))).collect();
    for (change, field) in [
        (json!({ "run_config": { "privileged": true } }), "run_config.privileged"),
        (json!({ "run_config": { "HostConfig": { "Privileged": true } } }), "run_config.HostConfig.Privileged"),
        (json!({ "run_config": { "environment": { "LD_PRELOAD": "x" } } }), "run_config.environment.LD_PRELOAD"),
        (json!({ "exec_config": { "first_launch": { "cmd": "id" } } }), "exec_config.first_launch"),
        (json!({ "healthcheck": {} }), "healthcheck"),
        (json!({ "gpu": { "mode": "share", "driver": "x" } }), "gpu.driver"),
        (json!({ "gpu": { "mode": "share", "capabilities": ["all"] } }), "gpu.capabilities"),
        (json!({ "environment": { "ld_preload": "x" } }), "environment.ld_preload"),
        (json!({ "environment": { "NVIDIA_MIG_CONFIG_DEVICES": "all" } }), "environment.NVIDIA_MIG_CONFIG_DEVICES"),
        (json!({ "environment": { "A=B": "x" } }), "environment.A=B"),
        (json!({ "environment": { "A": "x\0" } }), "environment.A"),
        (json!({ "environment": crowd }), "environment"),
        (json!({ "volumes": [{ "source": "/srv/data", "target": "/x" }] }), "volumes[0].source"),
        (json!({ "volumes": [{ "source": "/srv/database", "target": "/x", "read_only": true }] }), "volumes[0].source"),
        (
            json!({ "volumes": [{ "source": "/srv/data/../../etc", "target": "/x", "read_only": true }] }),
            "volumes[0].source",
        ),
        (
            json!({ "volumes": [{ "name": "a", "target": "/var/run/nvidia-container-devices/all" }] }),
            "volumes[0].target",
        ),
        (json!({ "volumes": [{ "name": "a/b", "target": "/x" }] }), "volumes[0].name"),
        (json!({ "volumes": [{ "name": "a", "target": "/x", "driver": "local" }] }), "volumes[0].driver"),
        (json!({ "networks": ["host"] }), "networks[0]"),
        (json!({ "ports": [{ "container": 80, "host": 80 }] }), "ports[0].host"),
        (json!({ "ports": [{ "container": 80, "listen": "0.0.0.0" }] }), "ports[0].listen"),
        (json!({ "ports": [{ "container": 0 }] }), "ports[0].container"),
        (json!({ "image": "registry.example/lab/desktop:latest" }), "image"),
        (json!({ "image_id": "nope", "image": null }), "image_id"),
        (json!({ "shm_size": -1 }), "shm_size"),
        (json!({ "memory": 1 }), "memory"),
        (json!({ "cores": 0.001 }), "cores"),
        (json!({ "gpu": { "mode": "share", "count": "ALL" } }), "gpu.count"),
    ] {
        let refused = refusal(one(&host(), &with(workspace(), &change)));
        let (WorkspaceRefused::InvalidArgument { field: named, .. }
        | WorkspaceRefused::DeniedByLocalPolicy { field: named, .. }) = &refused
        else {
            panic!("{field}: {refused:?}")
        };
        assert_eq!(named, field, "{refused}");
    }
}

#[test]
fn a_variable_names_what_is_given_or_is_refused() {
    let explicit = |value: &str| {
        let change = json!({ "gpu": { "mode": "share", "devices": [{ "uuid": TWO }] }, "environment": { "NVIDIA_VISIBLE_DEVICES": value } });
        with(workspace(), &change)
    };
    let old = with(host(), &json!({ "docker": { "cdi_spec_dirs": [], "runtimes": ["nvidia"] } }));
    assert_eq!(variable(&body(one(&old, &explicit(TWO))), "NVIDIA_VISIBLE_DEVICES").unwrap(), TWO);
    for value in [
        "all",
        "void",
        "",
        "0",
        ONE,
        &format!("{TWO},{ONE}"),
        &format!(" {TWO}"),
        "nvidia.com/gpu=all",
        &format!("{TWO}\nX=1"),
    ] {
        let refused = refusal(one(&old, &explicit(value)));
        assert_eq!(refused.code(), "denied_by_local_policy", "{value:?}");
        assert!(refused.to_string().contains("NVIDIA_VISIBLE_DEVICES"), "{refused}");
    }
}

#[test]
fn an_old_toolkit_gives_no_gpu() {
    let wanted = with(workspace(), &json!({ "gpu": { "mode": "share" } }));
    let old = with(host(), &json!({ "toolkit": "1.17.7" }));
    assert_eq!(refusal(one(&old, &wanted)).code(), "toolkit_vulnerable");
    assert!(
        matches!(one(&old, &workspace()), WorkspaceAction::Create(_)),
        "a workspace without a GPU has nothing to do with it"
    );
    let document = json!({ "nvidia": { "toolkit_image": "nvcr.io:443/k8s/container-toolkit:v1.16.1-ubuntu20.04" }, "workspaces": [wanted] });
    let said = refusal(planned(&host(), &document).remove(0).action).to_string();
    assert!(said.contains("nvidia.toolkit_image") && said.contains("1.17.8"), "{said}");
}

/// A file of the cases that lie beside the tree; none where it is not there.
fn handed(name: &str) -> Option<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/docker_cases").join(name);
    let Ok(bytes) = std::fs::read(&file) else {
        println!("SKIPPED: {} is absent, so none of its cases was tried", file.display());
        return None;
    };
    Some(serde_json::from_slice(&bytes).unwrap())
}

/// `HostConfig.X` and `Config.X` of an inspected container, in the body by which it is created.
fn at<'a>(body: &'a Value, path: &str) -> &'a Value {
    let path = path.strip_prefix("Config.").unwrap_or(path);
    path.split('.').fold(body, |value, part| &value[part])
}

/// A value, or one of several; an object by the fields that are named.
fn fits(ours: &Value, wanted: &Value) -> bool {
    match wanted.as_object() {
        Some(map) if map.contains_key("any") => map["any"].as_array().unwrap().iter().any(|one| fits(ours, one)),
        Some(map) => map.iter().all(|(name, wanted)| fits(&ours[name.as_str()], wanted)),
        None => ours == wanted,
    }
}

fn check_body(id: &str, body: &Value, gpus: &[String], expect: &Value) {
    let section = |name: &str| expect[name].as_object().cloned().unwrap_or_default();
    for (path, wanted) in section("equals") {
        assert!(fits(at(body, &path), &wanted), "{id}: {path} is {}, not {wanted}", at(body, &path));
    }
    for (path, wanted) in section("has") {
        let ours = at(body, &path).as_array().cloned().unwrap_or_default();
        for one in wanted.as_array().unwrap() {
            assert!(ours.iter().any(|own| fits(own, one)), "{id}: {path} has no {one}: {ours:?}");
        }
    }
    for path in expect["empty"].as_array().into_iter().flatten() {
        let ours = at(body, path.as_str().unwrap());
        assert!(ours.is_null() || ours == &json!([]), "{id}: {path} is {ours}");
    }
    for (name, wanted) in section("env") {
        let ours = variable(body, &name).map_or(Value::Null, Value::from);
        let same_set = || {
            let mut own: Vec<&str> = ours.as_str().unwrap_or_default().split(',').collect();
            own.sort_unstable();
            wanted["set"].as_array().is_some_and(|set| own == set.iter().filter_map(Value::as_str).collect::<Vec<_>>())
        };
        assert!(same_set() || fits(&ours, &wanted), "{id}: {name} is {ours}, not {wanted}");
    }
    let nodes: Vec<(&str, &str)> = body["HostConfig"]["Devices"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| (node["PathOnHost"].as_str().unwrap(), node["PathInContainer"].as_str().unwrap()))
        .collect();
    if let Some(devices) = expect["devices"].as_array() {
        // Those of NVIDIA come by way of CDI or the runtime.
        let wanted: Vec<String> = devices
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| !name.starts_with("nvidia"))
            .map(|name| format!("/dev/{name}"))
            .collect();
        assert_eq!(nodes.iter().map(|(_, inside)| (*inside).to_owned()).collect::<Vec<_>>(), wanted, "{id}");
        assert_eq!(devices.len() - wanted.len(), gpus.iter().filter(|_| nodes.is_empty()).count(), "{id}");
    }
    if let Some(count) = expect["device_count"].as_u64() {
        assert_eq!(u64::try_from(nodes.len()).unwrap(), count, "{id}");
    }
    if !expect["devices_by_bdf"].is_null() {
        let address = nodes[0].0.trim_start_matches("/dev/dri/by-path/pci-").trim_end_matches("-card");
        assert!(fits(&address.into(), &expect["devices_by_bdf"]), "{id}: {nodes:?}");
        let only = |(host, _): &(&str, &str)| host.contains(address);
        assert!(nodes.iter().all(only), "{id}: nodes of one GPU alone: {nodes:?}");
    }
    for name in section("inside_node").keys() {
        assert!(nodes.iter().any(|(_, inside)| inside == name), "{id}: no {name}");
    }
    if let Some(text) = expect["label_has"].as_str() {
        assert!(body["Labels"].to_string().contains(text), "{id}");
    }
}

fn check_refusal(id: &str, refused: &WorkspaceRefused, expect: &Value) {
    let shown = serde_json::to_value(refused).unwrap();
    assert!(expect["any_of"].as_array().unwrap().contains(&shown["code"]), "{id}: {shown}");
    for (name, number) in expect["numbers"].as_object().into_iter().flatten() {
        assert_eq!(shown[name.as_str()].as_f64(), number.as_f64(), "{id}: {name}");
    }
    for name in expect["why_names"].as_array().into_iter().flatten() {
        assert!(refused.to_string().contains(name.as_str().unwrap()), "{id}: {refused}");
    }
}

#[test]
fn handed_workspaces_become_what_the_answers_say() {
    let Some(all) = handed("workspaces.json") else { return };
    let cases = all["cases"].as_array().unwrap();
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let mut host = all["hosts"][case["host"].as_str().unwrap()].clone();
        for name in ["running", "policy"] {
            if !case[name].is_null() {
                host[name] = case[name].clone();
            }
        }
        let mut document = json!({ "images": [case["image"]], "workspaces": [case["workspace"]] });
        for name in ["agent", "gpus"] {
            if !case[name].is_null() {
                document[name] = case[name].clone();
            }
        }
        let expect = &case["expect"];
        match (planned(&host, &document).remove(0).action, &expect["refusal"]) {
            (WorkspaceAction::Create(request), Value::Null) => check_body(id, &request.body, &request.gpus, expect),
            (WorkspaceAction::Refusal(refused), wanted) if !wanted.is_null() => check_refusal(id, &refused, wanted),
            (action, wanted) => panic!("{id}: {action:?}, expected refusal {wanted}"),
        }
    }
    assert!(cases.len() > 15, "{} cases", cases.len());
}

#[test]
fn handed_attacks_are_refused_by_name() {
    let Some(all) = handed("hostile.json") else { return };
    let host = json!({
        "docker": { "cdi_spec_dirs": [], "runtimes": ["runc", "nvidia"] }, "cores": 8, "memory": 17_179_869_184_u64,
        "gpus": [gpu("GPU-aaaa", "0000:41:00.0"), gpu("GPU-bbbb", "0000:61:00.0")],
        "policy": { "registries": ["registry.example"] },
    });
    let other = with(all["base"].clone(), &json!({ "workspace_id": "other", "gpu": null }));
    assert!(matches!(one(&host, &all["base"]), WorkspaceAction::Create(_)), "the base is allowed");
    let mut tried = 0;
    for case in all["cases"].as_array().unwrap() {
        for variant in case["variants"].as_array().unwrap() {
            let (mut host, mut document) = (host.clone(), json!({ "workspaces": [all["base"], other] }));
            let mut wrong = 0;
            match (&variant["__host__"], &variant["__document__"]) {
                (Value::String(text), _) => host["toolkit"] = text.split(' ').nth(1).unwrap().into(),
                (_, Value::String(text)) if text.contains("toolkit_image") => {
                    document["nvidia"] = json!({ "toolkit_image": "registry.example/toolkit:v1.16.1" });
                }
                (_, Value::String(_)) => {
                    wrong = 1;
                    document["workspaces"] = json!([all["base"], all["base"], other]);
                }
                _ => document["workspaces"][0] = with(all["base"].clone(), variant),
            }
            let planned = planned(&host, &document);
            let refused = refusal(planned[wrong].action.clone());
            let id = format!(
                "{}: {}",
                case["id"].as_str().unwrap(),
                variant.to_string().chars().take(100).collect::<String>()
            );
            assert!(case["any_of"].as_array().unwrap().contains(&refused.code().into()), "{id}: {refused}");
            let said = refused.to_string().to_lowercase();
            assert!(said.contains(case["key"].as_str().unwrap_or_default()), "{id}: {said}");
            assert!(matches!(planned.last().unwrap().action, WorkspaceAction::Create(_)), "{id}: the other one runs");
            tried += 1;
        }
    }
    println!("{tried} attacks");
    assert!(tried > 80, "{tried}");
}
