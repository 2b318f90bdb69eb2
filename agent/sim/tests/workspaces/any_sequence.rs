//! Any sequence of documents, crashes and outages of Docker ends in the last document, within the policy, and on the way nothing is
//! done that never may be.

use crate::life::Life;
use crate::life_faults::Fault;
use crate::wishes::{desired, on_gpu, whole_gpu, wish};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A workspace of a document: which, in which variant, and how it is wanted.
type Entry = (usize, usize, usize);

/// What may be wished of a workspace.
fn entry((number, variant, state): Entry) -> Value {
    let id = format!("w{number}");
    let home = json!({ "volumes": [{ "name": format!("home{number}"), "target": "/home/u" }] });
    let any_gpu = |context: &str| json!({ "gpu": { "mode": "share", "count": 1 }, "security_context": context });
    let wished = match variant {
        0 => wish(&id, 'a', home),
        1 => wish(&id, 'b', home),
        2 => on_gpu(&id, 'a', "lab", 0),
        3 => on_gpu(&id, 'b', "home", 0),
        4 => wish(&id, 'a', any_gpu("lab")),
        5 => wish(&id, 'a', any_gpu("home")),
        6 => whole_gpu(&id, 'a', 2),
        7 => wish(&id, 'a', json!({ "gpu": { "mode": "passthrough", "count": 1 } })),
        8 => wish(&id, 'd', json!({ "ports": [{ "container": 80, "host": 9000 + number }] })),
        9 => wish(&id, 'a', json!({ "image": "registry.elsewhere/x:latest" })),
        _ => wish(&id, 'a', json!({ "cores": 100_000 })),
    };
    desired(&wished, ["running", "running", "running", "stopped", "paused", "deleted"][state])
}

/// A document, and what goes wrong while it is in force.
#[derive(Debug, Clone)]
struct Reign {
    entries: Vec<Entry>,
    faults: Vec<(usize, Fault)>,
    turns: usize,
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec((0_usize..4, 0_usize..11, 0_usize..6), 0..5)
}

fn reign() -> impl Strategy<Value = Reign> {
    let faults = proptest::collection::vec((0_usize..12, proptest::sample::select(&Fault::ALL[..])), 0..4);
    (entries(), faults, 1_usize..14).prop_map(|(entries, faults, turns)| Reign { entries, faults, turns })
}

fn wishes(entries: &[Entry]) -> Vec<Value> {
    let mut seen = Vec::new();
    let fresh = entries.iter().filter(|(number, ..)| {
        let is_new = !seen.contains(number);
        seen.push(*number);
        is_new
    });
    fresh.map(|one| entry(*one)).collect()
}

fn live(reigns: &[Reign], last: &[Entry], live_restore: bool) {
    let mut life = Life::new(&[]);
    life.docker.rules.live_restore = live_restore;
    life.max_removals = 2;
    for reign in reigns {
        life.wish(&wishes(&reign.entries));
        for turn in 0..reign.turns {
            let fault = reign.faults.iter().find(|(at, _)| *at == turn).map(|(_, fault)| *fault);
            life.step(fault);
        }
    }
    life.lift_all();
    life.wish(&wishes(last));
    // What waits for a person is given what it waits for: confirmed removals, and another try.
    for _ in 0..3 {
        life.memory.removals.is_confirmed = true;
        (0..4).for_each(|number| life.memory.try_again(&format!("w{number}").parse().unwrap()));
        life.settle(&[]);
    }
    let unmet = life.unmet();
    assert!(unmet.is_empty(), "{unmet:#?}\n{:#?}\n{}", life.shown, life.story());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_in_the_last_document(
        reigns in proptest::collection::vec(reign(), 1..5),
        last in entries(),
        live_restore in any::<bool>(),
    ) {
        live(&reigns, &last, live_restore);
    }
}
