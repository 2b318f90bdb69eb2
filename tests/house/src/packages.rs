//! The packages of the workspace and what each uses, from `cargo metadata`.

use crate::tree;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// One package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, relative to the top.
    pub folder: PathBuf,
    /// Packages of this workspace that it uses in a build (not in tests).
    pub ours: Vec<String>,
    /// Packages of others that it uses in a build (not in tests).
    pub theirs: Vec<String>,
}

impl Package {
    /// Part of the product, not of its tests.
    #[must_use]
    pub fn is_product(&self) -> bool {
        self.folder.starts_with("agent")
    }
}

/// All packages of the workspace.
#[must_use]
pub fn all() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(tree::root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    metadata["packages"].as_array().expect("packages is a list").iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    let manifest = PathBuf::from(text(&value["manifest_path"]));
    let folder = manifest.parent().and_then(|f| f.strip_prefix(tree::root()).ok()).expect("a package below the top");
    let used = value["dependencies"].as_array().expect("dependencies is a list");
    let built = used.iter().filter(|d| d["kind"].as_str() != Some("dev"));
    let (ours, theirs): (Vec<_>, Vec<_>) = built.partition(|d| d["path"].is_string());
    let names = |list: Vec<&Value>| list.iter().map(|d| text(&d["name"])).collect();
    Package { name: text(&value["name"]), folder: folder.to_owned(), ours: names(ours), theirs: names(theirs) }
}
