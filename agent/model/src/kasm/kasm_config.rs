//! What came of reading a configuration of Kasm's agent: settings of ours as TOML, a token, and what became of each key.

use crate::enrol::Secret;
use crate::mig::files::FileError;
use crate::settings::merge;
use serde::Serialize;
use std::collections::BTreeMap;
use toml::Value;

/// A key that was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MappedKey {
    /// Its name in Kasm's file, `agent.server_id`.
    pub from: String,
    /// Its name in ours, `manager.server_id`.
    pub to: String,
    /// Its value; `None` where it is a secret.
    pub value: Option<String>,
}

/// A key that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutKey {
    /// Its name in Kasm's file.
    pub key: String,
    /// Its line.
    pub line: u64,
    /// Why; a key that this version does not know has none.
    pub why: Option<String>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KasmImport {
    /// What was taken over, in the order of the file.
    pub mapped: Vec<MappedKey>,
    /// What was not.
    pub left_out: Vec<LeftOutKey>,
    /// What a person should look at.
    pub notes: Vec<String>,
    /// The token that all hosts share.
    pub token: Option<Secret>,
    /// Values of `[manager]`.
    pub(super) manager: BTreeMap<&'static str, Value>,
}

impl KasmImport {
    /// The settings as TOML. The token is in a file of its own, which has this path.
    ///
    /// # Errors
    /// A value that the daemon would refuse, under the name that it has in our file.
    pub fn config(&self, token_file: &str) -> Result<String, FileError> {
        let mut manager = self.manager.clone();
        if self.token.is_some() {
            manager.insert("shared_token_file", Value::String(token_file.to_owned()));
        }
        let lines = manager.iter().map(|(key, value)| format!("{key} = {value}\n"));
        let text = format!(
            "# From Kasm's agent.app.config.yaml, by gpuhostctl import-kasm.\n[manager]\n{}",
            lines.collect::<String>()
        );
        let merged = merge(&[("the imported settings".to_owned(), text.clone())]);
        match merged.faults.first() {
            None => Ok(text),
            Some(fault) => {
                let of = |to: &str| self.mapped.iter().find(|mapped| mapped.to == to).map(|mapped| mapped.from.clone());
                let field = of(&fault.field).unwrap_or_else(|| fault.field.clone());
                Err(FileError { line: None, field, why: fault.why.clone() })
            }
        }
    }
}
