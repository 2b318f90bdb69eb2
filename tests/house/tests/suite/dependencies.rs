//! What may be built into the product, by `deny.toml`: licences, crates that are refused, and where crates come from.
//!
//! The file is that of cargo-deny, which reads it too; building that program takes longer than all that it is asked here.

use house::licence::satisfied;
use house::{packages, tree};
use std::path::Path;
use toml::{Table, Value};

fn rules() -> Table {
    tree::text(Path::new("deny.toml")).parse().expect("deny.toml is TOML")
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|entry| entry.as_str().expect("a text")).collect()
}

/// What Cargo.lock holds, for every platform: name, version and source (none: ours).
fn locked() -> Vec<(String, String, Option<String>)> {
    let lock: Table = tree::text(Path::new("Cargo.lock")).parse().expect("Cargo.lock is TOML");
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let packages = lock["package"].as_array().expect("a list of packages");
    let entry = |package| Some((text(package, "name")?, text(package, "version")?, text(package, "source")));
    packages.iter().map(|package| entry(package).expect("a package has a name and a version")).collect()
}

#[test]
fn every_licence_is_allowed() {
    let rules = rules();
    let allowed = texts(&rules["licenses"]["allow"]);
    let exceptions = rules["licenses"]["exceptions"].as_array().expect("a list of exceptions");
    let mut against = Vec::new();
    for (name, licence) in packages::licences() {
        let own = exceptions.iter().find(|entry| entry["crate"].as_str() == Some(name.as_str()));
        let more = own.map(|entry| texts(&entry["allow"])).unwrap_or_default();
        if !satisfied(&licence, &|id| allowed.contains(&id) || more.contains(&id)) {
            against.push(format!("{name}: {licence:?}"));
        }
    }
    assert!(against.is_empty(), "licences that deny.toml does not allow:\n{}", against.join("\n"));
    let locked = locked();
    let gone = |entry: &&Value| locked.iter().all(|(name, ..)| entry["crate"].as_str() != Some(name));
    let idle: Vec<_> = exceptions.iter().filter(gone).collect();
    assert!(idle.is_empty(), "exceptions of deny.toml for crates that are not used: {idle:?}");
}

#[test]
fn no_crate_is_one_that_is_refused() {
    let rules = rules();
    let refused = rules["bans"]["deny"].as_array().expect("a list of crates");
    let reason = |name: &str| refused.iter().find(|entry| entry["crate"].as_str() == Some(name)).map(|e| &e["reason"]);
    let found: Vec<_> =
        locked().into_iter().filter_map(|(name, version, _)| Some((reason(&name)?.clone(), name, version))).collect();
    assert!(refused.len() > 5 && found.is_empty(), "refused by deny.toml: {found:?}");
}

#[test]
fn every_crate_comes_from_the_registry_in_a_version_that_is_said() {
    let rules = rules();
    let registries: Vec<String> =
        texts(&rules["sources"]["allow-registry"]).into_iter().map(|address| format!("registry+{address}")).collect();
    let elsewhere: Vec<_> = locked()
        .into_iter()
        .filter(|(_, _, source)| source.as_ref().is_some_and(|s| !registries.contains(s)))
        .collect();
    assert!(elsewhere.is_empty(), "from nowhere that deny.toml allows: {elsewhere:?}");
    let manifest: Table = tree::text(Path::new("Cargo.toml")).parse().expect("Cargo.toml is TOML");
    let wanted = manifest["workspace"]["dependencies"].as_table().expect("a table");
    let version = |value: &Value| value.as_str().or_else(|| value.get("version")?.as_str()).map(str::to_owned);
    let any: Vec<_> = wanted.iter().filter(|(_, value)| version(value).is_some_and(|v| v.contains('*'))).collect();
    assert!(any.is_empty(), "any version would do: {any:?}");
}
