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
    metadata(&["--no-deps"])["packages"].as_array().expect("packages is a list").iter().map(package).collect()
}

/// Name and licence of each crate of others that is built on this platform, tests and tools included.
#[must_use]
pub fn licences() -> Vec<(String, String)> {
    let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output();
    let said = String::from_utf8(rustc.expect("rustc can be started").stdout).expect("rustc says text");
    let platform = said.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc says its host").to_owned();
    let metadata = metadata(&["--filter-platform", &platform]);
    let packages = metadata["packages"].as_array().expect("packages is a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let theirs = packages.filter(|package| !package["source"].is_null());
    theirs.map(|package| (text(&package["name"]), text(&package["license"]))).collect()
}

fn metadata(more: &[&str]) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(more)
        .current_dir(tree::root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
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
