//! One Rust source taken apart: what of it is product and what is test, how long its functions are, what it allows itself.

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A parsed source with its text.
pub struct Source {
    /// The whole text.
    pub text: String,
    file: syn::File,
}

/// One function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace, both counted.
    pub lines: usize,
}

/// Lines of code (neither blank nor comment alone), by what they serve.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CodeLines {
    /// What is built into the product.
    pub product: usize,
    /// `#[cfg(test)]`.
    pub test: usize,
}

fn collect_paths(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut after_use = false;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Ident(word) => {
                let goes_on = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':' && next.spacing() == Spacing::Joint);
                if goes_on || after_use {
                    found.insert(word.to_string());
                }
            }
            TokenTree::Group(group) => collect_paths(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        after_use = matches!(&token, TokenTree::Ident(word) if word == "use");
    }
}

impl Source {
    /// Parses a source.
    ///
    /// # Panics
    /// Where it is not Rust.
    #[must_use]
    pub fn parse(name: &str, text: String) -> Self {
        let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{name} is not Rust: {e}"));
        Self { text, file }
    }

    /// Every function with a body, tests included.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Functions(Vec::new());
        found.visit_file(&self.file);
        found.0
    }

    /// Lines of code; every line that an item under `#[cfg(test)]` covers is a test line.
    #[must_use]
    pub fn code_lines(&self) -> CodeLines {
        let mut covered = TestLines(BTreeSet::new());
        covered.visit_file(&self.file);
        let mut count = CodeLines::default();
        for (index, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            if covered.0.contains(&(index + 1)) { count.test += 1 } else { count.product += 1 }
        }
        count
    }

    /// Every identifier that begins or continues a path (`a::b`) or stands behind `use`; comments and texts have none.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        collect_paths(self.file.to_token_stream(), &mut found);
        found
    }

    /// The same without `#[cfg(test)]` items.
    #[must_use]
    pub fn product_paths(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        collect_paths(self.product_tokens(), &mut found);
        found
    }

    /// The tokens that are built into the product: the file without its `#[cfg(test)]` items.
    #[must_use]
    pub fn product_tokens(&self) -> TokenStream {
        let mut tokens = TokenStream::new();
        for item in self.file.items.iter().filter(|item| !is_test(attributes(item))) {
            item.to_tokens(&mut tokens);
        }
        tokens
    }

    /// The inner attributes of the file and the items that are built into the product.
    #[must_use]
    pub fn product_file(&self) -> syn::File {
        let items = self.file.items.iter().filter(|item| !is_test(attributes(item))).cloned().collect();
        syn::File { shebang: None, attrs: self.file.attrs.clone(), items }
    }

    /// Names of the modules in files of their own that are only built for tests.
    #[must_use]
    pub fn test_modules(&self) -> Vec<String> {
        let module = |item: &syn::Item| match item {
            syn::Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => {
                Some(module.ident.to_string())
            }
            _ => None,
        };
        self.file.items.iter().filter_map(module).collect()
    }

    /// Names of the public types and traits that stand at the top of the file.
    #[must_use]
    pub fn public_types(&self) -> Vec<String> {
        let named = |item: &syn::Item| {
            let (vis, ident) = match item {
                syn::Item::Struct(item) => (&item.vis, &item.ident),
                syn::Item::Enum(item) => (&item.vis, &item.ident),
                syn::Item::Trait(item) => (&item.vis, &item.ident),
                syn::Item::Type(item) => (&item.vis, &item.ident),
                _ => return None,
            };
            matches!(vis, syn::Visibility::Public(_)).then(|| ident.to_string())
        };
        self.file.items.iter().filter_map(named).collect()
    }

    /// Lines on which the keyword `unsafe` stands, tests included.
    #[must_use]
    pub fn unsafe_lines(&self) -> Vec<usize> {
        let mut lines = Vec::new();
        keyword_lines(self.file.to_token_stream(), "unsafe", &mut lines);
        lines
    }
}

fn keyword_lines(tokens: TokenStream, keyword: &str, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => keyword_lines(group.stream(), keyword, lines),
            TokenTree::Ident(ident) if ident == keyword => lines.push(ident.span().start().line),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// True where an attribute keeps the item out of the product: `#[cfg(test)]` or `#[test]`.
#[must_use]
pub fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let cfg_test =
            attr.path().is_ident("cfg") && attr.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test");
        cfg_test || attr.path().is_ident("test")
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        _ => &[],
    }
}

struct Functions(Vec<Function>);

impl Functions {
    fn take(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let from = signature.span().start().line;
        let to = body.brace_token.span.close().end().line;
        self.0.push(Function { name: signature.ident.to_string(), line: from, lines: to + 1 - from });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.take(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.take(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.take(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

struct TestLines(BTreeSet<usize>);

impl<'ast> Visit<'ast> for TestLines {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(attributes(item)) {
            self.cover(item.span());
        } else {
            visit::visit_item(self, item);
        }
    }
}

impl TestLines {
    fn cover(&mut self, span: Span) {
        self.0.extend(span.start().line..=span.end().line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "//! Sample.\nuse std::fs;\n\nfn one() {\n    // a comment\n    let _ = 1;\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn two() {}\n}\n";

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let source = Source::parse("sample", SAMPLE.to_owned());
        let one = Function { name: "one".into(), line: 4, lines: 4 };
        let two = Function { name: "two".into(), line: 12, lines: 1 };
        assert_eq!(source.functions(), [one, two]);
    }

    #[test]
    fn test_lines_are_those_under_cfg_test() {
        let source = Source::parse("sample", SAMPLE.to_owned());
        assert_eq!(source.code_lines(), CodeLines { product: 4, test: 5 });
        assert!(!source.product_tokens().to_string().contains("two"));
    }

    #[test]
    fn unsafe_is_found_as_a_keyword_only() {
        let text = "//! x\n// unsafe\nfn a() { let s = \"unsafe\"; }\nfn b() { vec![unsafe { 1 }]; }\n";
        assert_eq!(Source::parse("sample", text.to_owned()).unsafe_lines(), [4]);
    }
}
