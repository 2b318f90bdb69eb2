//! That each promise of docs/SPECIFICATION.md names what holds it, that all of these exist, and that no benchmark is left out.

use house::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const DOCUMENT: &str = "docs/SPECIFICATION.md";
/// Where the sentences of the contract are held.
const CONTRACT_SENTENCES: &str = "docs/manager-api/README.md";

/// The last column of each row of the tables that have a column "held by", with the line's number.
fn holders(document: &str) -> Vec<(usize, &str)> {
    let (mut found, mut is_held) = (Vec::new(), false);
    for (number, line) in document.lines().enumerate() {
        match line.trim_end_matches(" |").rsplit_once(" | ") {
            Some((_, "held by")) => is_held = true,
            Some((_, column)) if line.starts_with("| ") && is_held => found.push((number + 1, column)),
            Some(_) => {}
            None => is_held = is_held && line.starts_with('|'),
        }
    }
    found
}

/// What stands between backquotes.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Names of the benchmarks: the rows of the program, and those that `run.sh` runs itself.
fn benchmarks() -> BTreeSet<String> {
    let program = tree::text(Path::new("tests/bench/src/main.rs"));
    let rows = program.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", "));
    let mut all: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    let script = tree::text(Path::new("tests/bench/run.sh"));
    let listed = script.lines().find_map(|line| line.split_once("rows=(b")).expect("run.sh lists its rows").1;
    all.extend(format!("b{listed}").trim_end_matches(')').split(' ').map(str::to_owned));
    all
}

/// Why a holder does not hold; none where it does.
fn fault(holder: &str, benchmarks: &BTreeSet<String>) -> Option<String> {
    if let Some(row) = holder.strip_prefix("bench ") {
        return (!benchmarks.contains(row)).then(|| format!("there is no benchmark {row}"));
    }
    let Some((file, name)) = holder.split_once("::") else { return Some(format!("{holder} is no test or benchmark")) };
    if !tree::root().join(file).is_file() {
        return Some(format!("there is no file {file}"));
    }
    let text = tree::text(Path::new(file));
    let exists = if file.ends_with(".rs") { text.contains(&format!("fn {name}(")) } else { text.contains(name) };
    (!exists).then(|| format!("{file} has no {name}"))
}

#[test]
fn every_promise_is_held_by_what_exists() {
    let (document, benchmarks) = (tree::text(Path::new(DOCUMENT)), benchmarks());
    let rows = holders(&document);
    assert!(rows.len() > 25, "{} promises", rows.len());
    let mut against = Vec::new();
    for (line, column) in rows {
        let named = code(column);
        if named.is_empty() {
            against.push(format!("line {line}: nothing holds it"));
        }
        against.extend(named.iter().filter_map(|holder| Some(format!("line {line}: {}", fault(holder, &benchmarks)?))));
    }
    assert!(against.is_empty(), "{DOCUMENT}:\n{}", against.join("\n"));
}

#[test]
fn every_sentence_of_the_contract_that_is_listed_is_held_by_what_exists() {
    let document = tree::text(Path::new(CONTRACT_SENTENCES));
    let rows = holders(&document);
    assert!(rows.len() > 25, "{} sentences", rows.len());
    let found = rows.iter().flat_map(|(line, column)| {
        let named = code(column);
        let nothing = named.is_empty().then(|| format!("line {line}: nothing holds it"));
        let faults = named
            .into_iter()
            .filter_map(move |holder| Some(format!("line {line}: {}", fault(holder, &BTreeSet::new())?)));
        nothing.into_iter().chain(faults)
    });
    let against: Vec<_> = found.collect();
    assert!(against.is_empty(), "{CONTRACT_SENTENCES}:\n{}", against.join("\n"));
}

#[test]
fn every_benchmark_holds_a_promise() {
    let document = tree::text(Path::new(DOCUMENT));
    let named: BTreeSet<_> = holders(&document).iter().flat_map(|(_, column)| code(column)).collect();
    let idle: Vec<_> =
        benchmarks().into_iter().filter(|row| !named.contains(format!("bench {row}").as_str())).collect();
    assert!(idle.is_empty(), "{DOCUMENT} names no promise for {idle:?}");
}

#[test]
fn every_fuzz_target_holds_a_promise() {
    let document = tree::text(Path::new(DOCUMENT));
    let targets = tree::files().into_iter().filter(|file| file.starts_with("tests/fuzz/src/targets"));
    for file in targets.filter(|file| !file.ends_with("mod.rs")) {
        assert!(
            document.contains(&format!("`{}::run`", file.display())),
            "{DOCUMENT} does not name {}",
            file.display()
        );
    }
}

const CONTRACT: &str = "docs/manager-api/BEHAVIOUR.md";
const CONTRACT_TESTS: &str = "## The tests of the manager's contract\n";

/// The numbers of a comma list, as it ends with a full stop.
fn numbers(list: &str) -> BTreeSet<u32> {
    list.split('.').next().unwrap_or_default().split(',').filter_map(|word| word.trim().parse().ok()).collect()
}

/// Each test of our code that bears a number of the contract, by that number.
fn numbered_tests() -> BTreeMap<u32, BTreeSet<String>> {
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for file in tree::rust_files() {
        let text = tree::text(&file);
        for name in text.split("fn t").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name) {
            let number = name.split_once('_').filter(|(digits, _)| digits.len() == 2);
            if let Some(Ok(number)) = number.map(|(digits, _)| digits.parse()) {
                found.entry(number).or_default().insert(format!("{}::t{name}", file.display()));
            }
        }
    }
    found
}

#[test]
fn each_test_of_the_contract_stands_under_its_number_and_each_number_is_spoken_of() {
    let document = tree::text(Path::new(DOCUMENT));
    let section = document.split_once(CONTRACT_TESTS).expect("a section").1;
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut listed: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for line in section.lines() {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [number, _, holders] = cells[..]
            && let Ok(number) = number.parse()
        {
            listed.insert(number, code(holders).into_iter().map(str::to_owned).collect());
        }
    }
    let there = numbered_tests();
    for number in listed.keys().chain(there.keys()) {
        assert_eq!(listed.get(number), there.get(number), "test {number} of the contract: the table, then the code");
    }
    let later = numbers(section.split_once("comes later:").expect("what comes later").1);
    let contract = tree::text(Path::new(CONTRACT));
    let wanted = contract.split_once("\n## Tests\n").expect("its tests").1.replace('\n', " ");
    let wanted = wanted.split(" · ").filter_map(|one| one.trim().split(' ').next()?.parse().ok());
    let spoken_of: BTreeSet<u32> = listed.keys().chain(&later).copied().collect();
    assert_eq!(spoken_of, wanted.collect());
}

#[test]
fn what_does_not_exist_is_seen() {
    let benchmarks = BTreeSet::from(["b1".to_owned()]);
    let document = "| promise | figure | held by |\n|---|---|---|\n| a | 1 `x` | `bench b1`, `c` |\n";
    assert_eq!(holders(document), [(3, "`bench b1`, `c`")]);
    assert_eq!(holders("| figure | measured |\n|---|---|\n| a | `b` |\n"), []);
    for (holder, holds) in [
        ("bench b1", true),
        ("bench b99", false),
        ("words", false),
        ("no/file.rs::x", false),
        ("tests/house/tests/suite/specification.rs::what_does_not_exist_is_seen", true),
        ("tests/house/tests/suite/specification.rs::what_exists_nowhere", false),
    ] {
        assert_eq!(fault(holder, &benchmarks).is_none(), holds, "{holder}");
    }
}
