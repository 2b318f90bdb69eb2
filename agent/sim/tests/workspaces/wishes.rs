//! Documents with workspaces, and the host that they are planned for.

use model::desired::DocumentId;
use model::image_ref::ImageDigest;
use model::workspace::{DescribedHost, Document, WorkspaceAction, WorkspaceContainer, plan};
use serde_json::{Value, json};

/// UUIDs and PCI addresses of the GPUs of the host.
pub(crate) const GPUS: [(&str, &str); 2] = [
    ("GPU-11111111-aaaa-4000-8000-000000000001", "0000:41:00.0"),
    ("GPU-22222222-aaaa-4000-8000-000000000002", "0000:61:00.0"),
];

pub(crate) fn digest(letter: char) -> ImageDigest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
}

/// The image of a letter.
pub(crate) fn image(letter: char) -> String {
    format!("registry.example/lab/desk@{}", digest(letter))
}

/// Two GPUs of NVIDIA, CDI on, passthrough allowed to everybody.
pub(crate) fn host() -> Value {
    let gpu = |(uuid, bdf): &(&str, &str)| {
        json!({
            "uuid": uuid, "bdf": bdf, "vendor": "nvidia", "features": ["cuda"], "memory_mib": 24_576, "health": "ok",
            "iommu_group": if bdf.contains("41") { 30 } else { 31 }, "iommu_group_members": [bdf],
        })
    };
    let cdi: Vec<String> = GPUS.iter().map(|(uuid, _)| format!("nvidia.com/gpu={uuid}")).collect();
    json!({
        "docker": { "cdi_spec_dirs": ["/etc/cdi"], "runtimes": ["runc", "nvidia"] },
        "cores": 64, "memory": 549_755_813_888_u64, "cdi_devices": cdi, "gpus": GPUS.iter().map(gpu).collect::<Vec<_>>(),
        "policy": { "registries": ["registry.example"], "host_paths": ["/srv/data"], "networks": ["lab"],
                    "host": { "passthrough": true }, "manager": { "passthrough": true } },
    })
}

/// A workspace that is wanted running, of the image of a letter; `more` is added to it, or replaces what it has.
pub(crate) fn wish(id: &str, letter: char, more: Value) -> Value {
    let mut wish = json!({ "workspace_id": id, "desired": "running", "generation": 1, "image": image(letter), "cores": 1,
                           "memory": 1_073_741_824_u64 });
    for (name, value) in more.as_object().unwrap() {
        wish[name] = value.clone();
    }
    wish
}

/// One that shares a GPU.
pub(crate) fn with_gpu(id: &str, letter: char, context: &str, gpu: usize) -> Value {
    let gpu = json!({ "mode": "share", "devices": [{ "uuid": GPUS[gpu].0 }] });
    wish(id, letter, json!({ "gpu": gpu, "security_context": context }))
}

/// The container of a wish on an empty host.
pub(crate) fn container(wish: &Value) -> WorkspaceContainer {
    let host: DescribedHost = serde_json::from_value(host()).unwrap();
    let document: Document = serde_json::from_value(json!({ "workspaces": [wish] })).unwrap();
    match plan(&host, &document).remove(0).action {
        WorkspaceAction::Create(request) => request.container,
        other @ (WorkspaceAction::Nothing | WorkspaceAction::Refusal(_)) => panic!("{wish}: {other:?}"),
    }
}

pub(crate) fn revision(number: u64) -> DocumentId {
    DocumentId { epoch: "e".to_owned().try_into().unwrap(), revision: number.try_into().unwrap() }
}

/// What is wanted of it now is another state.
pub(crate) fn desired(wish: &Value, desired: &str) -> Value {
    let mut wish = wish.clone();
    wish["desired"] = desired.into();
    wish
}

/// The GPU of that number of the lives' host, in a security context.
pub(crate) fn on_gpu(id: &str, letter: char, context: &str, gpu: usize) -> Value {
    let (uuid, _) = crate::host_seen::gpus()[gpu].clone();
    let gpu = json!({ "mode": "share", "devices": [{ "uuid": uuid.expect("it has one") }] });
    wish(id, letter, json!({ "gpu": gpu, "security_context": context }))
}

/// The GPU of that number as a whole.
pub(crate) fn whole_gpu(id: &str, letter: char, gpu: usize) -> Value {
    let (_, bdf) = crate::host_seen::gpus()[gpu].clone();
    wish(id, letter, json!({ "gpu": { "mode": "passthrough", "devices": [{ "bdf": bdf }] } }))
}

/// One with a volume of its own.
pub(crate) fn with_home(id: &str, letter: char) -> Value {
    wish(id, letter, json!({ "volumes": [{ "name": format!("{id}-home"), "target": "/home/u" }] }))
}
