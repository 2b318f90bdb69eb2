//! Which paths (`std::fs::write`) the product part of a source names, imports and the insides of macros resolved alike.

use crate::source::Source;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};

/// One path that a source names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// With its import resolved: `std::fs::write`; a glob import ends in `*`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
}

/// Every path that the product part of a source names, in order of its lines.
#[must_use]
pub fn named(source: &Source) -> Vec<Named> {
    let mut imports = Imports::default();
    imports.visit_file(&source.product_file());
    let mut found = imports.named.clone();
    written(source.product_tokens(), &imports, &mut found);
    found.sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.path.cmp(&b.path)));
    found.dedup();
    found
}

/// True where `path` is `prefix` or lies below it; a glob import of a module that holds `prefix` counts too.
#[must_use]
pub fn reaches(path: &str, prefix: &str) -> bool {
    if let Some(module) = path.strip_suffix("::*") {
        return prefix.starts_with(&format!("{module}::")) || module == prefix || below(module, prefix);
    }
    path == prefix || below(path, prefix)
}

fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("::"))
}

#[derive(Default)]
struct Imports {
    by_name: BTreeMap<String, Vec<String>>,
    named: Vec<Named>,
}

impl Imports {
    fn tree(&mut self, prefix: &str, tree: &syn::UseTree) {
        let join = |name: &dyn std::fmt::Display| {
            if prefix.is_empty() { name.to_string() } else { format!("{prefix}::{name}") }
        };
        match tree {
            syn::UseTree::Path(path) => self.tree(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => {
                let last = prefix.rsplit("::").next().unwrap_or(prefix).to_owned();
                self.bind(last, prefix.to_owned(), name.ident.span().start().line);
            }
            syn::UseTree::Name(name) => {
                self.bind(name.ident.to_string(), join(&name.ident), name.ident.span().start().line);
            }
            syn::UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { prefix.to_owned() } else { join(&rename.ident) };
                self.bind(rename.rename.to_string(), path, rename.ident.span().start().line);
            }
            syn::UseTree::Glob(glob) => {
                self.named.push(Named { path: join(&"*"), line: glob.star_token.spans[0].start().line });
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(prefix, item)),
        }
    }

    fn bind(&mut self, name: String, path: String, line: usize) {
        self.named.push(Named { path: path.clone(), line });
        self.by_name.entry(name).or_default().push(path);
    }

    /// What a written path may stand for: one for each import of its first word, else itself.
    fn resolve(&self, words: &[String]) -> Vec<String> {
        let whole = words.join("::");
        let Some((first, rest)) = words.split_first() else { return Vec::new() };
        let Some(targets) = self.by_name.get(first) else { return vec![whole] };
        let tail = rest.join("::");
        targets.iter().map(|t| if tail.is_empty() { t.clone() } else { format!("{t}::{tail}") }).collect()
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree("", &item.tree);
        visit::visit_item_use(self, item);
    }
}

fn written(tokens: TokenStream, imports: &Imports, found: &mut Vec<Named>) {
    let mut path = Written::default();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => path.word(ident.to_string(), ident.span().start().line, imports, found),
            TokenTree::Punct(punct) => path.mark(punct.as_char(), imports, found),
            TokenTree::Group(group) => {
                path.end(imports, found);
                written(group.stream(), imports, found);
            }
            TokenTree::Literal(_) => path.end(imports, found),
        }
    }
    path.end(imports, found);
}

/// A path as it is read token by token: words, and colons since the last word.
#[derive(Default)]
struct Written {
    words: Vec<String>,
    line: usize,
    colons: usize,
    after_dot: bool,
}

impl Written {
    fn word(&mut self, word: String, line: usize, imports: &Imports, found: &mut Vec<Named>) {
        if self.colons != 2 {
            self.end(imports, found);
        }
        if self.words.is_empty() {
            self.line = line;
        }
        self.words.push(word);
        self.colons = 0;
    }

    fn mark(&mut self, mark: char, imports: &Imports, found: &mut Vec<Named>) {
        if mark == ':' && !self.words.is_empty() && self.colons < 2 {
            self.colons += 1;
            return;
        }
        self.end(imports, found);
        self.after_dot = mark == '.';
    }

    /// Ends the path; a field or method after a dot is no path of its own.
    fn end(&mut self, imports: &Imports, found: &mut Vec<Named>) {
        let words = std::mem::take(&mut self.words);
        if !words.is_empty() && !self.after_dot {
            let line = self.line;
            found.extend(imports.resolve(&words).into_iter().map(|path| Named { path, line }));
        }
        if !words.is_empty() {
            self.after_dot = false;
        }
        self.colons = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        named(&Source::parse("sample", format!("//! x\n{text}"))).into_iter().map(|n| n.path).collect()
    }

    fn names(text: &str, prefix: &str) -> bool {
        paths(text).iter().any(|path| reaches(path, prefix))
    }

    #[test]
    fn every_way_to_write_a_path_is_seen() {
        for text in [
            "fn f() { std::fs::write(a, b); }",
            "use std::fs; fn f() { fs::write(a, b); }",
            "use std::fs::{self, File}; fn f() { fs::write(a, b); }",
            "use std::fs as disk; fn f() { disk::write(a, b); }",
            "use std::fs::write; fn f() { write(a, b); }",
            "fn f() { use std::fs::write as w; w(a, b); }",
            "use std::fs::*; fn f() { write(a, b); }",
            "fn f() { select! { _ = x => std::fs::write(a, b) } }",
            "fn f() { x.map(std::fs::write) }",
        ] {
            assert!(names(text, "std::fs::write"), "{text}: {:?}", paths(text));
        }
    }

    #[test]
    fn what_only_looks_alike_is_not() {
        for text in [
            "fn f() { std::fs::write_all(a); }",
            "use std::fmt::Write; fn f() { x.write(a); }",
            "fn f() { let s = \"std::fs::write\"; }",
            "// std::fs::write\nfn f() {}",
            "use std::fs; fn f() { fs::read(a); }",
            "#[cfg(test)] mod tests { fn f() { std::fs::write(a, b); } }",
        ] {
            assert!(!names(text, "std::fs::write"), "{text}: {:?}", paths(text));
        }
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let source = Source::parse("sample", "//! x\n\nfn f() {\n    std::process::exit(1);\n}\n".to_owned());
        assert!(named(&source).contains(&Named { path: "std::process::exit".into(), line: 4 }));
    }
}
