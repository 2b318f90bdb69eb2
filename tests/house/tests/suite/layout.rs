//! The fixed places: what stands at the top, and that each dependency has its line of reason.

use house::tree;
use std::collections::BTreeSet;
use std::path::Path;
use toml::Table;

const TOP_LEVEL: [&str; 20] = [
    ".ci",
    ".editorconfig",
    ".gitignore",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "agent",
    "clippy.toml",
    "deny.toml",
    "docs",
    "packaging",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "selinux",
    "systemd",
    "tests",
];

const DEPENDENCIES: &str = "docs/decisions/0005-dependencies.md";

#[test]
fn the_top_holds_only_what_is_fixed() {
    let extra: Vec<_> = tree::top_level().into_iter().filter(|name| !TOP_LEVEL.contains(&name.as_str())).collect();
    assert!(extra.is_empty(), "not among the fixed entries at the top: {extra:?}");
}

/// Names in the first column of the tables of a document.
fn rows(document: &str) -> BTreeSet<String> {
    let first = |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned());
    document.lines().filter_map(first).collect()
}

#[test]
fn each_dependency_has_its_reason() {
    let manifest: Table = tree::text(Path::new("Cargo.toml")).parse().expect("Cargo.toml is TOML");
    let dependencies = manifest["workspace"]["dependencies"].as_table().expect("a table");
    let theirs = dependencies.iter().filter(|(_, value)| value.get("path").is_none());
    let used: BTreeSet<String> = theirs.map(|(name, _)| name.clone()).collect();
    let told = rows(&tree::text(Path::new(DEPENDENCIES)));
    let untold: Vec<_> = used.difference(&told).collect();
    let gone: Vec<_> = told.difference(&used).collect();
    assert!(untold.is_empty(), "no row in {DEPENDENCIES} for {untold:?}");
    assert!(gone.is_empty(), "{DEPENDENCIES} still has rows for {gone:?}");
}

#[test]
fn packages_take_their_versions_from_the_workspace() {
    for package in house::packages::all() {
        let manifest: Table = tree::text(&package.folder.join("Cargo.toml")).parse().expect("a manifest is TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(|s| s.as_table()) else { continue };
            for (name, value) in table {
                let shared = value.get("workspace").is_some() || value.get("path").is_some();
                assert!(shared, "{}: [{section}] {name} has a version of its own", package.name);
            }
        }
    }
}

#[test]
fn rows_are_read_from_the_first_column() {
    let document = "# x\n| crate | why |\n|---|---|\n| `a` | uses `b` |\n| `c-d` | x |\n";
    assert_eq!(rows(document), ["a".to_owned(), "c-d".to_owned()].into());
}
