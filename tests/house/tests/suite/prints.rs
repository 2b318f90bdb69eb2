//! That no part of the product prints by a macro of the standard library: each panics where the reader has gone or the disk is full.

use house::product::product_sources;
use house::source::Source;
use proc_macro2::{TokenStream, TokenTree};

const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// The lines on which one of them is used.
fn prints(tokens: TokenStream, found: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            prints(group.stream(), found);
        }
        let TokenTree::Ident(name) = token else { continue };
        let is_macro = tokens.get(index + 1).is_some_and(|next| next.to_string() == "!");
        if is_macro && PRINTS.contains(&name.to_string().as_str()) {
            found.push(name.span().start().line);
        }
    }
}

fn prints_of(source: &Source) -> Vec<usize> {
    let mut found = Vec::new();
    prints(source.product_tokens(), &mut found);
    found
}

#[test]
fn the_product_prints_where_a_reader_may_have_gone() {
    for placed in product_sources() {
        let found = prints_of(&placed.source);
        assert!(
            found.is_empty(),
            "{}: lines {found:?} print by a macro, which panics where the output cannot be written: use gpuhostd::say, or \
             gpuhostctl's text::print",
            placed.file.display()
        );
    }
}

#[test]
fn a_print_is_seen() {
    let text = "//! x\nfn f() {\n println!(\"a\");\n writeln!(o, \"b\");\n if x { eprint!(\"c\") }\n}\n\
                #[cfg(test)]\nmod tests { fn g() { println!(\"d\") } }\n";
    assert_eq!(prints_of(&Source::parse("sample", text.to_owned())), [3, 5]);
}
