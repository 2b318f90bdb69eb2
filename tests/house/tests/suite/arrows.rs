//! Which package may use which: the floors of docs/ARCHITECTURE.md, held over `cargo metadata`.

use house::packages::{self, Package};
use house::rules::{FLOORS, KEPT, MODEL_IS_BUILT_ON};

fn product() -> Vec<Package> {
    packages::all().into_iter().filter(Package::is_product).collect()
}

#[test]
fn every_package_stands_on_a_floor() {
    let mut stand: Vec<_> = product().into_iter().map(|p| p.name).collect();
    let mut known: Vec<_> = FLOORS.iter().map(|floor| floor.package.to_owned()).collect();
    stand.sort();
    known.sort();
    assert_eq!(stand, known, "packages in agent/ against the table of floors (tests/house/src/rules.rs)");
}

#[test]
fn arrows_point_down() {
    let against = arrows_against(&product());
    assert!(against.is_empty(), "arrows that no floor allows:\n{}", against.join("\n"));
}

fn arrows_against(packages: &[Package]) -> Vec<String> {
    let mut against = Vec::new();
    for package in packages {
        let may_use = FLOORS.iter().find(|f| f.package == package.name).map_or(&[][..], |f| f.may_use);
        let wrong = package.ours.iter().filter(|used| !may_use.contains(&used.as_str()));
        against.extend(wrong.map(|used| format!("{} uses {used}; it may use {may_use:?}", package.name)));
    }
    against
}

#[test]
fn an_arrow_up_is_seen() {
    let ours = vec!["model".to_owned(), "host".to_owned()];
    let wire = Package { name: "wire".into(), folder: "agent/wire".into(), ours, theirs: Vec::new() };
    assert_eq!(arrows_against(&[wire]), ["wire uses host; it may use [\"model\"]"]);
}

#[test]
fn floors_have_no_circle() {
    for floor in &FLOORS {
        let mut below: Vec<&str> = floor.may_use.to_vec();
        let mut next = 0;
        while let Some(name) = below.get(next).copied() {
            let further = FLOORS.iter().find(|f| f.package == name).expect("the table names only its own rows").may_use;
            below.extend(further.iter().filter(|f| !below.contains(f)).copied().collect::<Vec<_>>());
            next += 1;
        }
        assert!(!below.contains(&floor.package), "{} would stand on itself: {below:?}", floor.package);
    }
}

#[test]
fn the_model_has_no_surroundings() {
    let model = product().into_iter().find(|p| p.name == "model").expect("there is a package model");
    let foreign: Vec<_> = model.theirs.iter().filter(|d| !MODEL_IS_BUILT_ON.contains(&d.as_str())).collect();
    assert!(foreign.is_empty(), "model may be built on {MODEL_IS_BUILT_ON:?} only, not on {foreign:?}");
}

#[test]
fn ways_to_the_outside_are_kept() {
    let mut against = Vec::new();
    for package in product() {
        for kept in KEPT.iter().filter(|k| package.theirs.iter().any(|d| d == k.package)) {
            if !kept.by.contains(&package.name.as_str()) {
                against.push(format!("{} uses {}: {} (only {:?})", package.name, kept.package, kept.why, kept.by));
            }
        }
    }
    assert!(against.is_empty(), "{}", against.join("\n"));
}
