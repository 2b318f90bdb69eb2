//! That no package names a dependency that none of its sources uses: each is code to trust, to build and to keep up to date.

use house::packages;
use house::source::Source;
use house::tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Dependencies that no source names, and why they are there.
const NOT_CALLED: [(&str, &str, &str); 1] =
    [("tests/host-sim", "nvml-sim", "so that the library is built whenever the tree that needs it can be")];

/// Packages whose library has another name.
const LIBRARIES: [(&str, &str); 1] = [("rustls-webpki", "webpki")];

fn dependencies<'t>(table: &'t Table, kind: &str) -> impl Iterator<Item = &'t str> {
    table.get(kind).and_then(Value::as_table).into_iter().flat_map(|all| all.keys()).map(String::as_str)
}

/// The names under a kind of dependency, those of a single target included.
fn named(manifest: &Table, kind: &str) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    tables.flat_map(|table| dependencies(table, kind)).map(str::to_owned).collect()
}

fn read(file: &Path) -> Source {
    Source::parse(&file.display().to_string(), tree::text(file))
}

/// Of these dependencies those that begin no path in the sources.
fn not_among(named: &BTreeSet<String>, paths: &BTreeSet<String>) -> Vec<String> {
    let library = |name: &str| {
        let other = LIBRARIES.iter().find(|(package, _)| *package == name).map(|(_, library)| *library);
        other.unwrap_or(name).replace('-', "_")
    };
    named.iter().filter(|name| !paths.contains(&library(name))).cloned().collect()
}

/// Sources of other packages that this one takes in by `#[path = "…"]`: the file, and what lies beside a `mod.rs`.
fn borrowed(file: &Path) -> Vec<PathBuf> {
    let beside = file.parent().expect("a source lies in a folder");
    let text = tree::text(file);
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    let named: Vec<PathBuf> = named.map(|path| plain(&beside.join(path))).collect();
    let is_in = |file: &PathBuf, path: &PathBuf| {
        file == path || path.ends_with("mod.rs") && path.parent().is_some_and(|folder| file.starts_with(folder))
    };
    tree::rust_files().into_iter().filter(|file| named.iter().any(|path| is_in(file, path))).collect()
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// What a package names and does not use: `[dependencies]` in what is built for others, `[dev-dependencies]` anywhere.
fn unused(folder: &Path) -> Vec<String> {
    let manifest: Table = tree::text(&folder.join("Cargo.toml")).parse().expect("a manifest is TOML");
    let sources: Vec<PathBuf> = tree::rust_files().into_iter().filter(|file| file.starts_with(folder)).collect();
    // A test that uses a dependency of the product is no use of it there. Packages below tests/ are tests as a whole.
    let is_product = |file: &&PathBuf| folder.starts_with("agent") && !file.starts_with(folder.join("tests"));
    let product: BTreeSet<String> =
        sources.iter().filter(is_product).flat_map(|file| read(file).product_paths()).collect();
    let borrowed: Vec<PathBuf> = sources.iter().flat_map(|file| borrowed(file)).collect();
    let all: BTreeSet<String> = sources.iter().chain(&borrowed).flat_map(|file| read(file).paths()).collect();
    let counts = if folder.starts_with("agent") { &product } else { &all };
    let mut found = not_among(&named(&manifest, "dependencies"), counts);
    found.extend(not_among(&named(&manifest, "dev-dependencies"), &all));
    found.retain(|name| !NOT_CALLED.iter().any(|(of, known, _)| folder == Path::new(of) && name == known));
    found
}

#[test]
fn every_dependency_is_used() {
    let mut found = Vec::new();
    for package in packages::all() {
        found.extend(unused(&package.folder).into_iter().map(|name| format!("{}: {name}", package.folder.display())));
    }
    assert!(
        found.is_empty(),
        "no source uses these dependencies (of [dependencies] the code without tests counts): {found:?}"
    );
}

#[test]
fn a_dependency_without_a_use_is_found_and_a_comment_is_no_use() {
    let names: BTreeSet<String> = ["a-b", "secrecy"].map(str::to_owned).into();
    let text = "//! secrecy\n/// secrecy\nfn f(secrecy: u8) { a_b::g(\"secrecy\", secrecy) }\n#[cfg(test)]\nmod tests { use secrecy::S; }";
    let source = Source::parse("x", text.to_owned());
    assert_eq!(not_among(&names, &source.product_paths()), ["secrecy"]);
    assert_eq!(not_among(&names, &source.paths()), Vec::<String>::new());
    let manifest: Table = "[dependencies]\na = '1'\n[target.'cfg(x)'.dependencies]\nb = '1'\n".parse().expect("TOML");
    assert_eq!(named(&manifest, "dependencies"), ["a", "b"].map(str::to_owned).into());
}

#[test]
fn what_is_excused_is_still_there() {
    for (folder, name, why) in NOT_CALLED {
        let manifest: Table = tree::text(&Path::new(folder).join("Cargo.toml")).parse().expect("a manifest is TOML");
        assert!(named(&manifest, "dependencies").contains(name), "{folder} has no {name} any more ({why})");
    }
}
