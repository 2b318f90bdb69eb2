//! How far the manager's clock is from ours.

use crate::time::UnixMillis;

/// From here on the skew is a condition: certificates and deadlines begin to be misjudged, in milliseconds.
pub const SKEW_MATTERS_MS: u64 = 60_000;

/// The manager's clock minus ours, in milliseconds. The manager is taken to have read its clock in the middle of the exchange,
/// whose length is measured on CLOCK_BOOTTIME: a step of our wall clock meanwhile does not count twice.
#[must_use]
pub fn skew_ms(server: UnixMillis, received: UnixMillis, exchange_ms: u64) -> i64 {
    let half = i64::try_from(exchange_ms / 2).unwrap_or(i64::MAX);
    server.0.saturating_sub(received.0.saturating_sub(half))
}

/// True where the skew is worth a condition.
#[must_use]
pub const fn matters(skew_ms: i64) -> bool {
    skew_ms.unsigned_abs() >= SKEW_MATTERS_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_exchange_counts() {
        assert_eq!(skew_ms(UnixMillis(10_050), UnixMillis(10_100), 100), 0);
        assert_eq!(skew_ms(UnixMillis(3_610_000), UnixMillis(10_000), 0), 3_600_000);
        assert_eq!(skew_ms(UnixMillis(0), UnixMillis(7_200_000), 0), -7_200_000);
        assert!(!matters(59_999) && matters(60_000) && matters(-60_000));
    }

    #[test]
    fn absurd_clocks_do_not_overflow() {
        assert_eq!(skew_ms(UnixMillis(i64::MAX), UnixMillis(i64::MIN), u64::MAX), i64::MAX);
        assert!(matters(i64::MIN));
    }
}
