//! Pictures of layouts and plans, held against files that a person has looked at.
#![allow(clippy::disallowed_methods, reason = "a golden picture is written anew on demand")]

use crate::host::catalog;
use model::mig::layout::{read_present, read_wishes};
use model::mig::{draw, plan};
use std::path::Path;

/// Compares with the file; `GOLDEN=write` writes it anew.
fn golden(name: &str, lines: &[String]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mig/golden").join(name);
    let ours = lines.join("\n") + "\n";
    if std::env::var_os("GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(&file, &ours).unwrap();
    }
    let theirs = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(ours, theirs, "{}:\n{ours}", file.display());
}

fn planned(product: &str, there: &str, wanted: &str) -> Vec<String> {
    let catalog = catalog(product);
    let present = read_present(there, &catalog).unwrap();
    let plan = plan(&catalog, &present, &read_wishes(wanted, &catalog).unwrap()).unwrap();
    draw::plan(&catalog, &present, &plan)
}

fn shown(product: &str, there: &str) -> Vec<String> {
    let catalog = catalog(product);
    draw::layout(&catalog, &read_present(there, &catalog).unwrap())
}

#[test]
fn an_a100_before_and_after() {
    golden(
        "a100-plan.txt",
        &planned(
            "A100-40GB",
            "1g.5gb@0:in-use,1g.5gb@1,1g.5gb@2,1g.5gb@3,1g.5gb@4,1g.5gb@5,1g.5gb@6",
            "1g.5gb:2,2g.10gb:1,3g.20gb:1",
        ),
    );
}

#[test]
fn an_rtx_pro_6000_before_and_after() {
    golden(
        "rtx-pro-6000-plan.txt",
        &planned("RTX-PRO-6000-96GB", "1g.24gb-me@0,1g.24gb@3,1g.24gb+gfx@6:in-use", "1g.24gb+gfx:2,2g.48gb:1"),
    );
}

#[test]
fn what_is_there() {
    golden("a100-show.txt", &shown("A100-40GB", "2g.10gb@0:in-use,1g.5gb@2,1c.3g.20gb@4:in-use,2c.3g.20gb@4"));
    golden("rtx-pro-6000-show.txt", &shown("RTX-PRO-6000-96GB", "1g.24gb+me.all@0:in-use,1g.24gb-me@3,2g.48gb-me@6"));
    golden("a30-empty.txt", &shown("A30-24GB", "-"));
}

#[test]
fn compute_instances_that_change_in_what_stays() {
    golden("a100-compute.txt", &planned("A100-40GB", "1c.3g.20gb@0:in-use,2c.3g.20gb@0", "1c.3g.20gb:3"));
    golden("a100-done.txt", &planned("A100-40GB", "7g.40gb@0", "7g.40gb"));
}

#[test]
fn every_line_of_a_picture_is_as_wide_as_the_others() {
    for (product, there) in
        [("A100-40GB", "1g.5gb+me@0,1g.10gb@2,3g.20gb@4"), ("A30-24GB", "4g.24gb@0"), ("B200-180GB", "-")]
    {
        let lines = shown(product, there);
        let boxes: Vec<usize> =
            lines.iter().filter(|line| line.contains(['│', '┌', '└'])).map(|line| line.chars().count()).collect();
        assert!(boxes.len() >= 3 && boxes.iter().all(|width| *width == boxes[0]), "{lines:#?}");
    }
}
