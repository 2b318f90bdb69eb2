//! Plain English in what users read (string literals) and in documentation comments: docs/STYLE.md, held by a list of words.

use house::product::product_sources;
use house::source::Source;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Word or phrase, and what to write instead. Compared word by word, without regard to case.
const BANNED: [(&str, &str); 18] = [
    ("told", "reported, notified, given"),
    ("tells", "reports, shows, notifies"),
    ("said", "reported, answered, printed"),
    ("says", "reports, shows, answers"),
    ("whoever", "the caller, the user, any program that"),
    ("anew", "again"),
    ("stands", "is, is in, holds"),
    ("as yet", "yet"),
    ("goes by", "uses"),
    ("come back", "return, respond, recur"),
    ("comes back", "returns, responds, recurs"),
    ("broke off", "was aborted, was interrupted"),
    ("powerless", "missing privileges"),
    ("of itself", "automatically, by itself, about itself"),
    ("no sense", "invalid, cannot be parsed"),
    ("so already", "already"),
    ("passed over", "ignored, skipped"),
    ("lately", "recently"),
];

/// Those that only users must not meet: a comment may have them.
const BANNED_IN_TEXTS: [(&str, &str); 7] = [
    ("tell", "report, show, notify"),
    ("nobody", "no caller, no process, no owner"),
    ("somebody", "a user, an administrator, another process"),
    ("mend", "fix, correct"),
    ("it is no", "it is not a"),
    ("this is no", "this is not a"),
    ("given away", "given to a virtual machine"),
];

/// What a banned word may be a part of: "stands for" is what everybody writes.
const FINE: [&str; 1] = ["stands for"];

/// Texts that keep a word: file, word, and why.
const ALLOWED: [(&str, &str, &str); 4] = [
    ("agent/protocol/src/hand/mod.rs", "said", "the name of a field between front and hand, since the first version"),
    ("agent/model/src/mig/catalog.rs", "told", "the name of a type, in an attribute"),
    ("agent/gpuhostd-launcher/src/launcher.rs", "nobody", "the user of that name, to which the front falls back"),
    ("agent/gpuhostd/src/args.rs", "nobody", "the user of that name, to which the front falls back"),
];

/// One text of a source: where, whether it is a documentation comment, and its content.
struct Text {
    line: usize,
    is_comment: bool,
    content: String,
}

/// Every string literal and documentation comment in the tokens; the values of `#[doc]` are comments.
fn texts(tokens: TokenStream, found: &mut Vec<Text>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_doc = matches!(tokens.as_slice(), [TokenTree::Ident(name), TokenTree::Punct(_), TokenTree::Literal(_)] if name == "doc");
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let inner = if group.delimiter() == Delimiter::None { TokenStream::new() } else { group.stream() };
                texts(inner, found);
            }
            TokenTree::Literal(literal) => {
                if let Ok(syn::Lit::Str(text)) = syn::parse_str(&literal.to_string()) {
                    let line = literal.span().start().line;
                    found.push(Text { line, is_comment: is_doc, content: text.value() });
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// The text without its placeholders (`{said}`), and, of a comment, without what is code (`` `told` ``).
fn prose(text: &Text) -> String {
    let (open, close) = if text.is_comment { ('`', '`') } else { ('{', '}') };
    let mut inside = false;
    let mut kept = String::new();
    for c in text.content.chars() {
        match c {
            _ if inside && c == close => inside = false,
            _ if !inside && c == open => inside = true,
            _ if inside => {}
            _ => kept.push(c),
        }
    }
    kept
}

/// The banned words of a text, each with what to write instead.
fn banned_in(text: &str, is_comment: bool) -> Vec<(&'static str, &'static str)> {
    let split = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let words = format!(" {} ", FINE.iter().fold(split(text).join(" "), |text, fine| text.replace(fine, "")));
    let more: &[(&str, &str)] = if is_comment { &[] } else { &BANNED_IN_TEXTS };
    BANNED.iter().chain(more).filter(|(phrase, _)| words.contains(&format!(" {phrase} "))).copied().collect()
}

/// All texts of the product, parsed once.
static ALL: LazyLock<Vec<(PathBuf, Text)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for placed in product_sources() {
        let mut found = Vec::new();
        texts(quote::ToTokens::to_token_stream(&placed.source.product_file()), &mut found);
        all.extend(found.into_iter().map(|text| (placed.file.clone(), text)));
    }
    all
});

fn is_allowed(file: &Path, word: &str) -> bool {
    ALLOWED.iter().any(|(place, allowed, _)| Path::new(place) == file && *allowed == word)
}

/// The faults in literals or in comments, one line each.
fn faults(comments: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in ALL.iter().filter(|(_, text)| text.is_comment == comments) {
        let banned = banned_in(&prose(text), comments).into_iter().filter(|(word, _)| !is_allowed(file, word));
        for (word, better) in banned {
            faults.push(format!("{}:{}: {word:?}: write {better}", file.display(), text.line));
        }
    }
    faults
}

#[test]
fn texts_that_users_read_are_in_plain_english() {
    assert!(ALL.iter().filter(|(_, text)| !text.is_comment).count() > 3000, "the walk saw too few texts");
    let faults = faults(false);
    assert!(faults.is_empty(), "docs/STYLE.md has the words of the house:\n{}", faults.join("\n"));
}

#[test]
fn documentation_comments_are_in_plain_english() {
    assert!(ALL.iter().filter(|(_, text)| text.is_comment).count() > 3000, "the walk saw too few comments");
    let faults = faults(true);
    assert!(faults.is_empty(), "docs/STYLE.md has the words of the house:\n{}", faults.join("\n"));
}

/// A line that goes on without a backslash leaves its indentation in the text. What is set in columns has several lines or is indented.
fn has_gap(text: &str) -> bool {
    let is_set = text.contains('\n') || text.starts_with(' ');
    !is_set && text.trim().contains("    ")
}

#[test]
fn no_text_that_users_read_has_the_indentation_of_its_source_in_it() {
    let texts = ALL.iter().filter(|(_, text)| !text.is_comment && has_gap(&text.content));
    let faults: Vec<String> = texts.map(|(file, text)| format!("{}:{}", file.display(), text.line)).collect();
    assert!(faults.is_empty(), "a continued line lacks its backslash, or a gap has its reason:\n{}", faults.join("\n"));
}

#[test]
fn a_gap_is_seen_in_a_sentence_and_not_in_columns() {
    assert!(has_gap("it is off:                 see why") && has_gap("{a},    {b}"));
    for fine in
        ["two  spaces", "    indented", "  key             {}", "Usage:\n  a        b\n", "    ", "behind it    "]
    {
        assert!(!has_gap(fine), "{fine:?}");
    }
}

#[test]
fn an_allowed_word_is_still_used() {
    for (place, word, why) in ALLOWED {
        let has = |text: &Text| banned_in(&prose(text), text.is_comment).iter().any(|(found, _)| *found == word);
        let used = ALL.iter().any(|(file, text)| file == Path::new(place) && has(text));
        assert!(used, "{place} has no {word:?} any more ({why}): take it from ALLOWED");
    }
}

#[test]
fn a_banned_word_is_seen_in_texts_and_comments_and_nowhere_else() {
    let text = "//! It was told.\n/// Whoever asks, `said` is code.\nfn f(said: &str) {\n // nobody reads this\n \
                println!(\"{said}: it broke off; anew\", said = said);\n}\n#[cfg(test)]\nmod tests {\n const A: &str = \"anew\";\n}\n";
    let mut found = Vec::new();
    texts(quote::ToTokens::to_token_stream(&Source::parse("sample", text.to_owned()).product_file()), &mut found);
    let words = |text: &Text| -> Vec<&str> {
        banned_in(&prose(text), text.is_comment).into_iter().map(|(word, _)| word).collect()
    };
    let seen: Vec<_> = found.iter().map(|text| (text.line, text.is_comment, words(text))).collect();
    assert_eq!(seen, [(1, true, vec!["told"]), (2, true, vec!["whoever"]), (5, false, vec!["anew", "broke off"])]);
}
