//! The planner against every layout of every product, from an empty GPU and from what may be there.

use crate::oracle::{Want, World};
use model::mig::products::{PRODUCTS, Product};
use model::mig::{MigRefusal, layout, plan};

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn world(name: &str) -> World {
    World::of(Product::find(name).unwrap().catalog().unwrap())
}

/// Compares one plan with the oracle; true where it is possible.
fn compare(world: &World, present: &[(u32, usize, bool)], wants: &[Want]) -> bool {
    let (there, wishes) = (world.present(present), world.wishes(wants));
    let ours = plan(&world.catalog, &there, &wishes);
    let about = || format!("{}: from {there:?} to {}", world.catalog.product(), layout::wishes_text(&wishes));
    let best = world.best(present, wants);
    match (&ours, &best) {
        (Ok(plan), Some(best)) => {
            assert_eq!(plan.keep.len(), best.kept, "{}", about());
            assert_eq!(plan.rest.iter().map(|(_, count)| *count).collect::<Vec<_>>(), best.rest, "{}", about());
            assert_eq!(world.after(plan), best.instances, "{}", about());
            assert_eq!(plan.destroy.len(), present.len() - best.kept, "{}", about());
            let used = there.iter().filter(|one| one.in_use).map(|one| &one.instance);
            assert!(used.into_iter().all(|used| plan.keep.iter().any(|kept| kept.instance == *used)), "{}", about());
        }
        (Err(refused), None) => {
            assert!(!matches!(refused.why, MigRefusal::TooManyLayouts { .. }), "{}", about());
            let blocked = matches!(refused.why, MigRefusal::InUseBlocks { .. } | MigRefusal::InUseNotWanted { .. });
            assert_eq!(blocked, world.best(&[], wants).is_some(), "{}: {:?}", about(), refused.why);
            check_largest(world, present, wants, &refused.largest, &about());
        }
        _ => panic!("{}: {ours:?}, and the oracle says {best:?}", about()),
    }
    best.is_some()
}

fn check_largest(
    world: &World,
    present: &[(u32, usize, bool)],
    wants: &[Want],
    largest: &[model::mig::Wish],
    about: &str,
) {
    let part: Vec<Want> =
        largest.iter().map(|wish| (world.catalog.find(&wish.profile).unwrap(), wish.start, wish.count)).collect();
    for (number, start, count) in &part {
        let wanted = wants.iter().filter(|(n, s, _)| n == number && s == start).map(|(_, _, count)| count).sum::<u64>();
        assert!(*count <= wanted, "{about}: {largest:?} is no part of it");
    }
    let size = world.largest(present, wants);
    assert_eq!(part.iter().map(|(_, _, count)| count).sum::<u64>(), size.0, "{about}: {largest:?}");
    assert_eq!(
        world.largest(present, &part),
        size,
        "{about}: {largest:?} does not fit as a whole or is not the largest"
    );
}

fn unpinned(counts: &[u64]) -> Vec<Want> {
    counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(number, count)| (number, None, *count)).collect()
}

/// Something that may be there, and something that may be wanted: much of it impossible, some of it with places.
fn roll(world: &World, dice: &mut Dice) -> (Vec<(u32, usize, bool)>, Vec<Want>) {
    let pick = |dice: &mut Dice| &world.layouts[dice.below(world.layouts.len() as u64) as usize];
    let used = dice.below(4);
    let present =
        pick(dice).instances.iter().map(|(start, number)| (*start, *number, dice.below(4) < used)).collect::<Vec<_>>();
    let mut wants: Vec<Want> = Vec::new();
    // Half of the wishes begin with what is there or with a layout that is possible, so that not nearly all are refused.
    let base: Vec<(u32, usize)> = match dice.below(4) {
        0 => present.iter().map(|(start, number, _)| (*start, *number)).collect(),
        1 | 2 => pick(dice).instances.clone(),
        _ => Vec::new(),
    };
    let mut want = |dice: &mut Dice, start: u32, number: usize| {
        let start = (dice.below(5) == 0).then_some(start);
        match wants.iter_mut().find(|(n, s, _)| *n == number && *s == start) {
            Some((_, Some(_), _)) => {}
            Some((_, None, count)) => *count += 1,
            None => wants.push((number, start, 1)),
        }
    };
    for (start, number) in base {
        if dice.below(6) > 0 {
            want(dice, start, number);
        }
    }
    for _ in 0..dice.below(3) {
        let number = dice.below(world.catalog.profiles().len() as u64) as usize;
        let places = &world.catalog.profiles()[number].placements;
        let start = places[dice.below(places.len() as u64) as usize].start;
        want(dice, start, number);
    }
    (present, wants)
}

fn from_random(world: &World, seed: u64, rounds: u32) {
    let mut dice = Dice(seed);
    let mut possible = 0;
    for _ in 0..rounds {
        let (present, wants) = roll(world, &mut dice);
        possible += u32::from(compare(world, &present, &wants));
    }
    println!("{}: {rounds} from layouts with some in use, {possible} of them possible", world.catalog.product());
    assert!(possible > rounds / 10 && possible < rounds * 9 / 10, "{possible} of {rounds}");
}

fn from_empty(world: &World, each: usize) {
    let universe = world.universe();
    let possible = universe.iter().step_by(each).filter(|counts| compare(world, &[], &unpinned(counts))).count();
    println!(
        "{}: {} layouts of {} multisets; {} of {} wishes planned from empty, {possible} possible",
        world.catalog.product(),
        world.layouts.len(),
        world.multisets() - 1,
        universe.len().div_ceil(each),
        universe.len() - 1,
    );
}

#[test]
fn there_are_as_many_layouts_as_are_known_of_each_product() {
    for (name, layouts, multisets) in [("A30-24GB", 76, 19), ("A100-40GB", 2319, 127), ("RTX-PRO-6000-96GB", 717, 114)]
    {
        let world = world(name);
        assert_eq!((world.layouts.len(), world.multisets() - 1), (layouts, multisets), "{name}");
    }
}

#[test]
fn every_wish_on_an_a100_from_empty() {
    let world = world("A100-40GB");
    assert_eq!(world.universe().len() - 1, 3839);
    from_empty(&world, 1);
}

#[test]
fn every_wish_on_an_a30_from_empty_and_from_every_layout() {
    let world = world("A30-24GB");
    from_empty(&world, 1);
    for laid in &world.layouts {
        let present: Vec<_> = laid.instances.iter().map(|(start, number)| (*start, *number, start % 2 == 0)).collect();
        for counts in world.universe().iter().step_by(7) {
            compare(&world, &present, &unpinned(counts));
        }
    }
}

#[test]
fn wishes_beside_what_is_there() {
    for (name, rounds) in [("A30-24GB", 1500), ("A100-40GB", 1500), ("H100-80GB", 500), ("RTX-PRO-6000-96GB", 1000)] {
        from_random(&world(name), 0x6170_u64 + u64::from(rounds), rounds);
    }
}

#[test]
fn wishes_on_a_gpu_with_attributes_from_empty() {
    from_empty(&world("RTX-PRO-6000-96GB"), 101);
}

#[test]
#[ignore = "minutes: every wish of every product, and many thousands beside what is there"]
fn every_wish_of_every_product() {
    for product in &PRODUCTS {
        let world = world(product.name);
        from_empty(&world, 1);
        from_random(&world, 0xb200, 40_000);
    }
}
