//! Stand-in for NVIDIA's container runtime and for `nvidia-ctk`, by the name that it is called by: edits the OCI bundle as the real
//! one was seen to do, then runs `runc`.
//!
//! `STAND_IN_DEVICES` names a file with a line for each GPU: its index, its UUID and the node that stands for it. A node `-` makes a
//! container with the libraries and without the device.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Device {
    index: String,
    uuid: String,
    node: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let is_ctk = arguments.first().is_some_and(|name| name.contains("nvidia-ctk"));
    let version = std::env::var("TOOLKIT_VERSION").unwrap_or_else(|_| "1.17.8".to_owned());
    let ran = match arguments.get(1).map(String::as_str) {
        Some("--version") if is_ctk => {
            println!("NVIDIA Container Toolkit CLI version {version}\ncommit: stand-in");
            Ok(())
        }
        Some("--version") => {
            println!("NVIDIA Container Runtime version {version}\ncommit: stand-in\nspec: 1.2.0\n");
            Ok(())
        }
        Some("cdi") if is_ctk => generate(&arguments),
        _ if is_ctk => Err("nvidia-ctk: only --version and cdi generate are known".into()),
        _ => edit_and_run(&arguments),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            log(&arguments, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Where containerd looks for the words of a runtime that has failed.
fn log(arguments: &[String], said: &str) {
    let file = arguments.iter().position(|argument| argument == "--log").and_then(|at| arguments.get(at + 1));
    let line = json!({"level": "error", "msg": said, "time": "2026-11-29T11:00:00Z"});
    let _best = file.map(|file| fs::write(file, format!("{line}\n")));
}

fn devices() -> Outcome<Vec<Device>> {
    let file = std::env::var("STAND_IN_DEVICES")?;
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let device = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Device { index: words.next()?, uuid: words.next()?, node: words.next()? })
    };
    Ok(text.lines().filter_map(device).collect())
}

/// After `--output FILE` or `--output=FILE`, else on the standard output.
fn generate(arguments: &[String]) -> Outcome<()> {
    let of = |device: &Device, name: &str| json!({"name": name, "containerEdits": {"deviceNodes": [{"path": format!("/dev/nvidia{}", device.index), "hostPath": device.node}]}});
    let devices = devices()?;
    let mut list: Vec<Value> =
        devices.iter().flat_map(|device| [of(device, &device.index), of(device, &device.uuid)]).collect();
    let all: Vec<Value> =
        devices.iter().map(|device| of(device, "all")["containerEdits"]["deviceNodes"][0].clone()).collect();
    list.push(json!({"name": "all", "containerEdits": {"deviceNodes": all}}));
    let edits = json!({"env": ["NVIDIA_VISIBLE_DEVICES=void"]});
    let spec = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": list, "containerEdits": edits});
    let text = serde_json::to_string_pretty(&spec)?;
    let after = arguments.iter().position(|argument| argument == "--output").and_then(|at| arguments.get(at + 1));
    let output =
        after.map(String::as_str).or_else(|| arguments.iter().find_map(|argument| argument.strip_prefix("--output=")));
    match output {
        Some(file) => fs::write(file, text)?,
        None => println!("{text}"),
    }
    Ok(())
}

fn edit_and_run(arguments: &[String]) -> Outcome<()> {
    if arguments.iter().any(|argument| argument == "create") {
        let bundle = arguments.iter().position(|argument| argument == "--bundle").and_then(|at| arguments.get(at + 1));
        edit(&PathBuf::from(bundle.map_or(".", String::as_str)).join("config.json"))?;
    }
    let failed = Command::new("runc").args(arguments.iter().skip(1)).exec();
    Err(format!("runc: {failed}").into())
}

fn edit(file: &Path) -> Outcome<()> {
    let mut config: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let wanted = wanted(&config);
    if wanted.is_empty() {
        return Ok(());
    }
    let known = devices()?;
    let mut given: Vec<&Device> = Vec::new();
    for name in &wanted {
        let found: Vec<&Device> =
            known.iter().filter(|device| name == "all" || *name == device.index || *name == device.uuid).collect();
        if found.is_empty() {
            return Err(format!("could not apply required modification to OCI specification: error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices nvidia.com/gpu={name}").into());
        }
        given.extend(found);
    }
    for device in given {
        give(&mut config, device)?;
    }
    let variables = config["process"]["env"].as_array_mut().ok_or("no environment")?;
    variables.retain(|variable| !variable.as_str().is_some_and(|text| text.starts_with("NVIDIA_VISIBLE_DEVICES=")));
    variables.push("NVIDIA_VISIBLE_DEVICES=void".into());
    fs::write(file, serde_json::to_vec(&config)?)?;
    Ok(())
}

/// The last value of the variable counts; annotations are added to it. Names of CDI devices are taken in both.
fn wanted(config: &Value) -> BTreeSet<String> {
    let variables = config["process"]["env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let visible =
        variables.filter_map(|text| text.strip_prefix("NVIDIA_VISIBLE_DEVICES=")).next_back().unwrap_or_default();
    let annotations = config["annotations"].as_object().into_iter().flatten();
    let annotated =
        annotations.filter(|(key, _)| key.starts_with("cdi.k8s.io/")).filter_map(|(_, value)| value.as_str());
    let names = visible.split(',').chain(annotated.flat_map(|list| list.split(',')));
    let names = names.map(|name| name.trim().trim_start_matches("nvidia.com/gpu="));
    names.filter(|name| !matches!(*name, "" | "void" | "none")).map(str::to_owned).collect()
}

fn give(config: &mut Value, device: &Device) -> Outcome<()> {
    if device.node == "-" {
        return Ok(());
    }
    let number = fs::metadata(&device.node).map_err(|error| format!("{}: {error}", device.node))?.rdev();
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    let linux = &mut config["linux"];
    let node = json!({"path": format!("/dev/nvidia{}", device.index), "type": "c", "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0});
    let rule = json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"});
    for (list, item) in [("devices", node), ("", rule)] {
        let list = if list.is_empty() { &mut linux["resources"]["devices"] } else { &mut linux[list] };
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().ok_or("no list")?.push(item);
    }
    Ok(())
}
