//! The contract itself: validates a body against the OpenAPI file and says which field is wrong.

use anyhow::{Context as _, anyhow};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The OpenAPI file that the product ships.
pub const OPENAPI: &str = include_str!("../../../docs/manager-api/openapi.yaml");

static DOCUMENT: LazyLock<Result<Value, String>> =
    LazyLock::new(|| serde_norway::from_str(OPENAPI).map_err(|error| error.to_string()));
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// One thing in a body that the contract does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// JSON pointer to the field; empty for the body itself.
    pub field: String,
    /// What is wrong with it. The values of the body are not in it: they may be secret.
    pub what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "/" } else { &self.field };
        write!(f, "{field}: {}", self.what)
    }
}

/// The contract as a JSON document.
///
/// # Errors
/// The file is not YAML.
pub fn document() -> anyhow::Result<&'static Value> {
    DOCUMENT.as_ref().map_err(|error| anyhow!("docs/manager-api/openapi.yaml is not valid YAML: {error}"))
}

/// JSON pointer to a named schema of the contract, as `Heartbeat`.
#[must_use]
pub fn component(name: &str) -> String {
    format!("/components/schemas/{name}")
}

/// All that is wrong with `body` by the schema at this JSON pointer of the contract; nothing where it is valid.
///
/// # Errors
/// The contract has no schema there, or it is not a JSON Schema.
pub fn mismatches(pointer: &str, body: &Value) -> anyhow::Result<Vec<Mismatch>> {
    let validator = validator(pointer)?;
    Ok(validator
        .iter_errors(body)
        .map(|error| Mismatch { field: error.instance_path().to_string(), what: error.masked().to_string() })
        .collect())
}

/// Compiles the schema at the pointer, once a process.
fn validator(pointer: &str) -> anyhow::Result<Arc<Validator>> {
    if let Some(known) = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner).get(pointer) {
        return Ok(Arc::clone(known));
    }
    let compiled = Arc::new(compile(pointer)?);
    VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner).insert(pointer.to_owned(), Arc::clone(&compiled));
    Ok(compiled)
}

/// The whole document stays below the root, so that `$ref`s into it hold; the root itself is a reference to one schema.
fn compile(pointer: &str) -> anyhow::Result<Validator> {
    let document = document()?;
    document.pointer(pointer).with_context(|| format!("the contract has no schema at {pointer}"))?;
    let root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#{pointer}"),
        "paths": document.get("paths"),
        "components": document.get("components"),
    });
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .offline()
        .build(&root)
        .map_err(|error| anyhow!("the contract's schema at {pointer} can't be used: {error}"))
}
