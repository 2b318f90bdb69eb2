//! Which sources are built into the product: those below `agent/*/src` that no `#[cfg(test)] mod name;` keeps out.

use crate::packages::{self, Package};
use crate::source::Source;
use crate::tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One source of the tree.
pub struct Placed {
    /// The file, relative to the top.
    pub file: PathBuf,
    /// Its content.
    pub source: Source,
    /// The product package into which it is built; none for tests.
    pub package: Option<String>,
}

/// Every Rust source of the tree.
#[must_use]
pub fn all_sources() -> Vec<Placed> {
    let packages: Vec<_> = packages::all().into_iter().filter(Package::is_product).collect();
    let parse = |file: PathBuf| (Source::parse(&file.display().to_string(), tree::text(&file)), file);
    let parsed: Vec<_> = tree::rust_files().into_iter().map(parse).collect();
    let kept_out: BTreeSet<_> = parsed.iter().flat_map(|(source, file)| kept_out(file, source)).collect();
    let owner = |file: &Path| {
        let out = file.ancestors().any(|part| kept_out.contains(&part.with_extension("")));
        let package = packages.iter().find(|p| file.starts_with(p.folder.join("src")))?;
        (!out).then(|| package.name.clone())
    };
    parsed.into_iter().map(|(source, file)| Placed { package: owner(&file), file, source }).collect()
}

/// The sources that are built into the product.
#[must_use]
pub fn product_sources() -> Vec<Placed> {
    all_sources().into_iter().filter(|placed| placed.package.is_some()).collect()
}

/// Modules that a file keeps out of the product, as their files without extension.
fn kept_out(file: &Path, source: &Source) -> Vec<PathBuf> {
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let parent = file.parent().unwrap_or(Path::new(""));
    let folder = if ["lib", "main", "mod"].contains(&stem) { parent.to_owned() } else { parent.join(stem) };
    source.test_modules().into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_under_cfg_test_is_kept_out_with_all_below_it() {
        let text = "//! x\n#[cfg(test)]\nmod checks;\nmod real;\n#[cfg(test)]\nmod tests {}\n".to_owned();
        let source = Source::parse("sample", text);
        assert_eq!(kept_out(Path::new("agent/a/src/lib.rs"), &source), [Path::new("agent/a/src/checks")]);
        assert_eq!(kept_out(Path::new("agent/a/src/b.rs"), &source), [Path::new("agent/a/src/b/checks")]);
    }

    #[test]
    fn tests_beside_a_package_are_no_product() {
        let all = all_sources();
        let find = |file: &str| all.iter().find(|placed| placed.file == Path::new(file)).expect("the file is there");
        assert_eq!(find("agent/model/src/ids.rs").package.as_deref(), Some("model"));
        assert_eq!(find("tests/house/src/product.rs").package, None);
    }
}
