//! A public type has a name of its own: what a word means does not depend on the file where it is read.

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
