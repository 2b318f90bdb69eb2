//! Tables of the handbook that are made from the code.

use std::path::Path;

/// Behind this line a document's table is written by its test.
const GENERATED: &str =
    "<!-- generated from the code: UPDATE_GOLDEN=1 cargo test -p gpuhostctl --test cli tables -->\n";

fn holds(document: &str, table: &str) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(document);
    let written = std::fs::read_to_string(&path).unwrap();
    let (head, told) = written.split_once(GENERATED).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{head}{GENERATED}{table}")).unwrap();
    } else {
        assert!(told == table, "docs/{document} is not that of the code; write it anew with UPDATE_GOLDEN=1");
    }
}

#[test]
fn the_handbook_lists_each_metric_with_its_names_and_sources() {
    holds("METRICS.md", &model::metric::table());
}

#[test]
fn the_handbook_says_which_source_is_asked_for_each_fact_of_health() {
    holds("HEALTH-FACTS.md", &model::health::facts::table());
}
