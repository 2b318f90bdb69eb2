//! Bad input: refused before anything is touched, in bounded time and memory, with what is wrong.

use crate::host::catalog;
use model::absence::{Absence, Reading};
use model::mig::catalog::Engines;
use model::mig::layout::{read_present, read_wishes};
use model::mig::{GpuProfile, Instance, MigCatalog, MigRefusal, Placement, Present, Wish, plan};

fn code(product: &str, there: &str, wanted: &str) -> &'static str {
    let catalog = catalog(product);
    let there = read_present(there, &catalog).unwrap();
    plan(&catalog, &there, &read_wishes(wanted, &catalog).unwrap()).unwrap_err().why.code()
}

#[test]
fn what_is_no_wish_is_no_plan() {
    let a100 = catalog("A100-40GB");
    for wanted in [
        "",
        " ",
        "1g.5gb ",
        " 1g.5gb",
        "1g.5gb: 2",
        "0c.1g.5gb",
        "1g.0gb",
        "0g.5gb",
        "2c.1g.5gb",
        "1g.5gb:010",
        "1g.5gb:+2",
        "1g.5gb:-1",
        "1g.5gb:1e3",
        "1g.5gb:18446744073709551616",
        "1g.5gb@",
        "1g.5gb@00",
        "1g.5gb@0:",
        "1g.5gb@x",
        "@0",
        "1g.5gb;2g.10gb",
        "1g.5gb,,2g.10gb",
        "--",
        "1g.5gb\n",
        "1g.5gb\u{0}",
        "all",
    ] {
        assert!(read_wishes(wanted, &a100).is_err(), "{wanted:?}");
    }
}

#[test]
fn impossible_wishes_are_refused_by_their_code() {
    for (there, wanted, why) in [
        ("-", "1g.5gb:18446744073709551615", "maximum"),
        ("-", "1g.5gb:18446744073709551615,1g.5gb@0,1c.7g.40gb:18446744073709551615", "maximum"),
        ("-", "1g.6gb:4", "unknown_profile"),
        ("-", "1g.5gb+gfx", "unknown_profile"),
        ("-", "3c.4g.20gb", "unknown_profile"),
        ("-", "2g.10gb@1", "placement_unknown"),
        ("-", "2g.10gb@4294967295", "placement_unknown"),
        ("-", "1g.5gb@3,1g.5gb@3", "placement_overlap"),
        ("-", "1g.5gb@3:2", "placement_overlap"),
        ("-", "2g.10gb@2,1g.5gb@3", "placement"),
        ("1g.5gb@0,1g.5gb@0", "-", "placement_overlap"),
        ("7g.40gb@0,1g.5gb@6", "-", "placement_overlap"),
        ("2g.10gb@6", "-", "placement_unknown"),
        ("1g.6gb@0", "-", "unknown_profile"),
        ("1g.5gb@0:in-use", "1g.5gb@1", "in_use_not_wanted"),
        ("1g.5gb@3:in-use", "1g.5gb,4g.20gb", "in_use_blocks"),
    ] {
        assert_eq!(code("A100-40GB", there, wanted), why, "from {there} to {wanted}");
    }
}

#[test]
fn zero_is_none() {
    let a100 = catalog("A100-40GB");
    let wishes = [Wish { profile: "9g.999gb".to_owned(), start: Some(77), count: 0 }];
    assert!(plan(&a100, &[], &wishes).unwrap().is_done());
}

/// A GPU that nobody builds: many profiles of one slot each, in many slots.
fn hostile(slots: u32, kinds: u32) -> MigCatalog {
    let profile = |number: u32| GpuProfile {
        profile: format!("{}g.{}gb", 1 + number % 3, 1 + number),
        index: None,
        id: None,
        compute_slices: 1,
        memory_mib: None,
        multiprocessors: None,
        engines: Engines::default(),
        instances: slots,
        placements: (0..slots).map(|start| Placement { start, size: 1 }).collect(),
        compute_profiles: Reading::Absent(Absence::NotProbed),
    };
    let mut profiles: Vec<GpuProfile> = (0..kinds).map(profile).collect();
    profiles[0].compute_slices = slots;
    MigCatalog::new("hostile", profiles).unwrap()
}

#[test]
fn a_search_that_would_not_end_is_given_up_or_gives_what_it_has() {
    let catalog = hostile(64, 12);
    let wishes: Vec<Wish> =
        catalog.profiles()[1..].iter().map(|p| Wish { profile: p.profile.clone(), start: None, count: 4 }).collect();
    let present = [Present {
        instance: Instance { profile: catalog.profiles()[1].profile.clone(), start: 63 },
        in_use: true,
        compute: Vec::new(),
    }];
    let found = plan(&catalog, &present, &wishes).unwrap();
    assert_eq!((found.create.len(), found.destroy.len()), (43, 0));
    // What cannot be placed cannot be shown to be impossible either: no more than so many are looked at.
    let mut wishes = wishes;
    wishes.push(Wish { profile: catalog.profiles()[1].profile.clone(), start: Some(0), count: 1 });
    wishes.push(Wish { profile: catalog.profiles()[2].profile.clone(), start: Some(0), count: 1 });
    let refused = plan(&catalog, &present, &wishes).unwrap_err();
    let given_up = matches!(refused.why, MigRefusal::TooManyLayouts { .. } | MigRefusal::Placement);
    assert!(given_up, "{refused}");
}

#[test]
fn a_long_list_costs_no_more_than_its_length() {
    let a100 = catalog("A100-40GB");
    let many: Vec<Wish> =
        (0..1000).map(|n| Wish { profile: format!("{n}g.{n}gb"), start: None, count: u64::MAX }).collect();
    let refused = plan(&a100, &[], &many).unwrap_err();
    assert_eq!(refused.why.code(), "unknown_profile");
    let same: Vec<Wish> = vec![Wish { profile: "1g.5gb".to_owned(), start: None, count: u64::MAX }; 1000];
    assert_eq!(plan(&a100, &[], &same).unwrap_err().why.code(), "maximum");
}
