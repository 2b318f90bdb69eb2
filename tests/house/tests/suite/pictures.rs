//! The pictures, paths and invariants of docs/ARCHITECTURE.md and its neighbours: drawn from the code, or compared with it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p house pictures` draws the floors again.

use house::packages::{self, Package};
use house::tree;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
/// Documents whose paths in backquotes must exist.
const WITH_PATHS: [&str; 4] = [DOCUMENT, "docs/GLOSSARY.md", "docs/STYLE.md", "CONTRIBUTING.md"];
/// Where the states of a change are, and the enum that has them.
const MACHINE: (&str, &str) = ("agent/model/src/change/machine.rs", "Stage");

/// The packages of the product and which of ours each one uses, from `cargo metadata`.
fn floors() -> String {
    let mut packages: Vec<Package> = packages::all().into_iter().filter(Package::is_product).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let mut picture = "```mermaid\nflowchart TD\n".to_owned();
    for package in packages {
        let mut below = package.ours.clone();
        below.sort();
        if below.is_empty() {
            writeln!(picture, "    {}", package.name).expect("a text takes a line");
        }
        for name in below {
            writeln!(picture, "    {} --> {name}", package.name).expect("a text takes a line");
        }
    }
    picture + "```\n"
}

/// The lines between the two marks of a generated part.
fn part<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let (begin, end) = (format!("<!-- {name}: generated from the code -->\n"), format!("<!-- end of {name} -->\n"));
    let (head, rest) = text.split_once(&begin)?;
    let (part, tail) = rest.split_once(&end)?;
    Some((head, part, tail))
}

#[test]
fn the_floors_are_drawn_as_they_are() {
    let text = tree::text(Path::new(DOCUMENT));
    let (head, drawn, tail) = part(&text, "floors").expect("the document has the marks of the floors");
    let wanted = floors();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let marks = ("<!-- floors: generated from the code -->\n", "<!-- end of floors -->\n");
        let all = format!("{head}{}{wanted}{}{tail}", marks.0, marks.1);
        std::fs::write(tree::root().join(DOCUMENT), all).expect("the document can be written");
        return;
    }
    assert!(
        drawn == wanted,
        "{DOCUMENT} does not show the floors: UPDATE_GOLDEN=1 cargo test -p house pictures\n{wanted}"
    );
}

/// The variants of an enum of a source.
fn variants(file: &str, name: &str) -> BTreeSet<String> {
    let source = syn::parse_file(&tree::text(Path::new(file))).expect("a source of the tree is Rust");
    let found = source.items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == name => Some(item),
        _ => None,
    });
    let found = found.unwrap_or_else(|| panic!("{file} has no enum {name}: say here where the states of a change are"));
    found.variants.iter().map(|variant| variant.ident.to_string()).collect()
}

/// The states that a mermaid `stateDiagram-v2` shows.
fn states(picture: &str) -> BTreeSet<String> {
    let words = picture.lines().filter(|line| line.contains("-->")).flat_map(|line| {
        let line = line.split(':').next().unwrap_or_default();
        line.split("-->").map(|state| state.trim().to_owned()).collect::<Vec<_>>()
    });
    words.filter(|state| state != "[*]" && !state.is_empty()).collect()
}

#[test]
fn the_picture_of_a_change_has_the_states_of_the_machine() {
    let text = tree::text(Path::new(DOCUMENT));
    let picture =
        text.split_once("stateDiagram-v2\n").and_then(|(_, rest)| rest.split_once("```")).expect("a picture").0;
    let mut shown = states(picture);
    let wanted = variants(MACHINE.0, MACHINE.1);
    for outcome in ["Done", "Untouched", "Restored", "Quarantined"] {
        assert!(shown.remove(outcome), "the picture has no {outcome}");
    }
    shown.insert("Ended".to_owned());
    assert_eq!(shown, wanted, "{DOCUMENT} against {}", MACHINE.0);
}

/// The paths in backquotes: words that begin with a folder of the tree.
fn paths(text: &str) -> Vec<&str> {
    let tops = ["agent/", "tests/", "docs/", "packaging/", "systemd/"];
    let prose =
        text.lines().filter(|line| !line.starts_with("    ")).flat_map(|line| line.split('`').skip(1).step_by(2));
    prose.filter(|word| tops.iter().any(|top| word.starts_with(top)) && !word.contains(['*', ' ', '<', '…'])).collect()
}

#[test]
fn paths_in_the_documents_exist() {
    let mut lost = Vec::new();
    let mut all = 0;
    for document in WITH_PATHS {
        let text = tree::text(Path::new(document));
        for path in paths(&text) {
            let (file, name) = path.split_once("::").unwrap_or((path, ""));
            let place = tree::root().join(file);
            all += 1;
            if !place.exists() || (!name.is_empty() && !tree::text(Path::new(file)).contains(&format!("fn {name}("))) {
                lost.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(all > 100, "only {all} paths");
    assert!(lost.is_empty(), "paths that lead nowhere:\n{}", lost.join("\n"));
}

#[test]
fn every_invariant_names_a_test() {
    let text = tree::text(Path::new(DOCUMENT));
    let (_, after) = text.split_once("\n## Invariants\n").expect("there are invariants");
    let rows: Vec<&str> =
        after.lines().take_while(|line| !line.starts_with("## ")).filter(|l| l.starts_with("| ")).collect();
    let silent: Vec<&&str> = rows.iter().skip(1).filter(|row| !row.contains("::")).collect();
    assert!(rows.len() > 10 && silent.is_empty(), "{} rows; without a test: {silent:?}", rows.len());
}

#[test]
fn a_lost_path_and_another_state_are_seen() {
    assert_eq!(paths("see `agent/x/src`, `tests/a b`, `model`\n    `agent/code`\n"), ["agent/x/src"]);
    assert_eq!(states("A --> B: word\n[*] --> A\nB --> [*]\n"), ["A".to_owned(), "B".to_owned()].into());
    assert!(
        part("a<!-- x: generated from the code -->\nb\n<!-- end of x -->\nc", "x").is_some_and(|(_, b, _)| b == "b\n")
    );
    assert!(part("nothing", "x").is_none());
}
