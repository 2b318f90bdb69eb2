//! Names in a folder of sysfs.

use super::attribute::Tree;
use std::path::Path;

/// Names in a folder; none where it is not there.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Names in a folder of the function; a folder that cannot be listed has none.
pub(super) fn names_in(tree: &Tree, name: &str, folder: &str) -> impl Iterator<Item = String> {
    names(&tree.path().join(name).join(folder)).into_iter()
}
