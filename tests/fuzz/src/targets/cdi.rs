//! CDI specifications: any bytes are a specification, another kind or a fault, and each device stood in the file.

use crate::Target;
use crate::bounds::Bounds;
use model::cdi::{Spec, parse, taken};

/// The target.
pub const TARGET: Target = Target {
    name: "cdi",
    what: "a CDI specification, as YAML and as JSON",
    run,
    seeds,
    words: &[
        "kind: nvidia.com/gpu\n",
        "\"kind\":\"nvidia.com/gpu\"",
        "cdiVersion: 0.5.0\n",
        "devices:\n",
        "- name: \"0\"\n",
        "name: all\n",
        "containerEdits:\n",
        "  deviceNodes:\n",
        "    - path: /dev/nvidia0\n",
        "hostPath: ",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "!!binary ",
        "---\n",
        "|-\n",
    ],
    bounds: Bounds { heap_per_byte: 512, ..Bounds::USUAL },
};

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for name in ["nvidia.yaml", "nvidia.json"] {
        match parse(name, input) {
            Ok(Some(spec)) => look(&spec, &text),
            Ok(None) => {}
            Err(why) => assert!(!why.is_empty() && !why.contains(char::is_control), "{why:?}"),
        }
    }
}

fn look(spec: &Spec, text: &str) {
    // What is folded or escaped stands in another form in the file.
    let plain = !text.contains(['\\', '\n']);
    for device in &spec.devices {
        assert!(!plain || text.contains(&device.name), "{:?} did not stand in the file", device.name);
    }
    let found = taken(&[vec![("nvidia.yaml".to_owned(), spec.clone())]]);
    assert!(found.names.is_sorted());
    assert!(found.names.iter().all(|name| spec.devices.iter().any(|device| device.name == *name)));
    assert!(found.all.is_none_or(|all| all.minors.is_sorted() && all.names.iter().all(|name| name != "all")));
}

fn seeds() -> Vec<Vec<u8>> {
    let yaml = "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    - path: \
                /dev/nvidia0\n- name: all\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\n      hostPath: \
                /run/nvidia/driver/dev/nvidia0\ncontainerEdits:\n  mounts:\n  - hostPath: /usr/lib/libcuda.so.1\n";
    let json = r#"{"cdiVersion":"0.6.0","kind":"nvidia.com/gpu","devices":[{"name":"all","containerEdits":{"deviceNodes":[{"path":"/dev/nvidia1"}]}}],"containerEdits":{"hooks":[{"path":"/usr/bin/nvidia-cdi-hook"}]}}"#;
    let bomb = "a: &a [x,x]\nb: &b [*a,*a]\nkind: nvidia.com/gpu\ndevices: *b\n";
    [yaml, json, bomb].map(|text| text.as_bytes().to_vec()).to_vec()
}
