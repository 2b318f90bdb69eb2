//! Every message from warning up has an id, and every id has its place, its use, and its text in the catalog.

use house::product::product_sources;
use house::source::Source;
use house::tree;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Where the ids are, and nowhere else.
const LIST: &str = "agent/model/src/message.rs";
const CATALOG: &str = "systemd/gpuhostd.catalog";

/// Variant and id, as the list has them.
fn list() -> BTreeMap<String, String> {
    let text = tree::text(Path::new(LIST));
    let row = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
        Some((name.to_owned(), rest.strip_suffix("\",")?.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// The macro calls that log from warning up: line, and whether they have an id.
fn warnings(tokens: TokenStream, found: &mut Vec<(usize, bool)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        warnings(group.stream(), found);
        let before = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at)).map(ToString::to_string);
        let is_log = before(1).as_deref() == Some("!") && matches!(before(2).as_deref(), Some("warn" | "error"));
        if is_log {
            let text = group.stream().to_string();
            found.push((group.span_open().start().line, text.starts_with("message_id = ")));
        }
    }
}

fn warnings_of(source: &Source) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    warnings(source.product_tokens(), &mut found);
    found
}

#[test]
fn every_message_from_warning_up_has_an_id() {
    let mut all = 0;
    for placed in product_sources() {
        let found = warnings_of(&placed.source);
        all += found.len();
        let without: Vec<usize> = found.iter().filter(|(_, has_id)| !has_id).map(|(line, _)| *line).collect();
        assert!(
            without.is_empty(),
            "{}: lines {without:?} log without `message_id = Message::….id()` in the first place; a new message needs a variant in \
             {LIST} and a text in {CATALOG}",
            placed.file.display()
        );
    }
    assert!(all > 30, "the walk saw only {all} messages");
}

#[test]
fn a_message_without_an_id_is_seen() {
    let text = "//! x\nfn f() {\n tracing::warn!(\"a\");\n tracing::error!(message_id = M::A.id(), \"b\");\n \
                tokio::select! { x = y => tracing::error!(e, \"c\"), }\n tracing::info!(\"d\");\n}\n";
    assert_eq!(warnings_of(&Source::parse("sample", text.to_owned())), [(3, false), (4, true), (5, false)]);
}

/// Fields that say why, or of what: they are for a search, and a reader of `journalctl` sees the text alone.
const SAID_IN_THE_TEXT: [&str; 16] = [
    "error",
    "fault",
    "why",
    "reason",
    "said",
    "name",
    "path",
    "file",
    "manager",
    "gpu",
    "gpu_bdf",
    "bus",
    "sender",
    "member",
    "program",
    "server_id",
];

/// The fields of a log call that its text does not say: line and name.
fn unsaid(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        unsaid(group.stream(), found);
        let before = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at)).map(ToString::to_string);
        let is_log =
            before(1).as_deref() == Some("!") && matches!(before(2).as_deref(), Some("info" | "warn" | "error"));
        if is_log {
            let line = group.span_open().start().line;
            found.extend(unsaid_in(group.stream()).into_iter().map(|field| (line, field)));
        }
    }
}

/// The arguments up to the text are fields, `name = value` or `%name`; a field is said where the text, or an argument behind it,
/// names one of the words of its value.
fn unsaid_in(call: TokenStream) -> Vec<String> {
    let mut arguments: Vec<Vec<TokenTree>> = vec![Vec::new()];
    for token in call {
        if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ',') {
            arguments.push(Vec::new());
        } else if let Some(last) = arguments.last_mut() {
            last.push(token);
        }
    }
    let is_text = |argument: &[TokenTree]| matches!(argument, [TokenTree::Literal(_)]);
    let at = arguments.iter().position(|argument| is_text(argument)).unwrap_or(arguments.len());
    let (fields, text) = arguments.split_at(at);
    let text: String = text.iter().flatten().map(|token| format!(" {token}")).collect();
    let says = |word: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|said| said == word);
    let unsaid = |field: &Vec<TokenTree>| {
        let text: Vec<String> = field.iter().flat_map(|token| words(token.clone())).collect();
        let name = text.first()?.clone();
        let value = if text.len() > 1 { text.get(1..)?.to_vec() } else { vec![name.clone()] };
        (SAID_IN_THE_TEXT.contains(&name.as_str()) && !value.iter().any(|word| says(word))).then_some(name)
    };
    fields.iter().filter_map(unsaid).collect()
}

/// The names in a token, those in brackets too.
fn words(token: TokenTree) -> Vec<String> {
    match token {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => group.stream().into_iter().flat_map(words).collect(),
        TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
    }
}

#[test]
fn what_a_message_has_as_a_field_its_text_says_too() {
    let mut all = Vec::new();
    for placed in product_sources() {
        let mut found = Vec::new();
        unsaid(placed.source.product_tokens(), &mut found);
        all.extend(found.into_iter().map(|(line, field)| format!("{}:{line}: {field}", placed.file.display())));
    }
    assert!(
        all.is_empty(),
        "fields that plain `journalctl` does not show, and the text does not say:\n{}",
        all.join("\n")
    );
}

#[test]
fn a_field_that_the_text_does_not_say_is_seen() {
    let text = "//! x\nfn f() {\n tracing::warn!(message_id = M::A.id(), error = %fault, \"a: {fault}\");\n \
                tracing::error!(message_id = M::A.id(), %error, \"b\");\n \
                tracing::info!(path = %self.path.display(), gpu_bdf, \"c {}\", gpu_bdf);\n tracing::debug!(%error, \"d\");\n}\n";
    let mut found = Vec::new();
    unsaid(Source::parse("sample", text.to_owned()).product_tokens(), &mut found);
    assert_eq!(found, [(4, "error".to_owned()), (5, "path".to_owned())]);
}

#[test]
fn ids_are_different_stand_in_one_place_and_are_used() {
    let list = list();
    let ids: BTreeSet<&String> = list.values().collect();
    assert!(list.len() > 30 && ids.len() == list.len(), "{} variants, {} ids", list.len(), ids.len());
    for id in &ids {
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    }
    let others: Vec<_> = product_sources().into_iter().filter(|placed| placed.file != Path::new(LIST)).collect();
    for placed in &others {
        let stray = ids.iter().find(|id| placed.source.text.contains(id.as_str()));
        assert_eq!(stray, None, "{} has an id of its own: use Message", placed.file.display());
    }
    for name in list.keys() {
        let used = others.iter().any(|placed| placed.source.text.contains(&format!("Message::{name}.id()")));
        assert!(used, "nobody logs Message::{name}: take it out");
    }
}

/// The entries of a catalog, strictly: id, header fields, text. A line of an entry that fits nowhere is a fault.
fn entries(text: &str) -> Result<BTreeMap<String, (Vec<String>, String)>, String> {
    let mut entries = BTreeMap::new();
    for part in text.split("\n-- ").skip(1) {
        let (id, rest) = part.split_once('\n').ok_or("an id without an entry")?;
        let (head, body) = rest.split_once("\n\n").ok_or_else(|| format!("{id} has no text"))?;
        let head: Vec<String> = head.lines().map(str::to_owned).collect();
        if let Some(line) = head.iter().find(|line| !line.contains(": ")) {
            return Err(format!("{id}: {line:?} is no header field"));
        }
        if entries.insert(id.to_owned(), (head, body.trim().to_owned())).is_some() {
            return Err(format!("{id} has two entries"));
        }
    }
    Ok(entries)
}

#[test]
fn the_catalog_has_cause_and_cure_for_every_id_and_for_no_other() {
    let entries = entries(&tree::text(Path::new(CATALOG))).unwrap_or_else(|why| panic!("{CATALOG}: {why}"));
    let listed: BTreeSet<String> = list().into_values().collect();
    let told: BTreeSet<String> = entries.keys().cloned().collect();
    assert_eq!(told, listed, "{CATALOG} and {LIST} differ");
    for (id, (head, body)) in &entries {
        assert!(head.iter().any(|line| line.starts_with("Subject: ") && line.len() > 20), "{id}: {head:?}");
        assert!(head.contains(&"Defined-By: gpuhostd".to_owned()), "{id}: {head:?}");
        let (cause, cure) = body.split_once("\n\nWhat to do: ").unwrap_or_else(|| panic!("{id} says not what to do"));
        assert!(cause.len() > 30 && cure.len() > 6, "{id}: {body}");
        for field in body.split('@').skip(1).step_by(2) {
            let is_field = !field.is_empty() && field.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            assert!(is_field, "{id}: @{field}@ is no field of the journal");
        }
    }
}

#[test]
fn journalctl_takes_the_catalog() {
    let root = std::env::temp_dir().join(format!("house-catalog-{}", std::process::id()));
    let folder = root.join("usr/lib/systemd/catalog");
    std::fs::create_dir_all(&folder).expect("folder");
    std::fs::copy(tree::root().join(CATALOG), folder.join("gpuhostd.catalog")).expect("copy");
    let journalctl = |arg: &str| {
        let output = Command::new("journalctl").arg(format!("--root={}", root.display())).arg(arg).output();
        output.expect("journalctl is there (package systemd)")
    };
    let made = journalctl("--update-catalog");
    let listed = journalctl("--list-catalog");
    std::fs::remove_dir_all(&root).expect("removed");
    assert!(made.status.success() && made.stderr.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
    let listed = String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains("gpuhostd: ")).count();
    assert_eq!(listed, list().len());
}
