//! Words that have no place in the tree: paths of a build machine, private registries, secrets.

use house::tree;
use std::path::Path;

/// Written in two halves each, so that this file does not hold what it looks for.
const NEVER: [(&str, &str, &str); 8] = [
    ("/wo", "rk/", "an absolute path of a build machine"),
    ("/ro", "ot/", "an absolute path of a build machine"),
    ("/tmp/br", "ief", "an absolute path of a build machine"),
    ("/home/run", "ner", "an absolute path of a build machine"),
    ("art", "ifactory", "a private registry"),
    ("replace", "-with", "a private registry"),
    ("FIX", "ME", "work that was left"),
    ("TO", "DO", "work that was left"),
];

/// Files whose content is the text of others.
const TEXT_OF_OTHERS: [&str; 2] = ["LICENSE", "Cargo.lock"];

fn found_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (head, tail, what) in NEVER {
            let word = format!("{head}{tail}");
            if line.contains(&word) {
                found.push(format!("line {}: {word}: {what}", number + 1));
            }
        }
        if line.trim_start().starts_with("-----BEGIN") && line.contains("PRIVATE KEY") {
            found.push(format!("line {}: a private key", number + 1));
        }
    }
    found
}

#[test]
fn no_word_of_a_build_machine_stands_in_the_tree() {
    let mut against = Vec::new();
    for file in tree::files().iter().filter(|file| !TEXT_OF_OTHERS.iter().any(|t| file.as_path() == Path::new(t))) {
        let bytes = std::fs::read(tree::root().join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        against.extend(found_in(&text).into_iter().map(|what| format!("{}: {what}", file.display())));
    }
    assert!(against.is_empty(), "{}", against.join("\n"));
}

#[test]
fn each_word_is_seen() {
    for (head, tail, _) in NEVER {
        assert_eq!(found_in(&format!("a\nsee {head}{tail}x")).len(), 1, "{head}{tail}");
    }
    let key = ["a", "  -----BEGIN EC", "PRIVATE KEY-----"].join(" ").replace("a   -", "a\n  -");
    assert_eq!(found_in(&key), ["line 2: a private key"]);
    assert!(found_in("the root of the work; pem.contains(\"BEGIN PRIVATE KEY\")").is_empty());
}

#[test]
fn crates_come_from_one_registry() {
    let lock = tree::text(Path::new("Cargo.lock"));
    let sources: Vec<_> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    let foreign: Vec<_> = sources
        .iter()
        .filter(|line| **line != "source = \"registry+https://github.com/rust-lang/crates.io-index\"")
        .collect();
    assert!(sources.len() > 100, "Cargo.lock names its sources");
    assert!(foreign.is_empty(), "{foreign:?}");
}
