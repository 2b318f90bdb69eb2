//! B11: how much is created and destroyed for the cases that were run on mig-parted, whose figures stand beside them.

use crate::host::catalog;
use model::mig::layout::{read_present, read_wishes};
use model::mig::plan;

/// Created and destroyed.
type Counts = (usize, usize);

/// What is there, what is wanted, and what of GPU instances is created and destroyed: ours (none where it is refused), and mig-parted's.
const CASES: [(&str, &str, Option<Counts>, Counts); 7] = [
    ("-", "1g.5gb:7", Some((7, 0)), (7, 0)),
    (
        "1g.5gb@0,1g.5gb@1,1g.5gb@2,1g.5gb@3,1g.5gb@4,1g.5gb@5,1g.5gb@6",
        "1g.5gb:2,2g.10gb:1,3g.20gb:1",
        Some((2, 5)),
        (4, 7),
    ),
    ("1g.5gb@0,1g.5gb@1,1g.5gb@2,1g.5gb@3", "3g.20gb:2,1g.5gb:1", None, (6, 10)),
    ("-", "1g.5gb:4,2g.10gb:2", None, (75, 75)),
    ("-", "1g.5gb:3,1g.10gb:2,2g.10gb:2", None, (950, 950)),
    ("1g.5gb@0,1g.5gb@1,2g.10gb@2:in-use", "1g.5gb:3,2g.10gb:1", Some((1, 0)), (0, 2)),
    // What is in use where the wish has no room for it: nothing idle goes for it.
    ("1g.5gb@0,1g.5gb@1,2g.10gb@2:in-use", "7g.40gb:1", None, (0, 2)),
];

#[test]
fn no_more_is_created_and_destroyed_than_has_to_be_and_nothing_for_what_is_impossible() {
    let a100 = catalog("A100-40GB");
    for (there, wanted, ours, theirs) in CASES {
        let found = plan(&a100, &read_present(there, &a100).unwrap(), &read_wishes(wanted, &a100).unwrap());
        let counted = found.as_ref().ok().map(|found| (found.create.len(), found.destroy.len()));
        assert_eq!(counted, ours, "{there} to {wanted}; mig-parted: {theirs:?}; {found:?}");
        let total = |(created, destroyed): Counts| created + destroyed;
        assert!(ours.is_none_or(|ours| total(ours) <= total(theirs)), "{there} to {wanted}");
    }
}
