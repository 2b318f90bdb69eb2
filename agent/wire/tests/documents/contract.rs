//! The manager API's schemas, as an independent validator reads them.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

/// The contract stands with the product's documents; where this package is built without them, beside the checkout.
const PLACES: [&str; 2] = ["../../docs/manager-api/openapi.yaml", "../../../shared/manager-api/openapi.yaml"];

static API: LazyLock<Value> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = PLACES.iter().map(|place| root.join(place)).find(|path| path.is_file()).expect("no openapi.yaml");
    serde_norway::from_str(&std::fs::read_to_string(place).unwrap()).unwrap()
});

/// What is wrong with a document, by the schema of this name.
pub(crate) fn violations(schema: &str, document: &impl serde::Serialize) -> Vec<String> {
    let schema = json!({"$ref": format!("#/components/schemas/{schema}"), "components": API["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = serde_json::to_value(document).unwrap();
    validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The names of a schema's properties.
pub(crate) fn properties(schema: &str) -> BTreeSet<String> {
    let properties = API["components"]["schemas"][schema]["properties"].as_object().expect("no such schema");
    properties.keys().cloned().collect()
}
