//! Instants as plain numbers: the model has no clock and takes what the clock port reports.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Milliseconds on CLOCK_BOOTTIME: never set back, and goes on while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct BootMillis(pub u64);

/// Milliseconds since 1970-01-01 UTC on the wall clock, which anybody may step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnixMillis(pub i64);

/// One instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// CLOCK_BOOTTIME: every timer runs on it.
    pub boot: BootMillis,
    /// The wall clock as the caller believes it, corrected where it knows better: ends of credentials are judged by it.
    pub wall: UnixMillis,
}

/// The whole milliseconds of a span; the largest number where it does not fit.
#[must_use]
pub fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl BootMillis {
    /// The instant so many milliseconds later.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to here; 0 where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl UnixMillis {
    /// The instant of an RFC 3339 text, as Docker writes them: `2026-11-28T16:17:09.123456789Z`.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|instant| Self(instant.as_millisecond()))
    }

    /// For people: `2026-11-28 16:17:09 UTC`; milliseconds as they are where no calendar reaches.
    #[must_use]
    pub fn to_utc(self) -> String {
        let instant = jiff::Timestamp::from_millisecond(self.0);
        instant
            .map_or_else(|_| format!("{} ms since 1970", self.0), |it| it.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_printed_as_date_does() {
        assert_eq!(UnixMillis(951_868_799_999).to_utc(), "2000-02-29 23:59:59 UTC");
        assert_eq!(UnixMillis(1_999).to_utc(), "1970-01-01 00:00:01 UTC");
        assert_eq!(UnixMillis::from_rfc3339("2000-02-29T23:59:59.999123456Z"), Some(UnixMillis(951_868_799_999)));
        assert_eq!(UnixMillis::from_rfc3339("yesterday"), None);
        assert_eq!(UnixMillis(i64::MAX).to_utc(), "9223372036854775807 ms since 1970");
    }
}
