//! The contract: its examples hold, and what is not in it is refused with the name of the field.

use crate::agent::example;
use manager::contract::{component, mismatches};
use manager::{Endpoint, Verb};
use serde_json::{Value, json};

/// The examples and the schemas that they are of.
pub(crate) const EXAMPLES: [(&str, &str); 5] = [
    ("desired_state.json", "DesiredState"),
    ("error.json", "Error"),
    ("heartbeat.json", "Heartbeat"),
    ("heartbeat_reply.json", "HeartbeatReply"),
    ("set_server_status.json", "SetServerStatus"),
];

/// A value that no schema of the field's kind takes.
fn of_another_type(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Null => json!({"not": "it"}),
        Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => json!("not it"),
    }
}

/// Bodies made of a good one, each with one thing wrong: JSON pointer of the parent or field, and the body.
pub(crate) fn mutations(schema: &str, good: &Value) -> Vec<(String, Value)> {
    let document = manager::contract::document().unwrap();
    let described = &document["components"]["schemas"][schema];
    let required = described["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let dropped = required.map(|name| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name).unwrap_or_else(|| panic!("the example has no {name}"));
        (name.to_owned(), body)
    });
    let known = described["properties"].as_object().unwrap();
    let fields = good.as_object().unwrap().iter().filter(|(name, _)| known.contains_key(*name));
    let mistyped = fields.map(|(name, value)| {
        let mut body = good.clone();
        body[name] = of_another_type(value);
        (name.clone(), body)
    });
    dropped.chain(mistyped).collect()
}

#[test]
fn the_examples_are_what_the_contract_describes() {
    for (file, schema) in EXAMPLES {
        assert_eq!(mismatches(&component(schema), &example(file)).unwrap(), [], "{file}");
    }
    let on_disk = std::fs::read_dir(format!("{}/../../docs/manager-api/examples", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert_eq!(on_disk.count(), EXAMPLES.len(), "an example that no test looks at");
}

#[test]
fn each_field_that_is_missing_or_mistyped_is_named() {
    let mut tried = 0;
    for (file, schema) in EXAMPLES {
        for (field, body) in mutations(schema, &example(file)) {
            let found = mismatches(&component(schema), &body).unwrap();
            let named = found.iter().any(|mismatch| mismatch.to_string().contains(&field));
            assert!(named, "{file}: {field} is wrong, found {found:?}");
            tried += 1;
        }
    }
    assert!(tried > 70, "only {tried} bodies were tried");
}

/// Things that are wrong deeper down, with the field that must be named.
pub(crate) const DEEP: [(&str, &str); 14] = [
    ("/server_id", "\"not-a-uuid\""),
    ("/time", "\"yesterday\""),
    ("/time", "1774962793"),
    ("/seq", "-1"),
    ("/seq", "1.5"),
    ("/status", "\"happy\""),
    ("/inventory/gpus/0/bdf", "\"10:00.0\""),
    ("/inventory/gpus/0/bdf", "\"0000:10:00.8\""),
    ("/inventory/gpus/0/vendor", "\"NVIDIA\""),
    ("/inventory/gpus/0/iommu_group", "\"40\""),
    ("/inventory/gpus/0/features/cuda", "true"),
    ("/gpu_metrics/0/bdf", "null"),
    ("/workspaces/0/started_at", "\"2026-03-31 13:13\""),
    ("/mem/used_pct", "\"7.5\""),
];

#[test]
fn what_is_wrong_deep_inside_is_named_by_its_path() {
    for (pointer, value) in DEEP {
        let mut body = example("heartbeat.json");
        *body.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        let found = mismatches(&component("Heartbeat"), &body).unwrap();
        assert!(found.iter().any(|mismatch| mismatch.field == pointer), "{pointer} = {value}: {found:?}");
    }
}

#[test]
fn a_complaint_does_not_repeat_the_value() {
    let mut body = example("heartbeat.json");
    body["hostname"] = json!({"secret": "canary"});
    let found = mismatches(&component("Heartbeat"), &body).unwrap();
    assert!(!found.is_empty() && !format!("{found:?}").contains("canary"), "{found:?}");
}

#[test]
fn unknown_values_are_null_and_unknown_fields_are_taken() {
    let mut body = example("heartbeat.json");
    for pointer in ["/cpu_pct", "/mem/total_bytes", "/clock_skew_ms", "/inventory/gpus/0/iommu_group", "/zone"] {
        *body.pointer_mut(pointer).unwrap() = Value::Null;
    }
    body["from_the_future"] = json!(1);
    assert_eq!(mismatches(&component("Heartbeat"), &body).unwrap(), []);
}

#[test]
fn every_post_has_a_schema_and_every_endpoint_is_in_the_contract() {
    let document = manager::contract::document().unwrap();
    for endpoint in Endpoint::ALL {
        let method = endpoint.verb().name().to_lowercase();
        assert!(document["paths"][endpoint.path()][&method].is_object(), "{endpoint:?}");
        assert_eq!(endpoint.request_schema().is_some(), endpoint.verb() == Verb::Post);
        if let Some(pointer) = endpoint.request_schema() {
            assert!(!mismatches(&pointer, &json!([])).unwrap().is_empty(), "{endpoint:?} takes anything");
        }
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), Endpoint::ALL.len(), "an endpoint is missing here");
    assert!(mismatches("/components/schemas/Nothing", &json!({})).is_err());
}
