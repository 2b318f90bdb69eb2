//! Which file of a package uses what another file of it defines, re-exports followed to the file that defines.

use crate::paths::{self, Named};
use crate::product::Placed;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::visit::{self, Visit};

/// So many re-exports are followed for one name.
const HOPS_MAX: usize = 8;

/// The files of one package, each with the files that it uses.
pub type Uses = BTreeMap<String, BTreeSet<String>>;

type Module = Vec<String>;

struct File {
    name: String,
    module: Module,
    named: Vec<Named>,
    /// Name → path, for each import of the file.
    imports: BTreeMap<String, String>,
    /// Paths that it only hands on (`pub use`).
    handed_on: BTreeSet<String>,
}

/// What each file of the package uses of the package's other files.
#[must_use]
pub fn uses(package: &str, sources: &[Placed]) -> Uses {
    let mine = |placed: &&Placed| placed.package.as_deref() == Some(package) && !placed.file.ends_with("main.rs");
    let files: Vec<File> = sources.iter().filter(mine).map(file).collect();
    let by_module: BTreeMap<&Module, &File> = files.iter().map(|file| (&file.module, file)).collect();
    let used = |file: &File| {
        // A glob names nothing: what it brings in is seen where it is used with its module's name.
        let named = file.named.iter().filter(|it| !file.handed_on.contains(&it.path) && !it.path.ends_with("::*"));
        let targets = named.filter_map(|named| target(&words(&named.path), file, &by_module, HOPS_MAX));
        // A module is made of its parts and may use them, and they may use what it defines for all of them.
        targets.filter(|target| !target.module.starts_with(&file.module)).map(|target| target.name.clone()).collect()
    };
    files.iter().map(|file| (file.name.clone(), used(file))).collect()
}

/// The groups of files that use each other in a circle, each sorted.
#[must_use]
pub fn circles(uses: &Uses) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = uses.keys().map(|file| (file, reached(file, uses))).collect();
    let with = |file: &String| -> BTreeSet<String> {
        let back = |other: &&&String| reach.get(**other).is_some_and(|theirs| theirs.contains(file));
        reach[file].iter().filter(back).map(|other| (*other).clone()).collect()
    };
    let all: BTreeSet<_> = uses.keys().map(with).filter(|circle| circle.len() > 1).collect();
    all.into_iter().collect()
}

fn reached<'a>(file: &str, uses: &'a Uses) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&String> = uses[file].iter().collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(&uses[next]);
        }
    }
    found
}

fn file(placed: &Placed) -> File {
    let mut imports = Imports::default();
    imports.visit_file(&placed.source.product_file());
    File {
        name: placed.file.display().to_string(),
        module: module(&placed.file),
        named: paths::named(&placed.source),
        imports: imports.by_name,
        handed_on: imports.handed_on,
    }
}

/// `agent/x/src/a/b.rs` and `agent/x/src/a/b/mod.rs` are `a::b`.
fn module(file: &Path) -> Module {
    let parts = file.iter().map(|part| part.to_string_lossy().into_owned()).skip_while(|part| part != "src").skip(1);
    let mut module: Module = parts.map(|part| part.trim_end_matches(".rs").to_owned()).collect();
    module.pop_if(|last| last == "mod" || last == "lib");
    module
}

fn words(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

/// The file that defines what the path names; none where that is in another package.
fn target<'a>(path: &[String], from: &File, by_module: &BTreeMap<&Module, &'a File>, hops: usize) -> Option<&'a File> {
    let whole = absolute(path, &from.module, by_module)?;
    let cut = (0..=whole.len()).rev().find(|cut| by_module.contains_key(&whole[..*cut].to_vec()))?;
    let file = by_module[&whole[..cut].to_vec()];
    let handed = whole.get(cut).and_then(|name| file.imports.get(name)).filter(|_| hops > 0);
    // A name that the file imports is followed to where it is from; what is from elsewhere is no use of this file.
    handed.map_or(Some(file), |path| target(&words(path), file, by_module, hops - 1))
}

fn absolute(path: &[String], module: &Module, by_module: &BTreeMap<&Module, &File>) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let parent = || module.split_last().map_or(&[][..], |(_, parent)| parent);
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" if rest.first().is_some_and(|next| next == "super") => absolute(rest, &parent().to_vec(), by_module),
        "super" => Some([parent(), rest].concat()),
        child => {
            let below = [module.as_slice(), &[child.to_owned()]].concat();
            by_module.contains_key(&below).then(|| [module, path].concat())
        }
    }
}

#[derive(Default)]
struct Imports {
    by_name: BTreeMap<String, String>,
    handed_on: BTreeSet<String>,
}

impl Imports {
    fn tree(&mut self, prefix: &str, tree: &syn::UseTree, hands_on: bool) {
        let join = |name: &syn::Ident| if prefix.is_empty() { name.to_string() } else { format!("{prefix}::{name}") };
        let (name, path) = match tree {
            syn::UseTree::Path(path) => return self.tree(&join(&path.ident), &path.tree, hands_on),
            syn::UseTree::Group(group) => return group.items.iter().for_each(|it| self.tree(prefix, it, hands_on)),
            syn::UseTree::Glob(_) => return,
            syn::UseTree::Name(name) if name.ident == "self" => {
                (words(prefix).pop().unwrap_or_default(), prefix.to_owned())
            }
            syn::UseTree::Name(name) => (name.ident.to_string(), join(&name.ident)),
            syn::UseTree::Rename(rename) => (rename.rename.to_string(), join(&rename.ident)),
        };
        if hands_on {
            self.handed_on.insert(path.clone());
        }
        self.by_name.insert(name, path);
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree("", &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
        visit::visit_item_use(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn package(files: &[(&str, &str)]) -> Uses {
        let placed = |(file, text): &(&str, &str)| Placed {
            file: Path::new("agent/x/src").join(file),
            source: Source::parse(file, format!("//! x\n{text}")),
            package: Some("x".to_owned()),
        };
        uses("x", &files.iter().map(placed).collect::<Vec<_>>())
    }

    fn circle(files: &[(&str, &str)]) -> Vec<String> {
        let found = circles(&package(files));
        assert!(found.len() < 2, "{found:?}");
        let short = |file: &String| file.trim_start_matches("agent/x/src/").to_owned();
        found.iter().flatten().map(short).collect()
    }

    #[test]
    fn a_circle_is_seen_however_it_is_written() {
        for (a, b) in [
            ("use crate::b::B;", "use crate::a::A;"),
            ("fn f() { crate::b::g(); }", "use super::a; fn g() { a::f(); }"),
            ("use super::B;", "use super::a::A;"),
            ("fn f(b: super::B) {}", "fn g() { crate::a::f(); }"),
        ] {
            let lib = "mod a; mod b; pub use b::B;";
            assert_eq!(circle(&[("lib.rs", lib), ("a.rs", a), ("b.rs", b)]), ["a.rs", "b.rs"], "{a} {b}");
        }
        let three = [("lib.rs", "mod a; mod b; mod c;"), ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;")];
        assert_eq!(circle(&[&three[..], &[("c.rs", "use crate::a::A;")]].concat()), ["a.rs", "b.rs", "c.rs"]);
    }

    #[test]
    fn a_module_and_its_parts_make_none() {
        for text in ["mod b; pub use b::B; pub struct A;", "mod b; use b::B; pub struct A(B);"] {
            assert_eq!(circle(&[("lib.rs", "mod a;"), ("a/mod.rs", text), ("a/b.rs", "use super::A;")]), [""; 0]);
        }
    }

    #[test]
    fn what_only_tests_use_makes_none() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
        ];
        assert_eq!(circle(&files), [""; 0]);
    }
}
