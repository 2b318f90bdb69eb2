//! When a credential is renewed: at two thirds of its life and up to a tenth of it later, or when a manager asks for it, and never
//! by a whole fleet at once.

use crate::checkin::manager::ManagerAddress;
use crate::checkin::slot::Slot;
use crate::time::{BootMillis, Now, UnixMillis};

/// `rotate_credential: true` means within so long, in milliseconds.
pub const WITHIN_MS: u64 = 3_600_000;
/// A renewal that failed is tried again after so long, in milliseconds, in the own slot.
pub const AGAIN_AFTER_MS: u64 = 60_000;
/// A manager without the path is asked again after so long, in milliseconds.
pub const NO_PATH_MS: u64 = 3_600_000;
/// After a renewal the wish for another one counts only after so long, in milliseconds: a manager that asks with every reply would
/// have to sign with every heartbeat.
pub const REST_MS: u64 = 600_000;

/// What a reply reports about the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotate {
    /// It stays.
    #[default]
    No,
    /// It is to be changed within an hour.
    WithinAnHour,
    /// It is to be changed in the host's own slot.
    Now,
}

/// When the next renewal is due. One at a time; nothing in it reads a clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RenewalSchedule {
    /// A manager asked for it.
    wished_at: Option<BootMillis>,
    not_before: BootMillis,
    last: Option<BootMillis>,
    /// The managers that were of no use in this round.
    useless: Vec<ManagerAddress>,
}

impl RenewalSchedule {
    /// A reply reported this of the credential.
    pub fn on_reply(&mut self, now: BootMillis, rotate: Rotate, slot: Slot, interval_s: u64) {
        let rests = self.last.is_some_and(|at| now.since(at) < REST_MS);
        let wished = match rotate {
            Rotate::No => return,
            Rotate::WithinAnHour | Rotate::Now if rests => return,
            Rotate::WithinAnHour => now.plus(slot.hash() % WITHIN_MS),
            Rotate::Now => slot.next_after(now, interval_s),
        };
        // A wish that is repeated with every reply must not be put off by it.
        self.wished_at = Some(self.wished_at.map_or(wished, |before| before.min(wished)));
    }

    /// When it is due at `now`; in the past = at once. `life` is from when to when the newest credential is good.
    #[must_use]
    pub fn due(&self, now: Now, life: Option<(UnixMillis, UnixMillis)>, hash: u64) -> Option<BootMillis> {
        let of_age = life.map(|(from, until)| {
            let left = renew_at(from, until, hash).0.saturating_sub(now.wall.0);
            now.boot.plus(u64::try_from(left).unwrap_or(0))
        });
        let due = [self.wished_at, of_age].into_iter().flatten().min()?;
        Some(due.max(self.not_before))
    }

    /// Whom of these to ask now: the first that was not of no use in this round.
    #[must_use]
    pub fn whom<'a>(&self, managers: &'a [ManagerAddress]) -> Option<&'a ManagerAddress> {
        let is_useless = |one: &ManagerAddress| self.useless.iter().any(|other| other.same_place(one));
        managers.iter().find(|one| !is_useless(one)).or(managers.first())
    }

    /// That manager was of no use, and another one may be. True where one of these is asked at once; otherwise the round is over.
    pub fn goes_on(&mut self, manager: &ManagerAddress, managers: &[ManagerAddress]) -> bool {
        self.useless.push(manager.clone());
        managers.iter().any(|one| !self.useless.iter().any(|other| other.same_place(one)))
    }

    /// It has brought a new credential.
    pub fn succeeded(&mut self, now: BootMillis) {
        *self = Self { not_before: now.plus(AGAIN_AFTER_MS), last: Some(now), ..Self::default() };
    }

    /// It failed: again in the own slot, after a while, and not before the manager asked.
    pub fn failed(&mut self, now: BootMillis, slot: Slot, interval_s: u64, asked_ms: Option<u64>) {
        self.useless.clear();
        let earliest = now.plus(asked_ms.unwrap_or(0).max(AGAIN_AFTER_MS));
        self.not_before = slot.next_after(BootMillis(earliest.0.saturating_sub(1)), interval_s);
    }

    /// The manager does not have the path.
    pub fn has_no_path(&mut self, now: BootMillis) {
        self.useless.clear();
        self.not_before = now.plus(NO_PATH_MS);
    }
}

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

    const UP: BootMillis = BootMillis(864_000_000);

    fn slot(key: &str) -> Slot {
        Slot::anchored(key, UP, UnixMillis(1_790_000_000_000))
    }

    fn at(boot: BootMillis) -> Now {
        Now { boot, wall: UnixMillis(1_790_000_000_000 + i64::try_from(boot.since(UP)).unwrap()) }
    }

    #[test]
    fn a_wish_within_an_hour_has_its_own_instant_for_each_host_and_is_not_put_off_by_being_repeated() {
        let mut hours = Vec::new();
        for n in 0..1000 {
            let slot = slot(&format!("host-{n}"));
            let mut renewal = RenewalSchedule::default();
            for beat in 0..200 {
                renewal.on_reply(UP.plus(beat * 30_000), Rotate::WithinAnHour, slot, 30);
            }
            let due = renewal.due(at(UP), None, 0).unwrap();
            assert_eq!(due, UP.plus(slot.hash() % WITHIN_MS));
            hours.push(due.since(UP) / 600_000);
        }
        assert!((0..6).all(|sixth| hours.iter().filter(|h| **h == sixth).count() > 100), "not spread");
    }

    #[test]
    fn a_wish_for_now_is_due_in_the_own_slot_and_is_granted_once_in_a_while() {
        let (mut renewal, slot) = (RenewalSchedule::default(), slot("k"));
        renewal.on_reply(UP, Rotate::Now, slot, 30);
        let due = renewal.due(at(UP), None, 0).unwrap();
        assert_eq!(due, slot.next_after(UP, 30));
        renewal.succeeded(due);
        renewal.on_reply(due.plus(REST_MS - 1), Rotate::Now, slot, 30);
        assert_eq!(renewal.due(at(due), None, 0), None);
        renewal.on_reply(due.plus(REST_MS), Rotate::Now, slot, 30);
        assert!(renewal.due(at(due), None, 0).is_some());
    }

    #[test]
    fn age_counts_on_the_wall_and_a_failure_waits_for_the_own_slot_and_as_long_as_was_asked() {
        let (mut renewal, slot, now) = (RenewalSchedule::default(), slot("k"), at(UP));
        let life = Some((now.wall, UnixMillis(now.wall.0 + 3_000_000)));
        assert_eq!(renewal.due(now, life, 0), Some(UP.plus(2_000_000)));
        let later = Now { wall: UnixMillis(now.wall.0 + 2_500_000), ..now };
        assert_eq!(renewal.due(later, life, 0), Some(UP));
        renewal.failed(UP, slot, 30, None);
        let again = renewal.due(later, life, 0).unwrap();
        assert!((60_000..90_000).contains(&again.since(UP)) && slot.next_after(BootMillis(again.0 - 1), 30) == again);
        renewal.failed(UP, slot, 30, Some(200_000));
        assert!((200_000..230_000).contains(&renewal.due(later, life, 0).unwrap().since(UP)));
        renewal.has_no_path(UP);
        assert_eq!(renewal.due(later, life, 0), Some(UP.plus(NO_PATH_MS)));
    }

    #[test]
    fn each_manager_is_asked_once_in_a_round_and_then_the_first_again() {
        let (mut renewal, a, b) =
            (RenewalSchedule::default(), ManagerAddress::new("a", 443), ManagerAddress::new("b", 443));
        let all = [a.clone(), b.clone()];
        assert_eq!(renewal.whom(&all), Some(&a));
        assert!(renewal.goes_on(&a, &all));
        assert_eq!(renewal.whom(&all), Some(&b));
        assert!(!renewal.goes_on(&b, &all));
        renewal.failed(UP, slot("k"), 30, None);
        assert_eq!(renewal.whom(&all), Some(&a));
        assert!(!renewal.goes_on(&a, &all[..1]) && renewal.whom(&[]).is_none());
    }

    #[test]
    fn hosts_differ() {
        let at = |hash| renew_at(UnixMillis(0), UnixMillis(90 * 86_400_000), hash);
        assert_ne!(at(1), at(123_456_789));
    }
}
