//! A public type has a name of its own in the product, and a source in its package: what a name means does not depend on its place.

use house::product::product_sources;
use std::collections::BTreeMap;

/// Proxies of D-Bus interfaces have the interface's name, which zbus makes a type of their own from (`GpuProxy`).
const PROXIES: &str = "agent/wire/src/dbus/proxy.rs";

#[test]
fn a_public_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for placed in product_sources().iter().filter(|placed| !placed.file.ends_with(PROXIES)) {
        for name in placed.source.public_types() {
            places.entry(name).or_default().push(placed.file.display().to_string());
        }
    }
    let shared: Vec<String> = places
        .iter()
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(shared.is_empty(), "public types of one name:\n{}", shared.join("\n"));
}

/// Names that the language or a custom gives a meaning: the root of a package or of a module, and its unit tests.
const GIVEN: [&str; 4] = ["lib.rs", "main.rs", "mod.rs", "tests.rs"];

#[test]
fn a_source_has_a_file_name_of_its_own_in_its_package() {
    let mut places: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for placed in product_sources() {
        let name = placed.file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let Some(package) = placed.package.filter(|_| !GIVEN.contains(&name.as_str())) else { continue };
        places.entry((package, name)).or_default().push(placed.file.display().to_string());
    }
    assert!(places.len() > 300, "the walk saw too few files");
    let shared: Vec<String> = places.values().filter(|files| files.len() > 1).map(|files| files.join(", ")).collect();
    assert!(shared.is_empty(), "files of one name in one package:\n{}", shared.join("\n"));
}
