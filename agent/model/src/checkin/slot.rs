//! The slot of a host, which is its jitter for retries too: the same phase of every interval, spread over the fleet by a hash,
//! kept on CLOCK_BOOTTIME.

use crate::time::{BootMillis, UnixMillis};

/// Shortest interval between heartbeats that a manager may ask for, in seconds.
pub const INTERVAL_MIN_S: u64 = 5;
/// Longest interval between heartbeats that a manager may ask for, in seconds.
pub const INTERVAL_MAX_S: u64 = 300;
/// Longest time between two rounds over the managers while none answers, in seconds.
pub const RETRY_MAX_S: u64 = 30;

/// An interval in seconds, brought into the range that this agent accepts.
#[must_use]
pub const fn clamp_interval(seconds: u64) -> u64 {
    if seconds < INTERVAL_MIN_S {
        INTERVAL_MIN_S
    } else if seconds > INTERVAL_MAX_S {
        INTERVAL_MAX_S
    } else {
        seconds
    }
}

/// FNV-1a with a final mix (splitmix64): the same number on every host and in every version, evenly spread.
#[must_use]
pub fn stable_hash(key: &str) -> u64 {
    let fnv = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    mix(fnv)
}

/// The finalizer of splitmix64.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The phase of one host. The wall clock is read once, here; later steps of it change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    hash: u64,
    wall_minus_boot: i64,
}

impl Slot {
    /// Anchors the slot of `key` (the server id; before enrolment the machine's hash) to both clocks of this instant.
    #[must_use]
    pub fn anchored(key: &str, boot: BootMillis, wall: UnixMillis) -> Self {
        let boot = i64::try_from(boot.0).unwrap_or(i64::MAX);
        Self { hash: stable_hash(key), wall_minus_boot: wall.0.saturating_sub(boot) }
    }

    /// The hash that the phase comes from; also the seed of whatever else must differ between hosts.
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.hash
    }

    /// The first instant of this slot that lies after `now`.
    #[must_use]
    pub fn next_after(self, now: BootMillis, interval_s: u64) -> BootMillis {
        let interval_ms = clamp_interval(interval_s) * 1000;
        let period = i64::try_from(interval_ms).unwrap_or(i64::MAX);
        let phase = i64::try_from(self.hash % interval_ms).unwrap_or_default();
        let on_boot = phase.saturating_sub(self.wall_minus_boot.rem_euclid(period)).rem_euclid(period);
        let this_period = now.0 - now.0 % interval_ms;
        let candidate = BootMillis(this_period).plus(on_boot.unsigned_abs());
        if candidate > now { candidate } else { candidate.plus(interval_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(stable_hash("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7"), 13_722_530_706_526_698_309);
    }

    #[test]
    fn ten_thousand_hosts_are_spread_evenly() {
        let mut seconds = [0_u32; 30];
        for n in 0..10_000_u32 {
            let slot = Slot::anchored(&format!("host-{n}"), BootMillis(0), UnixMillis(0));
            let at = slot.next_after(BootMillis(0), 30).0 - 1;
            seconds[usize::try_from(at / 1000).unwrap()] += 1;
        }
        assert!(seconds.iter().all(|n| (260..=400).contains(n)), "{seconds:?}");
    }

    proptest! {
        #[test]
        fn the_next_slot_is_ahead_within_one_interval_and_at_the_same_wall_phase(
            key in "[a-f0-9]{8}", boot in 0_u64..1 << 50, wall in -(1_i64 << 50)..1_i64 << 50,
            later in 0_u64..1 << 40, interval in 0_u64..1000,
        ) {
            let slot = Slot::anchored(&key, BootMillis(boot), UnixMillis(wall));
            let now = BootMillis(boot + later);
            let next = slot.next_after(now, interval);
            let period = clamp_interval(interval) * 1000;
            prop_assert!(next > now && next.0 <= now.0 + period);
            prop_assert_eq!(slot.next_after(next, interval).0, next.0 + period);
            let wall_then = wall + i64::try_from(next.0).unwrap() - i64::try_from(boot).unwrap();
            prop_assert_eq!(wall_then.rem_euclid(i64::try_from(period).unwrap()).unsigned_abs(), slot.hash() % period);
        }
    }
}
