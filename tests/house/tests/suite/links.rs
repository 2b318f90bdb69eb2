//! That the documents point at files that are there, and that the commands they name are targets of the Makefile.

use house::tree;
use std::path::{Path, PathBuf};

fn documents() -> Vec<PathBuf> {
    tree::files().into_iter().filter(|file| file.extension().is_some_and(|e| e == "md")).collect()
}

/// Targets of `[text](target)` that are files of the tree.
fn links(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = after.map(|(target, _)| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).map(str::to_owned).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut lost = Vec::new();
    for document in documents() {
        let folder = document.parent().unwrap_or(Path::new(""));
        for link in links(&tree::text(&document)) {
            if !tree::root().join(folder).join(&link).exists() {
                lost.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(lost.is_empty(), "links to nowhere:\n{}", lost.join("\n"));
}

/// Words that follow `make ` at the begin of a line or of a piece of code.
fn make_targets(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let code = text.lines().flat_map(|line| line.split('`')).map(str::trim_start);
    let named = code.filter_map(|piece| piece.strip_prefix("make "));
    named.map(|rest| rest.chars().take_while(|c| is_word(*c)).collect()).collect()
}

#[test]
fn the_readme_names_targets_that_exist() {
    let makefile = tree::text(Path::new("Makefile"));
    let named = make_targets(&tree::text(Path::new("README.md")));
    assert!(named.contains(&"run".to_owned()) && named.contains(&"test".to_owned()), "{named:?}");
    for target in named {
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "there is no `make {target}`");
    }
}

#[test]
fn links_and_targets_are_found() {
    assert_eq!(links("see [a](b/c.md#d), [e](https://f) and [g](#h) or [i](../j)"), ["b/c.md", "../j"]);
    assert_eq!(make_targets("    make run   # x\nuse `make test-rig HOST=a` to make sure"), ["run", "test-rig"]);
}

/// The hand and the verb of each `call_verb USER HAND VERB` with plain words.
fn called_verbs(script: &str) -> Vec<(String, String)> {
    let calls = script.split("call_verb ").skip(1).filter_map(|rest| {
        let mut words = rest.split_whitespace().skip(1).map(str::to_owned);
        Some((words.next()?, words.next()?))
    });
    calls.filter(|(hand, _)| hand.chars().all(|c| c.is_ascii_lowercase())).collect()
}

#[test]
fn the_rigs_call_verbs_that_the_hands_serve() {
    let served = tree::text(Path::new("docs/HAND-VERBS.md"));
    let scripts = tree::files().into_iter().filter(|file| file.extension().is_some_and(|e| e == "sh"));
    let called: Vec<(String, String)> = scripts.flat_map(|script| called_verbs(&tree::text(&script))).collect();
    assert!(called.len() >= 4, "{called:?}");
    for (hand, verb) in called {
        assert!(served.contains(&format!("| {hand} | `{verb}` |")), "the {hand} hand does not serve {verb}");
    }
}
