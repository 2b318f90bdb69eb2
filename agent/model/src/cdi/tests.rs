//! Specifications as nvidia-ctk writes them, others', and files that are none.

use super::spec_text::has_alias;
use super::*;
use crate::docker::CdiAll;

/// What `nvidia-ctk cdi generate` writes for two GPUs, in short.
const TWO: &str = r#"---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidiactl
  hooks:
  - args: [nvidia-cdi-hook, update-ldcache]
    hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
  mounts:
  - containerPath: /usr/lib/libcuda.so.580.105.08
    hostPath: /usr/lib/libcuda.so.580.105.08
    options: [ro]
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
    - path: /dev/dri/card1
  name: "0"
- containerEdits:
    deviceNodes:
    - hostPath: /run/nvidia/driver/dev/nvidia1
      path: /dev/nvidia1
  name: "1"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
    - path: /dev/nvidia1
  name: all
kind: nvidia.com/gpu
"#;

fn spec(text: &str) -> Spec {
    parse("nvidia.yaml", text.as_bytes()).unwrap().unwrap()
}

fn of(names: &[&str]) -> Spec {
    let device = |name: &&str| Device { name: (*name).to_owned(), ..Device::default() };
    Spec { devices: names.iter().map(device).collect(), ..Spec::default() }
}

fn folder(files: &[Spec]) -> CdiFolder {
    files.iter().enumerate().map(|(nth, spec)| (format!("{nth}.yaml"), spec.clone())).collect()
}

#[test]
fn a_specification_names_its_devices_and_what_all_stands_for() {
    let two = spec(TWO);
    assert_eq!(two.version, "0.5.0");
    assert_eq!(two.devices[1].nodes, ["/run/nvidia/driver/dev/nvidia1"]);
    assert!(two.host_paths().contains("/usr/bin/nvidia-cdi-hook"), "{:?}", two.host_paths());
    assert!(two.host_paths().contains("/usr/lib/libcuda.so.580.105.08"), "{:?}", two.host_paths());
    let taken = taken(&[folder(&[two])]);
    assert_eq!(taken.names, ["0", "1", "all"]);
    assert_eq!(taken.all, Some(CdiAll { names: vec!["0".to_owned(), "1".to_owned()], minors: vec![0, 1] }));
}

#[test]
fn json_says_the_same() {
    let json = r#"{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits":
        {"deviceNodes": [{"path": "/dev/nvidia3"}, {"path": "/dev/nvidia-uvm"}, {"path": "/dev/nvidia-caps/nvidia-cap1"}]}}]}"#;
    let spec = parse("nvidia.json", json.as_bytes()).unwrap().unwrap();
    assert_eq!(taken(&[folder(&[spec])]).all, Some(CdiAll { names: Vec::new(), minors: vec![3] }));
}

#[test]
fn what_is_of_another_kind_or_no_specification_by_its_name_is_none() {
    assert_eq!(parse("amd.yaml", b"kind: amd.com/gpu\ndevices: []\n").unwrap(), None);
    assert_eq!(parse("management.yaml", b"kind: management.nvidia.com/gpu\n").unwrap(), None);
    // An engine goes by the end of the name alone: it does not read `.yml`, and reads what is hidden.
    for name in ["nvidia.yaml.bak", "README", ".nvidia.json.new", "nvidia.yml", "nvidia.JSON"] {
        assert_eq!(parse(name, b"kind: nvidia.com/gpu\n").unwrap(), None, "{name}");
    }
    assert!(parse(".nvidia.yaml", TWO.as_bytes()).unwrap().is_some());
}

#[test]
fn a_broken_file_says_what_is_wrong() {
    // Half a megabyte, a thousand times.
    let bomb =
        format!("kind: nvidia.com/gpu\nx: &x \"{}\"\ndevices: [{}]\n", "x".repeat(500_000), "{name: *x},".repeat(1000));
    for text in [
        "",
        "kind: nvidia.com/gpu\ndevices:\n- name: 0\n- name: [\n",
        // The engine wants a text.
        "kind: nvidia.com/gpu\ndevices:\n- name: [0]\n",
        "kind: nvidia.com/gpu\ndevices: 7\n",
        // Engines take no file with any of these.
        "kind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n",
        "kind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits: {mounts: []}\n",
        "kind: nvidia.com/gpu\ndevices:\n- name: \"0-\"\n  containerEdits: {env: [A=B]}\n",
        "kind: nvidia.com/gpu\ndevices:\n- {name: a, containerEdits: {env: [A=B]}}\n- {name: a, containerEdits: {env: [A=B]}}\n",
        "kind: nvidia.com/gpu\ndevices:\n- name: \"\"\n",
        "kind: nvidia.com/gpu\ndevices:\n- name: \"0\\n\"\n",
        "\u{0}\u{1}",
        bomb.as_str(),
    ] {
        let fault = parse("nvidia.yaml", text.as_bytes()).unwrap_err();
        assert!(!fault.is_empty() && !fault.contains(char::is_control), "{text:?}: {fault}");
    }
    for alias in ["a: *b", "[*b]", "- *b", "<<: *b", "a:*b", "{*b : 1}", "*b"] {
        assert!(has_alias(alias.as_bytes()), "{alias}");
    }
    assert!(!has_alias(b"path: /usr/lib/*.so\nargs: ['2 * 3', \"**\"]\n"));
    assert!(parse("nvidia.json", b"kind: nvidia.com/gpu").is_err());
    assert!(parse("nvidia.yaml", &vec![b' '; FILE_MAX_BYTES + 1]).unwrap_err().contains("larger than"));
}

#[test]
fn a_later_folder_goes_before_and_two_files_of_one_folder_are_a_conflict() {
    let names = |folders: &[CdiFolder]| taken(folders).names;
    assert_eq!(names(&[folder(&[of(&["0", "1"]), of(&["1", "2"])])]), ["0", "2"]);
    // What a later folder defines twice is none, though an earlier one has it.
    assert_eq!(names(&[folder(&[of(&["0", "1"])]), folder(&[of(&["1"]), of(&["1"])])]), ["0"]);
    // And what an earlier folder defines twice stays none, though a later one defines it once: engines remember the conflict.
    assert_eq!(names(&[folder(&[of(&["0", "1"]), of(&["1"])]), folder(&[of(&["1", "2"])])]), ["0", "2"]);
    let both = taken(&[folder(&[spec(TWO)]), folder(&[of(&["all", "GPU-1"])])]);
    assert_eq!(both.all, Some(CdiAll { names: vec!["GPU-1".to_owned()], minors: Vec::new() }));
    assert_eq!(taken(&[]), CdiDevices::default());
}

#[test]
fn the_lowest_version_is_that_of_the_newest_field() {
    let needs = |edits: &str, name: &str, more: &str| {
        let text = format!(
            "kind: nvidia.com/gpu\n{more}\ndevices:\n- name: \"{name}\"\n  containerEdits: {{env: [A=B]{edits}}}\n"
        );
        spec(&text).needs.unwrap()
    };
    for (edits, name, more, version) in [
        ("", "gpu0", "", SpecVersion::V0_3),
        (", mounts: [{hostPath: /a, containerPath: /a, type: bind}]", "gpu0", "", SpecVersion::V0_4),
        (", mounts: [{hostPath: /a, containerPath: /a, type: \"\"}]", "gpu0", "", SpecVersion::V0_3),
        ("", "0", "", SpecVersion::V0_5),
        (", deviceNodes: [{path: /dev/nvidia0}]", "gpu0", "", SpecVersion::V0_3),
        (", deviceNodes: [{path: /dev/nvidia0, hostPath: /x/dev/nvidia0}]", "gpu0", "", SpecVersion::V0_5),
        (", deviceNodes: [{path: /dev/nvidia0, hostPath: \"\"}]", "gpu0", "", SpecVersion::V0_3),
        ("", "gpu0", "annotations: {a: b}", SpecVersion::V0_6),
        ("", "gpu0", "annotations: {}", SpecVersion::V0_3),
        (", additionalGids: [44]", "0", "", SpecVersion::V0_7),
        (", additionalGids: []", "gpu0", "", SpecVersion::V0_3),
        (", intelRdt: {closID: x}", "gpu0", "", SpecVersion::V0_7),
        (", intelRdt: {schemata: [x]}", "gpu0", "", SpecVersion::V1_1),
        (", netDevices: [{hostInterfaceName: a, name: b}]", "gpu0", "", SpecVersion::V1_1),
        ("", "gpu0", "containerEdits: {additionalGids: [44]}", SpecVersion::V0_7),
    ] {
        assert_eq!(needs(edits, name, more), version, "{edits} {name} {more}");
    }
}

#[test]
fn an_engine_refuses_a_version_that_is_unknown_too_new_or_too_old() {
    let refused = |version: &str, newest| spec(&TWO.replace("0.5.0", version)).refused_by(newest);
    assert_eq!(refused("0.5.0", SpecVersion::V0_7), None);
    assert!(refused("0.8.0", SpecVersion::V0_7).unwrap().contains("newer than this Docker reads (0.7.0)"));
    assert_eq!(refused("0.8.0", SpecVersion::V1_0), None);
    assert!(refused("0.3.0", SpecVersion::V0_7).unwrap().contains("needs 0.5.0"));
    for none in ["\"\"", "2.0.0", "0.5"] {
        assert!(refused(none, SpecVersion::NEWEST).unwrap().contains("none that exists"), "{none}");
    }
}

#[test]
fn the_node_of_a_gpu_is_known_below_the_root_of_a_driver_container_too() {
    let two = spec(TWO);
    let minors: Vec<Vec<u32>> = two.devices.iter().map(|device| device.minors().into_iter().collect()).collect();
    assert_eq!(minors, [vec![0], vec![1], vec![0, 1]]);
    assert_eq!(two.driver_versions(), std::collections::BTreeSet::from(["580.105.08"]));
}
