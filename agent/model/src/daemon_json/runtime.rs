//! One runtime of Docker's: its name, and the program that is started for it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name or path that Docker would not take, or that would need an escape in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: expected {expected}")]
pub struct BadEntry {
    /// `name of a runtime`, `path of a runtime`.
    pub what: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What came, at most 64 characters of it.
    pub text: String,
}

fn bad(what: &'static str, expected: &'static str, text: &str) -> BadEntry {
    BadEntry { what, expected, text: text.chars().take(64).collect() }
}

/// The name of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuntimeName(String);

impl RuntimeName {
    /// As it is in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Docker itself keeps `runc`, and takes what begins with `io.containerd.` for a shim.
fn is_reserved(name: &str) -> bool {
    name == "runc" || name.starts_with("io.containerd.")
}

impl FromStr for RuntimeName {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || text.len() > 64 || !text.chars().all(known) {
            return Err(bad("name of a runtime", "letters, digits, '-', '_' and '.', at most 64", text));
        }
        if is_reserved(text) {
            return Err(bad("name of a runtime", "a name that Docker does not keep for itself", text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RuntimeName {
    type Error = BadEntry;

    fn try_from(text: String) -> Result<Self, BadEntry> {
        text.parse()
    }
}

impl From<RuntimeName> for String {
    fn from(name: RuntimeName) -> Self {
        name.0
    }
}

/// One entry of `runtimes`; in JSON it is `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuntimeEntry {
    /// Its name.
    pub name: RuntimeName,
    path: String,
}

impl RuntimeEntry {
    /// An entry.
    ///
    /// # Errors
    /// The path is neither absolute nor the plain name of a program, or has characters that such a path never has.
    pub fn new(name: RuntimeName, path: &str) -> Result<Self, BadEntry> {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
        let plain = !path.contains('/') && !path.starts_with(['-', '.']);
        let whole = path.starts_with('/') && !path.ends_with('/') && !path.split('/').any(|part| part == "..");
        if path.is_empty() || path.len() > 1024 || !path.chars().all(known) || !(plain || whole) {
            let expected = "an absolute path or the name of a program, of letters, digits, '-', '_', '.', '+' and '/'";
            return Err(bad("path of a runtime", expected, path));
        }
        Ok(Self { name, path: path.to_owned() })
    }

    /// The program.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for RuntimeEntry {
    type Err = BadEntry;

    /// `NAME=PATH`.
    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let (name, path) = text.split_once('=').ok_or_else(|| bad("runtime", "NAME=PATH", text))?;
        Self::new(name.parse()?, path)
    }
}

impl fmt::Display for RuntimeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.path)
    }
}

impl TryFrom<String> for RuntimeEntry {
    type Error = BadEntry;

    fn try_from(text: String) -> Result<Self, BadEntry> {
        text.parse()
    }
}

impl From<RuntimeEntry> for String {
    fn from(entry: RuntimeEntry) -> Self {
        entry.to_string()
    }
}
