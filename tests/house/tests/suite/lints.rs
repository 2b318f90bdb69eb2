//! That no package slips out of the lints: manifests, clippy.toml files, `unsafe`, and attributes that silence a lint.

use house::packages;
use house::product::product_sources;
use house::source::Source;
use house::tree;
use quote::ToTokens;
use std::path::{Path, PathBuf};
use syn::visit::Visit;
use toml::Table;

/// Where a foreign function interface is built by the product: the calls of NVML for which no wrapper has a safe one. Lines that each
/// file may have, since it asks and decides nothing; lines with `unsafe`, and blocks with their reason.
const UNSAFE_IN_THE_PRODUCT: [(&str, usize, (usize, usize)); 2] = [
    // One type of a C function, and one block.
    ("agent/gpuhostd-child/src/nvml/ffi.rs", 150, (2, 1)),
    // One block for each call.
    ("agent/gpuhostd-child/src/nvml/mig_calls.rs", 340, (18, 18)),
];
/// The only place beside them: a C library of the tests.
const UNSAFE_IN_TESTS: &str = "tests/nvml-sim";

/// Lints that no product source may switch off: they are the house.
const NEVER_SILENCED: [&str; 10] = [
    "unsafe_code",
    "missing_docs",
    "unwrap_used",
    "expect_used",
    "panic",
    "indexing_slicing",
    "wildcard_enum_match_arm",
    "as_conversions",
    "await_holding_lock",
    "await_holding_invalid_type",
];

fn table(relative: &Path) -> Table {
    tree::text(relative).parse().unwrap_or_else(|e| panic!("{}: {e}", relative.display()))
}

#[test]
fn the_workspace_denies_what_the_house_denies() {
    let manifest = table(Path::new("Cargo.toml"));
    let lints = &manifest["workspace"]["lints"];
    for lint in NEVER_SILENCED {
        let level = lints["rust"].get(lint).or_else(|| lints["clippy"].get(lint)).and_then(|level| level.as_str());
        assert!(matches!(level, Some("deny" | "forbid")), "{lint} is {level:?} in [workspace.lints]");
    }
}

#[test]
fn product_packages_take_the_lints_of_the_workspace() {
    for package in packages::all().iter().filter(|p| p.is_product()) {
        let manifest = table(&package.folder.join("Cargo.toml"));
        let takes = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(takes, Some(true), "{} lacks `[lints] workspace = true`", package.name);
    }
}

#[test]
fn a_clippy_toml_of_a_package_repeats_the_shared_part() {
    let shared = table(Path::new("clippy.toml"));
    for file in tree::files().iter().filter(|f| f.ends_with("clippy.toml") && f.as_path() != Path::new("clippy.toml")) {
        let own = table(file);
        for (key, value) in &shared {
            let why = "a package's clippy.toml replaces the one at the top";
            assert_eq!(own.get(key), Some(value), "{}: {key} differs ({why})", file.display());
        }
    }
}

#[test]
fn unsafe_is_where_it_has_a_reason() {
    let elsewhere = |file: &&PathBuf| !file.starts_with(UNSAFE_IN_TESTS) && !may_be_unsafe(file);
    for file in tree::rust_files().iter().filter(elsewhere) {
        let lines = Source::parse(&file.display().to_string(), tree::text(file)).unsafe_lines();
        assert!(lines.is_empty(), "{}: unsafe on lines {lines:?}", file.display());
    }
}

fn may_be_unsafe(file: &Path) -> bool {
    UNSAFE_IN_THE_PRODUCT.iter().any(|(here, _, _)| file == Path::new(here))
}

#[test]
fn the_unsafe_files_of_the_product_stay_small_and_say_why_each_block_is_safe() {
    for (file, most, blocks_and_reasons) in UNSAFE_IN_THE_PRODUCT {
        let text = tree::text(Path::new(file));
        let lines = text.lines().count();
        assert!(lines <= most, "{file}: {lines} lines");
        let blocks = Source::parse(file, text.clone()).unsafe_lines().len();
        let found = (blocks, text.matches("// SAFETY:").count());
        assert_eq!(found, blocks_and_reasons, "{file}: a new block needs its reason and this number");
    }
}

/// Attributes that silence a lint: what they say, and whether they give a reason.
struct Silenced(Vec<String>);

impl<'ast> Visit<'ast> for Silenced {
    fn visit_attribute(&mut self, attr: &'ast syn::Attribute) {
        if attr.path().is_ident("allow") || attr.path().is_ident("expect") {
            self.0.push(attr.meta.to_token_stream().to_string());
        }
    }
}

fn silenced(source: &Source) -> Vec<String> {
    let mut found = Silenced(Vec::new());
    found.visit_file(&source.product_file());
    found.0
}

fn against(attribute: &str) -> Option<String> {
    let words: Vec<&str> = attribute.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    if let Some(lint) = NEVER_SILENCED.iter().find(|lint| words.contains(lint)) {
        return Some(format!("{lint} is never silenced: {attribute}"));
    }
    (!words.contains(&"reason")).then(|| format!("no reason given: {attribute}"))
}

#[test]
fn silencing_a_lint_needs_a_reason() {
    for placed in product_sources() {
        let is_unsafe = may_be_unsafe(&placed.file);
        let counts = |attribute: &&String| !(is_unsafe && attribute.contains("unsafe_code"));
        let found: Vec<_> = silenced(&placed.source).iter().filter(counts).filter_map(|a| against(a)).collect();
        assert!(found.is_empty(), "{}: {found:?}", placed.file.display());
    }
}

#[test]
fn a_silenced_lint_is_seen() {
    let text = "//! x\n#![allow(dead_code)]\n#[allow(clippy::unwrap_used, reason = \"r\")]\nfn f() {}\n\
                #[expect(deprecated, reason = \"r\")]\nfn g() {}\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {}\n";
    let found = silenced(&Source::parse("sample", text.to_owned()));
    let verdicts: Vec<_> = found.iter().map(|a| against(a).is_some()).collect();
    assert_eq!(verdicts, [true, true, false], "{found:?}");
}
