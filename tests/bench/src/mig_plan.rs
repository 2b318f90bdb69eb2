//! B10: MIG plans in memory: every wish of an A100 from an empty GPU, and wishes beside what is there.

use crate::Ground;
use crate::report::{Figure, Goal, Row};
use crate::turns::{median, percentile};
use anyhow::{Context, ensure};
use model::mig::layout::{read_present, read_wishes};
use model::mig::products::Product;
use model::mig::{MigCatalog, Present, Wish, plan};
use std::hint::black_box;
use std::time::Instant;

/// Plans of one wish; the middle of their times counts, since the machine does other things as well.
const TURNS: usize = 9;
/// Multisets within the instance count of each profile, the empty one left out.
const UNIVERSE: usize = 3839;
/// What a change is usually begun from: some of it in use, some not where it would have to be.
const BESIDE: [(&str, &str); 6] = [
    ("1g.5gb@0:in-use,1g.5gb@1,1g.5gb@2,1g.5gb@3,1g.5gb@4,1g.5gb@5,1g.5gb@6", "1g.5gb:2,2g.10gb:1,3g.20gb:1"),
    ("1g.5gb@0,1g.5gb@2,1g.5gb@4,1g.5gb@6", "1g.5gb:4,2g.10gb:1"),
    ("1g.5gb@0:in-use,1g.5gb@2:in-use,1g.5gb@4:in-use", "1g.5gb:3,2g.10gb:1"),
    ("7g.40gb@0:in-use", "1g.5gb:7"),
    ("1g.5gb+me@3:in-use,2g.10gb@4", "1g.5gb+me:1,1g.5gb:3,1g.10gb:1"),
    ("3g.20gb@0,3g.20gb@4", "1g.5gb:1,3g.20gb:2"),
];

/// Measures.
pub fn run(_: &Ground) -> anyhow::Result<Row> {
    let catalog = Product::find("A100-40GB").and_then(Product::catalog).context("the A100 is in the table")?;
    let (mut possible, mut refused) = (Vec::new(), Vec::new());
    for wishes in universe(&catalog) {
        let taken = timed(&catalog, &[], &wishes);
        if plan(&catalog, &[], &wishes).is_ok() { possible.push(taken) } else { refused.push(taken) }
    }
    ensure!(possible.len() + refused.len() == UNIVERSE, "{} wishes", possible.len() + refused.len());
    let mut beside = Vec::new();
    for (there, wanted) in BESIDE {
        let (there, wanted) = (read_present(there, &catalog)?, read_wishes(wanted, &catalog)?);
        beside.push(timed(&catalog, &there, &wanted));
    }
    let slowest = |values: &[f64]| percentile(values.to_vec(), 1.0);
    let all: Vec<f64> = possible.iter().chain(&refused).copied().collect();
    Ok(Row {
        name: "B10",
        what: format!("MIG plan, every one of {UNIVERSE} multisets of an A100-40GB"),
        ours: vec![
            (Figure::new("the slowest wish", slowest(&all), "us"), Goal::AtMost(50.0)),
            (Figure::new("half of the wishes", median(all), "us"), Goal::AtMost(50.0)),
            (Figure::new("the slowest of those that are possible", slowest(&possible), "us"), Goal::AtMost(50.0)),
            (Figure::new("the slowest beside what is there", slowest(&beside), "us"), Goal::AtMost(50.0)),
            (Figure::new("calls to the driver", 0.0, ""), Goal::AtMost(0.0)),
        ],
        peers: Vec::new(),
        notes: vec![
            format!("each wish: the median of {TURNS} plans; {} are possible, {} are refused with the largest part that fits", possible.len(), refused.len()),
            "no peer decides in memory: mig-parted creates and destroys instances, up to 950 of each, to find out that a wish is impossible".into(),
        ],
    })
}

fn universe(catalog: &MigCatalog) -> Vec<Vec<Wish>> {
    let mut all = vec![Vec::new()];
    for profile in catalog.profiles() {
        let with = |sofar: Vec<Wish>| {
            (0..=u64::from(profile.instances)).map(move |count| {
                let wish = Wish { profile: profile.profile.clone(), start: None, count };
                sofar.iter().cloned().chain((count > 0).then_some(wish)).collect()
            })
        };
        all = all.into_iter().flat_map(with).collect();
    }
    all.retain(|wishes: &Vec<Wish>| !wishes.is_empty());
    all
}

/// Microseconds for a plan.
fn timed(catalog: &MigCatalog, present: &[Present], wishes: &[Wish]) -> f64 {
    let once = |_| {
        let begin = Instant::now();
        let planned = black_box(plan(black_box(catalog), black_box(present), black_box(wishes)));
        let taken = begin.elapsed().as_secs_f64() * 1e6;
        drop(planned);
        taken
    };
    median((0..TURNS).map(once).collect())
}
