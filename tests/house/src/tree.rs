//! The files of the tree, without what a build or a version control system puts beside them.

use std::path::{Path, PathBuf};

/// Folders at the top of a checkout that are no part of the tree.
const BESIDE_THE_TREE: [&str; 4] = [".git", "target", "out", "shared"];

/// The top folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/house lies two folders below the top").to_owned()
}

/// Names of all entries at the top that belong to the tree, sorted.
#[must_use]
pub fn top_level() -> Vec<String> {
    let entries = std::fs::read_dir(root()).expect("the top folder can be read");
    let names = entries.map(|entry| entry.expect("an entry can be read").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| !BESIDE_THE_TREE.contains(&name.as_str())).collect();
    names.sort();
    names
}

/// Every file of the tree, relative to the top, sorted.
#[must_use]
pub fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in top_level() {
        walk(&root().join(name), &mut found);
    }
    let mut relative: Vec<_> =
        found.iter().map(|p| p.strip_prefix(root()).expect("found below the top").to_owned()).collect();
    relative.sort();
    relative
}

/// Every Rust source of the tree, relative to the top, sorted.
#[must_use]
pub fn rust_files() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

/// The text of a file of the tree.
#[must_use]
pub fn text(relative: &Path) -> String {
    let path = root().join(relative);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{} must be readable text: {e}", path.display()))
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_symlink() || path.is_file() {
        found.push(path.to_owned());
        return;
    }
    if path.file_name().is_some_and(|name| name == "__pycache__" || name == "target") {
        return;
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|e| panic!("{} must be readable: {e}", path.display()));
    for entry in entries {
        walk(&entry.expect("an entry can be read").path(), found);
    }
}
