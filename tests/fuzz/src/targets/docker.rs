//! Docker's answers: any JSON gives facts, and each is one that stood in it.

use crate::bounds::Bounds;
use crate::{Target, pieces};
use docker::facts_of;
use serde_json::Value;

/// The target.
pub const TARGET: Target = Target {
    name: "docker",
    what: "GET /version and GET /info of Docker",
    run,
    seeds,
    words: &[
        "\"Runtimes\":{",
        "\"nvidia\":{}",
        "\"DiscoveredDevices\":[",
        "{\"Source\":\"cdi\",\"ID\":\"nvidia.com/gpu=0\"}",
        "\"CDISpecDirs\":[",
        "\"Version\":\"28.2.2\"",
        "\"ServerVersion\":",
        "\"DockerRootDir\":",
        "\"LiveRestoreEnabled\":true",
        "\"ContainersRunning\":",
        "18446744073709551616",
        "-1",
        "1e999",
        "null",
        "\\u0000",
        "\n\n",
    ],
    bounds: Bounds { heap_per_byte: 256, ..Bounds::USUAL },
};

fn run(input: &[u8]) {
    let (version, info) = pieces::halves(input);
    let facts = facts_of(version, info);
    // A number beyond all bounds in a field that nobody asks for is passed over by us, and no value to serde_json.
    let read = |bytes| serde_json::from_slice::<Value>(bytes).ok();
    let all = read(version).zip(read(info)).map(|(version, info)| [version, info]);
    let single = [&facts.version, &facts.api, &facts.root_dir, &facts.default_runtime, &facts.cgroup_version];
    for text in
        single.into_iter().flatten().chain(&facts.runtimes).chain(&facts.cdi_devices).chain(&facts.cdi_spec_dirs)
    {
        let stood = all.as_ref().is_none_or(|all| all.iter().any(|value| holds(value, text)));
        assert!(stood, "{text:?} did not stand in the answer");
    }
    assert!(facts.runtimes.is_sorted() && facts.cdi_devices.is_sorted());
    let written = serde_json::to_vec(&facts).expect("facts have a JSON form");
    let again: model::docker::DockerFacts =
        serde_json::from_slice(&written).expect("the front reads what the hand wrote");
    assert_eq!(again, facts);
}

/// The value has that text somewhere, as a value or as a key.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(all) => all.iter().any(|one| holds(one, text)),
        Value::Object(all) => all.iter().any(|(key, one)| key == text || holds(one, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let whole = r#"{"Version":"28.2.2","ApiVersion":"1.50"}

{"ServerVersion":"28.2.2","DockerRootDir":"/var/lib/docker","Runtimes":{"runc":{"path":"runc"},"nvidia":{"path":"x","args":[]}},
"DefaultRuntime":"runc","CDISpecDirs":["/etc/cdi","/var/run/cdi"],"DiscoveredDevices":[{"Source":"cdi","ID":"nvidia.com/gpu=all"},
{"Source":"else","ID":"x"}],"CgroupVersion":"2","CgroupDriver":"systemd","LiveRestoreEnabled":true,"ContainersRunning":3}"#;
    let wrong = r#"[]

{"Runtimes":[],"DiscoveredDevices":{"a":1},"CDISpecDirs":[1,null],"ContainersRunning":-1,"LiveRestoreEnabled":"yes"}"#;
    let deep = format!("{{}}\n\n{}", "[".repeat(5000));
    [whole, wrong, &deep].map(|text| text.as_bytes().to_vec()).to_vec()
}
