//! Laws of a change of a MIG layout, from any layout of any product to any wish.

use crate::cards::{Card, Guarded};
use model::mig::products::PRODUCTS;
use model::plan::Plan;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::collections::BTreeMap;

/// A GPU instance that may be there: profile, place, how it is cut, who has it. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
struct There {
    profile: usize,
    place: usize,
    cut: usize,
    user: u8,
    foreign: bool,
}

/// A wish: one that is there goes on, or something new.
#[derive(Debug, Clone)]
struct Wished {
    profile: usize,
    place: Option<usize>,
    cut: usize,
}

#[derive(Debug, Clone, Copy)]
enum GoesOn {
    AsItIs,
    CutAnew(usize),
    NotAtAll,
}

#[derive(Debug, Clone)]
struct Case {
    product: usize,
    there: Vec<There>,
    /// What becomes of each that is there.
    goes_on: Vec<GoesOn>,
    wished: Vec<Wished>,
    replace_foreign: bool,
}

fn any_case() -> impl Strategy<Value = Case> {
    let there = (0usize..64, 0usize..64, 0usize..7, 0u8..9, prop::bool::weighted(0.2))
        .prop_map(|(profile, place, cut, user, foreign)| There { profile, place, cut, user, foreign });
    let wished = (0usize..64, prop::option::weighted(0.2, 0usize..64), 0usize..7)
        .prop_map(|(profile, place, cut)| Wished { profile, place, cut });
    let goes_on = prop_oneof![
        4 => Just(GoesOn::AsItIs),
        2 => prop::sample::select(vec![0, 4, 5, 6]).prop_map(GoesOn::CutAnew),
        1 => Just(GoesOn::NotAtAll),
    ];
    let lists = (prop::collection::vec(there, 0..9), prop::collection::vec(goes_on, 9));
    (0..PRODUCTS.len(), lists, prop::collection::vec(wished, 0..5), any::<bool>()).prop_map(
        |(product, (there, goes_on), wished, replace_foreign)| Case {
            product,
            there,
            goes_on,
            wished,
            replace_foreign,
        },
    )
}

/// How many slices go into an instance with so many: all in one, none, or in several.
fn cut(slices: u32, way: usize) -> Vec<u32> {
    match (way, slices) {
        (0..=2, _) => vec![slices],
        (3, _) => Vec::new(),
        (4, 3..) => vec![1, 2],
        (5, 3..) => vec![2, 1],
        _ => vec![1; usize::try_from(slices).unwrap()],
    }
}

/// The GPU, and what is wished of it in the syntax of the command line.
fn made(case: &Case) -> (Card, String) {
    let product = &PRODUCTS[case.product];
    let catalog = product.catalog().unwrap();
    let mut card = Card::empty(product);
    let mut wishes = Vec::new();
    for (there, goes_on) in case.there.iter().zip(&case.goes_on) {
        let profile = &catalog.profiles()[there.profile % catalog.profiles().len()];
        let place = profile.placements[there.place % profile.placements.len()];
        let slices = cut(profile.compute_slices, there.cut);
        let Some(id) = card.create(&profile.profile, place.start, &slices) else { continue };
        match there.user {
            0 if !slices.is_empty() => card.compute(id, 0).processes.push(4711),
            1 if slices.len() > 1 => card.compute(id, 1).processes.push(4711),
            2 if slices.len() > 1 => card.given(id, Some(1)),
            3 => card.given(id, None),
            _ => {}
        }
        if there.foreign {
            card.owned.pop();
        }
        let slices = match goes_on {
            GoesOn::AsItIs => slices,
            GoesOn::CutAnew(way) => cut(profile.compute_slices, *way),
            GoesOn::NotAtAll => Vec::new(),
        };
        wishes.extend(slices.iter().map(|slices| profile.compute_name(*slices)));
    }
    for wished in &case.wished {
        let profile = &catalog.profiles()[wished.profile % catalog.profiles().len()];
        let start = wished.place.map(|place| profile.placements[place % profile.placements.len()].start);
        let at = start.map(|start| format!("@{start}")).unwrap_or_default();
        let names = cut(profile.compute_slices, wished.cut).into_iter().map(|slices| profile.compute_name(slices));
        wishes.extend(names.map(|name| format!("{name}{at}")));
    }
    let layout = if wishes.is_empty() { "-".to_owned() } else { wishes.join(",") };
    (card, layout)
}

/// Takes all steps; at each point what nobody may touch is there.
fn goes_well(card: &mut Card, steps: &[model::plan::PlanStep], guarded: &Guarded) {
    for step in steps {
        card.take(step, None).unwrap_or_else(|fault| panic!("{step}: {fault}"));
        let there = card.identities();
        assert!(guarded.is_subset(&there), "{step} touched {:?}", guarded.difference(&there));
    }
}

type Counts = BTreeMap<(String, u32), u64>;

/// The compute instances that are there or wished for, by profile and slices.
fn counted(card: &Card, layout: &str) -> (Counts, Counts) {
    let catalog = &card.mig().catalog;
    let (mut there, mut wanted) = (Counts::new(), Counts::new());
    for one in &card.mig().instances {
        assert!(!one.compute.is_empty(), "{}@{} is of no use to anybody", one.profile, one.placement.start);
        for compute in &one.compute {
            *there.entry((one.profile.clone(), compute.slices)).or_default() += 1;
        }
    }
    for wish in model::mig::layout::read_wishes(layout, catalog).unwrap() {
        let profile = catalog.profile(catalog.find(&wish.profile).unwrap()).unwrap();
        let own = (1..=profile.compute_slices).find(|slices| profile.compute_name(*slices) == wish.profile);
        let slices = own.unwrap_or(profile.compute_slices);
        *wanted.entry((profile.profile.clone(), slices)).or_default() += wish.count;
    }
    (there, wanted)
}

fn holds(card: &Card, layout: &str, plan: &Plan, replace_foreign: bool) {
    let guarded = card.guarded(replace_foreign);
    let before = card.look().former(plan).expect("what was there is known");
    assert!(plan.stays_in_bounds());
    let mut done = card.clone();
    goes_well(&mut done, &plan.steps, &guarded);
    assert_eq!(plan.postcondition.unmet(&done.look()), []);
    let (there, wanted) = counted(&done, layout);
    assert_eq!(there, wanted, "{layout} from {:?}", card.shown());
    assert!(done.plan(layout, true).is_ok_and(|again| again.steps.is_empty()), "what is so needs nothing");
    for taken in 0..=plan.steps.len() {
        let mut back = card.clone();
        goes_well(&mut back, &plan.steps[..taken], &guarded);
        let steps = before.steps_back(&back.look());
        goes_well(&mut back, &steps, &guarded);
        assert!(before.is_back(&back.look()));
        assert_eq!(back.shown(), card.shown(), "after {taken} steps");
    }
}

#[test]
fn every_plan_ends_in_what_is_wished_touches_nothing_of_anybody_and_is_undone_from_every_point() {
    let (planned, refused, stepped) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&any_case(), |case| {
        let (card, layout) = made(&case);
        match card.plan(&layout, case.replace_foreign) {
            Ok(plan) => {
                planned.set(planned.get() + 1);
                stepped.set(stepped.get() + plan.steps.len());
                holds(&card, &layout, &plan, case.replace_foreign);
            }
            Err(refusal) => {
                refused.set(refused.get() + 1);
                prop_assert!(refusal.code() != "conflict" && refusal.code() != "invalid_argument", "{refusal}");
            }
        }
        Ok(())
    });
    println!("{} planned with {} steps, {} refused", planned.get(), stepped.get(), refused.get());
    result.unwrap();
    assert!(planned.get() > 150 && refused.get() > 150 && stepped.get() > 500);
}
