//! Conditions of the check-in: built again from what is, keeping since when each has stood.

use crate::condition::{Condition, ConditionStatus};
use crate::time::UnixMillis;

/// One statement that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Stable type, which is also its reason code.
    pub kind: &'static str,
    /// For people: the thing, what was reported, what to do.
    pub message: String,
}

/// The statements as conditions; one that stood before keeps its `since`.
#[must_use]
pub fn conditions(standing: Vec<Standing>, previous: &[Condition], now: UnixMillis) -> Vec<Condition> {
    let since = |kind: &str| previous.iter().find(|c| c.kind == kind).map_or(now, |c| c.since);
    let condition = |s: Standing| Condition {
        since: since(s.kind),
        kind: s.kind.to_owned(),
        status: ConditionStatus::True,
        reason: s.kind.to_owned(),
        message: s.message,
    };
    standing.into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_kept_while_it_stands_and_anew_when_it_comes_back() {
        let standing = || vec![Standing { kind: "unauthenticated", message: "m".into() }];
        let first = conditions(standing(), &[], UnixMillis(1));
        let second = conditions(standing(), &first, UnixMillis(2));
        assert_eq!(second[0].since, UnixMillis(1));
        let gone = conditions(Vec::new(), &second, UnixMillis(3));
        assert_eq!(conditions(standing(), &gone, UnixMillis(4))[0].since, UnixMillis(4));
    }
}
