//! Files of MIG configurations and checkpoints: what is taken reads the same again, and a fault is short and names its place.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::mig::files::{ConfigFile, Devices, FileError, MigConfigEntry, checkpoint, read};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The target.
pub const TARGET: Target = Target {
    name: "mig_file",
    what: "mig-parted's files, our own form of them, checkpoints",
    run,
    seeds,
    words: &WORDS,
    // A value of two bytes is a node of a tree.
    bounds: Bounds { heap_per_byte: 384, ..Bounds::USUAL },
};

const WORDS: [&str; 26] = [
    "version: v1\n",
    "version: gpuhostd/v1\n",
    "mig-configs:\n",
    "  lab:\n",
    "  - devices: all\n",
    "    devices: [0, 1]\n",
    "    mig-enabled: on\n",
    "    mig-devices: {1g.5gb: 7}\n",
    "    device-filter: '0x20B010DE'\n",
    "0x20B010DE:0x144E10DE",
    "1c.3g.20gb@4",
    "GPU-5f2ae64e",
    "0000:41:00.0",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "---\n",
    "...\n",
    "? ",
    "|\n",
    "{}",
    "[",
    "010",
    "18446744073709551616",
    "\"MigState\"",
];

fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match read(text) {
        Err(fault) => is_sound(&fault),
        Ok(file) => {
            let again = read(&written(&file).to_string()).expect("what was taken is taken again");
            assert_eq!(meaning(&again), meaning(&file));
            for config in &file.configs {
                assert!(file.select(Some(&config.name)).is_ok());
            }
        }
    }
    if let Err(why) = checkpoint::read(text, &[]) {
        assert!(why.len() < 1000, "{why}");
    }
}

fn is_sound(fault: &FileError) {
    let said = fault.to_string();
    assert!(said.len() < 2500, "a fault of {} bytes: {said}", said.len());
    assert!(!fault.why.is_empty() && fault.line != Some(0), "{said}");
}

/// All but the lines.
fn meaning(file: &ConfigFile) -> BTreeMap<String, Vec<MigConfigEntry>> {
    let unlined = |entry: &MigConfigEntry| {
        let mut entry = MigConfigEntry { line: 0, ..entry.clone() };
        // An object of JSON sorts its names.
        entry.instances.sort_by_key(|one| (one.profile.to_string(), one.start));
        entry
    };
    file.configs.iter().map(|config| (config.name.clone(), config.entries.iter().map(unlined).collect())).collect()
}

fn written(file: &ConfigFile) -> Value {
    let entry = |entry: &MigConfigEntry| {
        let devices: Value = match &entry.devices {
            Devices::All => "all".into(),
            Devices::These(names) => names
                .iter()
                .map(|name| match name {
                    model::mig::files::DeviceName::Index(index) => json!(index),
                    other => json!(other.to_string()),
                })
                .collect(),
        };
        let filter: Vec<String> = entry.filter.iter().map(ToString::to_string).collect();
        let mut told = json!({ "device-filter": filter, "devices": devices, "mig-enabled": entry.enabled });
        if entry.enabled {
            let place = |one: &model::mig::files::Instances| {
                one.start.map_or_else(|| one.profile.to_string(), |start| format!("{}@{start}", one.profile))
            };
            told["mig-devices"] = entry.instances.iter().map(|one| (place(one), json!(one.count))).collect();
        }
        told
    };
    let configs: Vec<Value> = file.configs.iter().map(|config| config.entries.iter().map(entry).collect()).collect();
    if file.configs.is_empty() {
        return json!({ "version": "gpuhostd/v1" });
    }
    let named = file.configs.iter().zip(configs).map(|(config, entries)| (config.name.clone(), entries));
    json!({ "version": "gpuhostd/v1", "mig-configs": named.collect::<serde_json::Map<_, _>>() })
}

fn seeds() -> Vec<Vec<u8>> {
    let entry = "device-filter: ['0x20B010DE', \"0x233010DE:0x16C110DE\"]\n    devices: [0, 3]\n    mig-enabled: yes\n    \
                 mig-devices: {1g.5gb: 2, 1c.3g.20gb: 3, 1g.5gb+me: 0}";
    let one = format!(
        "# a comment\nversion: v1\nmig-configs:\n  lab:\n  - {entry}\n  off:\n  - {{devices: all, mig-enabled: off}}\n"
    );
    let own = "version: gpuhostd/v1\nmig-configs:\n  lab:\n  - devices: ['0000:41:00.0', GPU-5f2ae64e]\n    mig-enabled: true\n    \
               mig-devices: {3g.20gb@4: 1, 1g.5gb: 2}\n";
    let merged = "version: v1\nmig-configs:\n  lab:\n  - &b {devices: [0], mig-enabled: true, mig-devices: {1g.18gb: 7}}\n  \
                  - {<<: *b, devices: [1]}\n";
    let json = r#"{"version": "v1", "mig-configs": {"lab": [{"devices": "all", "mig-enabled": false,}]}}"#;
    let saved = checkpoint::write(&[]).unwrap_or_default();
    let kept = r#"{"Version":"v1","MigState":{"Devices":[{"UUID":"GPU-5f2ae64e","MigMode":1,"GpuInstances":[{"ProfileID":2,"Placement":{"Start":4,"Size":4},"ComputeInstances":[{"ProfileID":0,"EngProfileID":0}]}]}]}}"#;
    let object = "apiVersion: v1\nkind: ConfigMap\ndata:\n  config.yaml: |\n    version: v1\n";
    let mut bomb = "version: v1\na0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(","));
    }
    let texts = [&one, own, merged, json, &saved, kept, object, &bomb].map(|text| text.as_bytes().to_vec());
    let wide = [b"version: v1\nmig-configs:\n  lab:\n".to_vec(), often("  - {devices: [0], mig-enabled: no}\n", 4000)]
        .concat();
    let deep = [b"version: v1\nmig-configs: ".to_vec(), often("[", 3000)].concat();
    let blocks = often("- ", 3000);
    texts.into_iter().chain([wide, deep, blocks]).collect()
}
