//! What each program of the package links: the least code for each privilege.
//!
//! `packaging/programs` names the programs, where they are installed, and what none of them may ever link; `links/` has the closed list
//! of each, as `cargo tree` gives it. `UPDATE_GOLDEN=1 cargo test -p house programs` writes the lists anew.

use files::OwnProgram;
use house::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// One line of `packaging/programs`.
struct Row {
    name: String,
    folder: String,
    never: Vec<String>,
}

fn rows() -> Vec<Row> {
    let text = tree::text(Path::new("packaging/programs"));
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, folder, never] = words[..] else { panic!("packaging/programs: {line:?} has not three columns") };
        Row { name: name.into(), folder: folder.into(), never: never.split(',').map(str::to_owned).collect() }
    };
    text.lines().map(row).collect()
}

/// The crates that a package's program is made of, those that only run while it is built left out.
fn linked(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree =
        ["tree", "--offline", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", "--package"];
    let output = Command::new(cargo).args(tree).arg(package).current_dir(tree::root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn each_program_is_installed_where_the_others_look_for_it() {
    let listed: BTreeMap<_, _> = rows().into_iter().map(|row| (row.name, row.folder)).collect();
    for program in OwnProgram::ALL {
        let installed = program.installed();
        let folder = installed.parent().and_then(Path::to_str).expect("a folder");
        assert_eq!(listed.get(program.name()).map(String::as_str), Some(folder), "packaging/programs: {program:?}");
    }
    assert_eq!(listed.len(), OwnProgram::ALL.len() + 1, "gpuhostctl is the only other one");
}

#[test]
fn no_program_links_what_its_privilege_must_not_have() {
    for row in rows() {
        let linked = linked(&row.name);
        let wrong: Vec<_> = row.never.iter().filter(|name| linked.contains(*name)).collect();
        assert!(wrong.is_empty(), "{} links {wrong:?}: cargo tree -e normal -p {} -i {}", row.name, row.name, wrong[0]);
    }
}

#[test]
fn what_each_program_links_is_a_closed_list() {
    for row in rows() {
        let path = tree::root().join("tests/house/links").join(format!("{}.txt", row.name));
        let made: String = linked(&row.name).into_iter().map(|name| name + "\n").collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, &made).expect("a list");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let (kept, made): (BTreeSet<_>, BTreeSet<_>) = (kept.lines().collect(), made.lines().collect());
        let (new, gone): (Vec<_>, Vec<_>) = (made.difference(&kept).collect(), kept.difference(&made).collect());
        assert!(
            new.is_empty() && gone.is_empty(),
            "{} now links {new:?}, and no longer {gone:?}; is that meant? Then UPDATE_GOLDEN=1",
            row.name
        );
    }
}
