//! No files of a package use each other in a circle: each file can be read after those that it uses.

use house::modules;
use house::product::product_sources;
use std::collections::BTreeSet;

#[test]
fn no_files_use_each_other_in_a_circle() {
    let sources = product_sources();
    let packages: BTreeSet<_> = sources.iter().filter_map(|placed| placed.package.clone()).collect();
    let found: Vec<_> =
        packages.iter().flat_map(|package| modules::circles(&modules::uses(package, &sources))).collect();
    let lines: Vec<String> =
        found.iter().map(|circle| circle.iter().cloned().collect::<Vec<_>>().join(" <-> ")).collect();
    assert!(lines.is_empty(), "{} circles:\n{}", lines.len(), lines.join("\n"));
}
