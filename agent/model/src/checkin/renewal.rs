//! When a certificate is renewed: at two thirds of its life, and up to a tenth of it later, so that a fleet does not ask at once.

use crate::time::UnixMillis;

/// The instant of renewal of a certificate that is valid from `from` to `until`; `hash` spreads the hosts.
#[must_use]
pub fn renew_at(from: UnixMillis, until: UnixMillis, hash: u64) -> UnixMillis {
    let life = until.0.saturating_sub(from.0).max(0);
    let spread = life / 10;
    let late = match u64::try_from(spread) {
        Ok(room) if room > 0 => i64::try_from(hash % room).unwrap_or_default(),
        Ok(_) | Err(_) => 0,
    };
    UnixMillis(from.0.saturating_add(life / 3 * 2).saturating_add(late))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn between_two_thirds_and_that_plus_a_tenth(from in 0_i64..1 << 40, life in 3_i64..1 << 40, hash: u64) {
            let at = renew_at(UnixMillis(from), UnixMillis(from + life), hash).0 - from;
            prop_assert!(at >= life / 3 * 2 && at <= life / 3 * 2 + life / 10);
        }
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_due_at_once() {
        assert_eq!(renew_at(UnixMillis(1000), UnixMillis(0), 77), UnixMillis(1000));
    }

    #[test]
    fn hosts_differ() {
        let at = |hash| renew_at(UnixMillis(0), UnixMillis(90 * 86_400_000), hash);
        assert_ne!(at(1), at(123_456_789));
    }
}
