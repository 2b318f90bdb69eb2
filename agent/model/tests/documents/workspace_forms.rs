//! Forms of a wish that a manager may send, and wishes that contradict themselves.

use crate::workspaces::{wish, world};
use model::workspace::{Document, WorkspaceAction, WorkspaceRefused, plan};
use serde_json::{Value, json};

const TWO: [&str; 2] = ["GPU-11111111-aaaa-4000-8000-000000000001", "GPU-22222222-aaaa-4000-8000-000000000002"];

/// What becomes of it on a host with two GPUs, one of which is cut with MIG where that is wanted.
fn planned(document: &Value) -> WorkspaceAction {
    let mut host = world(&[]).host;
    let gpu = host.gpus[0].clone();
    host.gpus = TWO
        .iter()
        .zip(["0000:41:00.0", "0000:c1:00.0"])
        .map(|(uuid, bdf)| {
            let mut gpu = gpu.clone();
            (gpu.uuid, gpu.bdf) = (Some((*uuid).to_owned()), bdf.to_owned());
            gpu
        })
        .collect();
    let document: Document = serde_json::from_value(document.clone()).unwrap();
    plan(&host, &document).remove(0).action
}

fn one(change: &Value) -> WorkspaceAction {
    planned(&json!({ "workspaces": [wish("w1", change)] }))
}

fn gpus(action: WorkspaceAction) -> Vec<String> {
    let WorkspaceAction::Create(request) = action else { panic!("{action:?}") };
    request.gpus
}

fn refused(action: WorkspaceAction) -> WorkspaceRefused {
    let WorkspaceAction::Refusal(why) = action else { panic!("{action:?}") };
    why
}

#[test]
fn an_integer_may_come_as_30_0_and_is_the_same_workspace() {
    let whole = json!({ "memory": 1_073_741_824_u64, "shm_size": 67_108_864, "generation": 3,
                        "ports": [{ "container": 80, "host": 8080 }], "gpu": { "mode": "share", "count": 2, "min_memory_mib": 8 } });
    let float = json!({ "memory": 1_073_741_824.0, "shm_size": 67_108_864.0, "generation": 3.0,
                        "ports": [{ "container": 80.0, "host": 8080.0 }], "gpu": { "mode": "share", "count": 2.0, "min_memory_mib": 8.0 } });
    let (WorkspaceAction::Create(one_way), WorkspaceAction::Create(other)) = (one(&whole), one(&float)) else {
        panic!()
    };
    assert_eq!(one_way.body, other.body);
    assert_eq!(one_way.container.spec_digest, other.container.spec_digest, "it is not created again");
    for (field, wrong) in [
        ("memory", json!(1e9 + 0.5)),
        ("memory", json!(-1.0)),
        ("memory", json!(1e300)),
        ("memory", json!("1")),
        ("generation", json!(true)),
    ] {
        assert_eq!(refused(one(&json!({ field: wrong }))).code(), "invalid_argument", "{field}: {wrong}");
    }
    let image = json!({ "image_id": "i", "name": crate::workspaces::image().to_string(), "enabled": true,
                        "memory": 2_147_483_648.0, "gpu_count": 1.0, "uncompressed_size_mb": 900.0 });
    let mut of_image = wish("w1", &json!({ "image_id": "i" }));
    of_image.as_object_mut().unwrap().remove("memory");
    let action = planned(&json!({ "images": [image], "workspaces": [of_image] }));
    assert_eq!(gpus(action), [TWO[0]]);
}

#[test]
fn a_uuid_with_the_address_of_another_gpu_means_neither() {
    let named = |devices: Value| one(&json!({ "gpu": { "mode": "share", "devices": devices } }));
    assert_eq!(gpus(named(json!([{ "uuid": TWO[1], "bdf": "0000:C1:00.0" }]))), [TWO[1]]);
    assert_eq!(gpus(named(json!([{ "bdf": "0000:c1:00.0" }]))), [TWO[1]]);
    let why = refused(named(json!([{ "uuid": TWO[0], "bdf": "0000:c1:00.0" }])));
    assert!(why.code() == "no_gpu" && why.to_string().contains("0000:c1:00.0"), "{why}");
}

#[test]
fn two_ports_are_not_published_on_one_of_the_host() {
    let with = |other: Value| one(&json!({ "ports": [{ "container": 80, "host": 9000 }, other] }));
    let why = refused(with(json!({ "container": 81, "host": 9000 })));
    assert!(why.code() == "invalid_argument" && why.to_string().contains("9000"), "{why}");
    for other in [
        json!({ "container": 81, "host": 9001 }),
        json!({ "container": 81 }),
        json!({ "container": 81, "host": 9000, "protocol": "udp" }),
        json!({ "container": 81, "host": 9000, "listen": "127.0.0.2" }),
    ] {
        assert!(matches!(with(other.clone()), WorkspaceAction::Create(_)), "{other}");
    }
}
