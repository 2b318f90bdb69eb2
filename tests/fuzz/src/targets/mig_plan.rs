//! MIG plans: whatever is there and wanted, on whatever GPU, a plan never touches what is in use and gives what was asked for.

use crate::bounds::Bounds;
use crate::{Target, pieces};
use model::mig::layout::{read_present, read_wishes};
use model::mig::products::Product;
use model::mig::{MigCatalog, MigPlan, Present, Wish, draw, free, plan};
use std::time::Duration;

/// The target.
pub const TARGET: Target = Target {
    name: "mig_plan",
    what: "a product or its profiles as JSON, what is there, what is wanted: a line each",
    run,
    seeds,
    words: &WORDS,
    // A search looks at so many layouts and no more, however few bytes describe the GPU.
    bounds: Bounds { heap: 4 << 20, heap_per_byte: 512, time: Duration::from_secs(20), ..Bounds::USUAL },
};

const WORDS: [&str; 18] = [
    "A100-40GB\n",
    "RTX-PRO-6000-96GB\n",
    "A30-24GB\n",
    "1g.5gb",
    "2g.10gb",
    "3g.20gb@4",
    "1c.3g.20gb",
    "7g.40gb",
    "1g.24gb+me.all",
    "1g.24gb-me",
    ":in-use",
    "@0",
    ":7",
    ",",
    "\"placements\":[{\"start\":0,\"size\":1}]",
    "\"instances\":64",
    "\"compute_slices\":1",
    "18446744073709551615",
];

fn run(input: &[u8]) {
    let lines = pieces::lines(input, 3);
    let [product, present, want] = lines.as_slice() else { return };
    let catalog = match Product::find(product) {
        Some(product) => product.catalog(),
        None => serde_json::from_str::<MigCatalog>(product).ok(),
    };
    let Some(catalog) = catalog else { return };
    let (Ok(present), Ok(wishes)) = (read_present(present, &catalog), read_wishes(want, &catalog)) else { return };
    let outcome = plan(&catalog, &present, &wishes);
    match &outcome {
        Ok(plan) => {
            check(&catalog, &present, &wishes, plan);
            assert!(draw::plan(&catalog, &present, plan).len() > 8);
        }
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            for part in &refused.largest {
                assert!(wishes.iter().any(|wish| catalog.find(&wish.profile) == catalog.find(&part.profile)), "{part}");
            }
        }
    }
    if let Ok(free) = free(&catalog, &present) {
        assert_eq!(free.len(), catalog.profiles().len());
    }
}

fn check(catalog: &MigCatalog, present: &[Present], wishes: &[Wish], plan: &MigPlan) {
    let after: Vec<_> =
        plan.keep.iter().map(|kept| &kept.instance).chain(plan.create.iter().map(|made| &made.instance)).collect();
    let mut occupied = 0;
    for instance in &after {
        let profile =
            catalog.find(&instance.profile).and_then(|number| catalog.profile(number)).expect("a known profile");
        let mask = profile.placement(instance.start).expect("a known place").mask();
        assert_eq!(occupied & mask, 0, "{instance} overlaps");
        occupied |= mask;
    }
    for one in present {
        let stays = plan.keep.iter().any(|kept| kept.instance == one.instance);
        assert!(stays || !one.in_use, "{} is in use", one.instance);
        assert!(stays != plan.destroy.contains(&one.instance), "{} stays or goes", one.instance);
    }
    for wish in wishes.iter().filter(|wish| wish.start.is_some() && wish.count > 0) {
        let number = catalog.find(&wish.profile);
        let there = after.iter().any(|one| catalog.find(&one.profile) == number && Some(one.start) == wish.start);
        assert!(there, "{wish} is not there");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let custom =
        Product::find("RTX-PRO-6000-96GB").and_then(Product::catalog).map(|catalog| serde_json::to_string(&catalog));
    let custom = custom.and_then(Result::ok).unwrap_or_default();
    let texts = [
        "A100-40GB\n1g.5gb@0,1g.5gb@2:in-use,1g.5gb@4,1g.5gb@6\n1g.5gb:4,2g.10gb:1".to_owned(),
        "A30-24GB\n-\n1g.6gb:18446744073709551615,4g.24gb".to_owned(),
        "0x233010DE\n1c.3g.40gb@0:in-use,2c.3g.40gb@0\n1c.3g.40gb:3,1c.3g.40gb@4:2".to_owned(),
        "RTX-PRO-6000-96GB\n2g.48gb@0:in-use\n1g.24gb+me.all,1g.24gb-me".to_owned(),
        "B200-180GB\n7g.180gb@0\n1g.23gb@0,1g.23gb@0".to_owned(),
        format!("{custom}\n1g.24gb@3\n2g.48gb@0,2g.48gb@6"),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
