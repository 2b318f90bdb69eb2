//! Cases with answers that lie beside the tree, where they are present: files, filters, comparisons, exports.

use crate::handed::{cases, text};
use model::mig::files::assert::assert;
use model::mig::files::export::export;
use model::mig::files::host_gpus::{HostGpu, RecordedMigMode};
use model::mig::files::{ConfigFile, DeviceId, Devices, MigConfigEntry, choose, read};
use model::mig::{Instance, Present, PresentCompute, ProfileName};
use serde_json::{Value, json};

fn gpu(index: usize, id: &str, mode: RecordedMigMode) -> HostGpu {
    let address = format!("0000:{:02x}:00.0", index + 1).parse().unwrap();
    let id = if id.contains(':') { id.parse().unwrap() } else { DeviceId { board: None, ..id.parse().unwrap() } };
    HostGpu { address, uuid: None, id, mode, pending: None, instances: Vec::new() }
}

/// What an entry means, as the cases write it.
fn meaning(entry: &MigConfigEntry) -> Value {
    let mut told = json!({ "enabled": entry.enabled });
    told["devices"] = match &entry.devices {
        Devices::All => "all".into(),
        Devices::These(names) => names.iter().map(|name| name.to_string().parse::<u32>().unwrap()).collect(),
    };
    if !entry.filter.is_empty() {
        told["filter"] = entry.filter.iter().map(ToString::to_string).collect();
    }
    if entry.enabled && !entry.instances.is_empty() {
        told["want"] = entry.instances.iter().map(|one| (one.profile.to_string(), json!(one.count))).collect();
    }
    told
}

#[test]
fn files_are_taken_and_refused_as_in_the_answers() {
    let all = cases("spec_parse.jsonl");
    println!("{} cases", all.len());
    for case in all {
        let (id, yaml) = (text(&case, "id"), text(&case, "yaml"));
        let ours = read(yaml);
        let taken = match text(&case, "ours") {
            "accept" => true,
            "reject" => false,
            _ => ours.is_ok(),
        };
        assert_eq!(ours.is_ok(), taken, "{id}: {ours:?}");
        match &ours {
            Ok(file) => check_meaning(&case, file),
            Err(fault) => {
                let said = fault.to_string();
                assert!(said.starts_with("line "), "{id}: {said}");
                let names = case["names"].as_str().unwrap_or_default();
                assert!(said.contains(names), "{id}: {said} does not name {names}");
            }
        }
    }
}

fn check_meaning(case: &Value, file: &ConfigFile) {
    let id = text(case, "id");
    let told = &case["meaning"];
    if let Some(entries) = told.as_array() {
        let ours: Vec<Value> = file.select(None).unwrap().entries.iter().map(meaning).collect();
        assert_eq!(&ours, entries, "{id}");
    } else {
        assert_eq!(told == &json!({}), file.configs.is_empty(), "{id}");
    }
}

#[test]
fn filters_match_as_in_the_answers() {
    for case in cases("device_filter.jsonl") {
        let (id, hardware) = (text(&case, "id"), gpu(0, text(&case, "hardware"), RecordedMigMode::Off));
        let filter = &case["filter"];
        let file = format!(
            "{{version: v1, mig-configs: {{lab: [{{device-filter: {filter}, devices: all, mig-enabled: false}}]}}}}"
        );
        let ours = match read(&file) {
            Err(_) => "refuse",
            Ok(file) => match choose(&file.configs[0], &[hardware]).unwrap()[0] {
                Some(_) => "match",
                None => "no match",
            },
        };
        assert_eq!(text(&case, "ours"), ours, "{id}");
    }
}

#[test]
fn devices_mean_what_the_answers_say() {
    for case in cases("devices_meaning.jsonl") {
        let id = text(&case, "id");
        let host: Vec<HostGpu> = case["host"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(index, told)| {
                let mode =
                    if told["mig_capable"] == true { RecordedMigMode::Off } else { RecordedMigMode::Unsupported };
                gpu(index, text(told, "id"), mode)
            })
            .collect();
        let means = |enabled: bool| -> Result<Value, String> {
            let (devices, filter) = (&case["devices"], &case["filter"]);
            let wanted = if enabled { "mig-enabled: true, mig-devices: {}" } else { "mig-enabled: false" };
            let file = format!(
                "{{version: v1, mig-configs: {{lab: [{{device-filter: {filter}, devices: {devices}, {wanted}}}]}}}}"
            );
            let file = read(&file).map_err(|fault| fault.to_string())?;
            let chosen = choose(&file.configs[0], &host).map_err(|fault| fault.to_string())?;
            let indices = chosen.iter().enumerate().filter(|(_, entry)| entry.is_some());
            Ok(indices.map(|(index, _)| index).collect())
        };
        match case["means"].as_str() {
            None => {
                assert_eq!(means(true).as_ref(), Ok(&case["means"]), "{id}");
                assert_eq!(means(false).as_ref(), Ok(&case["means"]), "{id}");
            }
            Some(words) => {
                assert!(words.starts_with("refuse") && means(true).is_err(), "{id}");
                if words.contains("nothing to do") {
                    assert_eq!(means(false), Ok(json!([])), "{id}");
                }
            }
        }
    }
}

fn present(told: &Value, number: u32) -> Present {
    let profile = text(told, "profile");
    let whole = profile.parse::<ProfileName>().unwrap().gpu;
    let slices = |word: &Value| match word.as_str().unwrap() {
        "full" => whole,
        part => part.trim_end_matches('c').parse().unwrap(),
    };
    let compute = told["compute"].as_array().unwrap().iter();
    Present {
        instance: Instance { profile: profile.to_owned(), start: number },
        in_use: false,
        compute: compute.map(|word| PresentCompute { slices: slices(word), in_use: false }).collect(),
    }
}

#[test]
fn hosts_are_compared_as_in_the_answers() {
    for case in cases("assert.jsonl") {
        let id = text(&case, "id");
        let args: Vec<&str> = case["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let state = case["state"].as_array().unwrap().iter().enumerate();
        let host: Vec<HostGpu> = state
            .map(|(index, told)| {
                let mode = match text(told, "mig") {
                    "on" => RecordedMigMode::On,
                    "off" => RecordedMigMode::Off,
                    _ => RecordedMigMode::Unsupported,
                };
                let instances = told["gpu_instances"].as_array().into_iter().flatten().zip(0..);
                HostGpu {
                    pending: told["pending"].as_str().map(|word| word == "on"),
                    instances: instances.map(|(told, number)| present(told, number)).collect(),
                    ..gpu(index, "0x233510DE", mode)
                }
            })
            .collect();
        let file = read(text(&case, "yaml")).unwrap();
        let name = args.iter().position(|arg| *arg == "-c").map(|at| args[at + 1]);
        let exit = match file.select(name) {
            Err(_) => json!("nonzero"),
            Ok(_) if args.contains(&"--valid-config") => json!(0),
            Ok(config) => {
                let asserted = assert(config, &host, args.contains(&"--mode-only")).unwrap();
                json!(u8::from(!asserted.holds(args.contains(&"--all-gpus"))))
            }
        };
        assert_eq!(case["ours_exit"], exit, "{id}");
    }
}

#[test]
fn exports_are_those_of_the_answers() {
    for case in cases("export.jsonl") {
        let id = text(&case, "id");
        let told = case["gpus"].as_array().unwrap().iter().enumerate();
        let host: Vec<HostGpu> = told
            .map(|(index, told)| {
                let mode = if told["mig"] == true { RecordedMigMode::On } else { RecordedMigMode::Off };
                let board = told["subsystem"].as_str().map(|board| format!(":{board}")).unwrap_or_default();
                let mut instances = Vec::new();
                for (profile, count) in told["instances"].as_object().unwrap() {
                    for _ in 0..count.as_u64().unwrap() {
                        let told = json!({ "profile": profile, "compute": ["full"] });
                        instances.push(present(&told, u32::try_from(instances.len()).unwrap()));
                    }
                }
                HostGpu { instances, ..gpu(index, &format!("{}{board}", text(told, "device")), mode) }
            })
            .collect();
        let (file, lost) = export(&host, "current");
        assert!(lost.is_empty(), "{id}");
        let json = serde_json::to_value(&file).unwrap();
        assert_eq!(json["mig-configs"]["current"], case["entries"], "{id}");
        let again = read(&file.yaml()).unwrap_or_else(|fault| panic!("{id}: {fault}\n{}", file.yaml()));
        assert_eq!(again, read(&json.to_string()).map(|file| relined(file, &again)).unwrap(), "{id}");
        assert!(
            assert(again.select(None).unwrap(), &host, false).unwrap().holds(true),
            "{id}: what was exported holds"
        );
    }
}

/// The same file with the lines of another, for comparisons.
fn relined(mut file: ConfigFile, other: &ConfigFile) -> ConfigFile {
    for (config, other) in file.configs.iter_mut().zip(&other.configs) {
        config.line = other.line;
        for (entry, other) in config.entries.iter_mut().zip(&other.entries) {
            entry.line = other.line;
        }
    }
    file
}
