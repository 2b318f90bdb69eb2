//! A great many answers of a manager, made up and spoilt, through the parsers that the client has: nothing panics, nothing comes
//! out of them but what the contract has, and each costs a bounded heap. `ANSWERS=1000000` for more than `cargo test` looks at.

use fuzz::{mutated, pieces, targets};
use peak_alloc::PeakAlloc;
use std::collections::BTreeMap;
use wire::manager::enroll::EnrollResponse;
use wire::manager::reply::{ComeBack, apart, refusal};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// One answer costs no more, whatever it is: a quarter of what a host can spare for it.
const HEAP_MOST_BYTES: usize = 8 << 20;

/// What it is to the client: a status that is refused, an acceptance, an identity, or nothing that can be read.
fn kind(input: &[u8]) -> &'static str {
    let (head, body) = pieces::halves(input);
    let status = std::str::from_utf8(head).unwrap().split(' ').next().unwrap().parse().unwrap();
    let (body, document) = apart(body);
    match (refusal(status, ComeBack::default(), body.as_ref()), body) {
        (Some(refused), _) if refused.code.is_some() => "refused with a code",
        (Some(_), _) => "refused without a code",
        (None, None) => "unreadable",
        (None, Some(_)) if document.is_some() => "accepted with a document",
        (None, Some(body)) if EnrollResponse::read(body.clone()).is_ok() => "an identity",
        (None, Some(_)) => "accepted",
    }
}

#[test]
fn no_answer_breaks_a_parser_or_costs_more_than_8_mib() {
    let count = std::env::var("ANSWERS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let (mut kinds, mut peak) = (BTreeMap::new(), 0);
    for number in 0..count {
        let input = mutated::answer(number);
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        (targets::reply::TARGET.run)(&input);
        peak = peak.max(HEAP.peak_usage().saturating_sub(before));
        assert!(peak <= HEAP_MOST_BYTES, "answer {number} of {} bytes took {peak} bytes of heap", input.len());
        *kinds.entry(kind(&input)).or_insert(0_u64) += 1;
    }
    println!("{count} answers, at most {} kB each: {kinds:?}", peak / 1024);
    // None of the roads is closed: otherwise most of them would be thrown away at the door.
    assert!(kinds.len() == 6 && kinds.values().all(|seen| *seen * 500 >= count), "{kinds:?}");
}
