//! How often the MIG layout of a GPU may change: counted in the hand, for a front that does not count.
//!
//! The steps of one change follow each other closely: they are one burst. The front allows a GPU `host.mig.changes_per_minute` changes in
//! a minute. The hand allows twice as many bursts, because the way back of a change that failed or was not confirmed is a burst of its
//! own, and refusing it would leave the GPU between two layouts.

use model::ids::PciAddress;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A step that begins this long after the end of the one before is of another change. A look at a loaded GPU and a call to its
/// driver take several seconds each.
const GAP: Duration = Duration::from_secs(30);
/// Most steps of one change: no GPU has more than 8 instances, each destroyed and created with its compute instances, and the way back.
const STEPS_MAX: u32 = 64;
/// The time in which bursts are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The bursts of each GPU.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    by_gpu: BTreeMap<PciAddress, Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// When each burst of the last minute began.
    begins: VecDeque<Instant>,
    /// Steps of the last burst.
    steps: u32,
    /// When its last step began or ended.
    last: Option<Instant>,
}

impl Bursts {
    /// Counts a step that begins now.
    ///
    /// # Errors
    /// The policy allows no change now; the time after which it does.
    pub(super) fn begin(&mut self, gpu: PciAddress, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let recent = self.by_gpu.entry(gpu).or_default();
        let goes_on = recent.last.is_some_and(|last| now.saturating_duration_since(last) < GAP);
        if goes_on && recent.steps < STEPS_MAX {
            recent.steps = recent.steps.saturating_add(1);
            recent.last = Some(now);
            return Ok(());
        }
        recent.begins.retain(|begin| now.saturating_duration_since(*begin) < WINDOW);
        let most = usize::try_from(per_minute.saturating_mul(2)).unwrap_or(usize::MAX);
        if recent.begins.len() >= most {
            let oldest = recent.begins.front().copied();
            return Err(oldest.map_or(WINDOW, |begin| WINDOW.saturating_sub(now.saturating_duration_since(begin))));
        }
        recent.begins.push_back(now);
        (recent.steps, recent.last) = (1, Some(now));
        Ok(())
    }

    /// A step has ended: the next one of its change follows from here.
    pub(super) fn end(&mut self, gpu: PciAddress, now: Instant) {
        if let Some(recent) = self.by_gpu.get_mut(&gpu) {
            recent.last = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gpu(bus: u8) -> PciAddress {
        PciAddress { domain: 0, bus, device: 0, function: 0 }
    }

    #[test]
    fn the_steps_of_a_change_are_one_however_slow_each_is() {
        let (mut bursts, mut now) = (Bursts::default(), Instant::now());
        for _ in 0..28 {
            assert_eq!(bursts.begin(gpu(1), 1, now), Ok(()));
            now += 55 * SECOND;
            bursts.end(gpu(1), now);
            now += 10 * SECOND;
        }
    }

    #[test]
    fn a_change_and_its_way_back_are_allowed_and_no_third() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        assert_eq!(bursts.begin(gpu(1), 1, now), Ok(()));
        assert_eq!(bursts.begin(gpu(1), 1, now + SECOND), Ok(()));
        assert_eq!(bursts.begin(gpu(1), 1, now + 31 * SECOND), Ok(()));
        // Within a minute, but with a gap: a third change.
        bursts.end(gpu(1), now);
        assert_eq!(bursts.begin(gpu(1), 1, now + 40 * SECOND), Err(20 * SECOND));
        assert_eq!(bursts.begin(gpu(2), 1, now + 40 * SECOND), Ok(()), "another GPU has its own count");
        assert_eq!(bursts.begin(gpu(1), 1, now + 61 * SECOND), Ok(()));
    }

    #[test]
    fn a_change_without_end_is_several() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        let taken = (0..1000).take_while(|_| bursts.begin(gpu(1), 1, now).is_ok()).count();
        assert_eq!(taken, 2 * usize::try_from(STEPS_MAX).unwrap());
    }

    #[test]
    fn none_is_allowed_where_the_policy_allows_none() {
        assert_eq!(Bursts::default().begin(gpu(1), 0, Instant::now()), Err(WINDOW));
    }
}
