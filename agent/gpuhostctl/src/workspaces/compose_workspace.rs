//! A workspace of the command line as a document has it.

use super::workspaces_args::Run;
use crate::failure::Failure;
use crate::input;
use serde_json::{Map, Value, json};

/// Largest file of environment variables.
const ENVIRONMENT_MAX_BYTES: usize = 256 * 1024;

/// The entry of `workspaces` for it, with the environment of its files.
pub(crate) fn document(run: &Run) -> Result<String, Failure> {
    let mut environment = Map::new();
    for file in &run.env_file {
        let text = input::read_text(file, ENVIRONMENT_MAX_BYTES)?;
        add_variables(&mut environment, &text, &input::name(file))?;
    }
    let mut document = json!({
        "workspace_id": run.name,
        "desired": "running",
        "kind": run.kind.code(),
        "image": run.image,
        "cores": run.cores,
        "memory": run.memory,
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(fields), Some(value)) = (document.as_object_mut(), value) {
            fields.insert(name.to_owned(), value);
        }
    };
    let unless_empty = |list: Vec<Value>| (!list.is_empty()).then_some(Value::Array(list));
    let texts = |list: &[String]| list.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>();
    set("shm_size", run.shm_size.map(Value::from));
    set("gpu", run.gpus.as_deref().map(|gpus| gpu(gpus, run)).transpose()?);
    set("environment", (!environment.is_empty()).then_some(Value::Object(environment)));
    set("volumes", unless_empty(run.volume.clone()));
    set("ports", unless_empty(run.port.clone()));
    set("networks", unless_empty(texts(&run.network)));
    set("security_context", run.security_context.as_deref().map(Value::from));
    Ok(document.to_string())
}

/// A `GpuRequest`.
fn gpu(gpus: &str, run: &Run) -> Result<Value, Failure> {
    let mode = if run.passthrough { "passthrough" } else { "share" };
    let mut request = match gpus {
        "all" => json!({"mode": mode, "count": "all"}),
        _ => match gpus.parse::<u64>() {
            Ok(0) => return Err(Failure::Usage { why: "--gpus 0: leave --gpus out for none".to_owned() }),
            Ok(count) => json!({"mode": mode, "count": count}),
            Err(_) => {
                let devices: Vec<Value> = gpus.split(',').map(device).collect::<Result<_, _>>()?;
                json!({"mode": mode, "count": devices.len(), "devices": devices})
            }
        },
    };
    if let (Some(fields), false) = (request.as_object_mut(), run.feature.is_empty()) {
        fields.insert("features".to_owned(), Value::from(run.feature.clone()));
    }
    Ok(request)
}

fn device(name: &str) -> Result<Value, Failure> {
    if name.starts_with("GPU-") || name.starts_with("MIG-") {
        return Ok(json!({"uuid": name}));
    }
    let address: model::PciAddress = name.parse().map_err(|_| Failure::Usage {
        why: format!("--gpus: expected a number, all, a UUID or a PCI address, got {name:?}"),
    })?;
    Ok(json!({"bdf": address.to_string()}))
}

/// Adds the variables of a file. No message has a value: it may be a secret.
fn add_variables(environment: &mut Map<String, Value>, text: &str, file: &str) -> Result<(), Failure> {
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let wrong = || Failure::Usage { why: format!("{file}: line {}: expected NAME=VALUE", number + 1) };
        let (name, value) = line.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        environment.insert(name.to_owned(), Value::from(value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_value_is_named_by_its_number_and_never_shown() {
        let mut environment = Map::new();
        let text = "# comment\n\nA=1\nB=x=y \n  # more\nsecret\n";
        let Err(Failure::Usage { why }) = add_variables(&mut environment, text, "env") else { panic!("it was read") };
        assert_eq!(why, "env: line 6: expected NAME=VALUE");
        assert_eq!(Value::Object(environment), json!({"A": "1", "B": "x=y "}));
    }
}
