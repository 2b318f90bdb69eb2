//! The clock: CLOCK_BOOTTIME for every timer, the wall clock for printing only.

use crate::readiness;
use model::ports::Clock;
use model::time::{BootMillis, UnixMillis};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The kernel's clocks. A sleep is one timer descriptor, armed with an absolute instant: nothing wakes up in between.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

fn millis(clock: ClockId) -> i64 {
    // Reading one of the two fails only where the kernel lacks it; Linux has had both since 2.6.39.
    clock_gettime(clock).map_or(0, |now| now.tv_sec().saturating_mul(1000).saturating_add(now.tv_nsec() / 1_000_000))
}

async fn sleep_by_timer(when: BootMillis) -> io::Result<()> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(TimerClock::CLOCK_BOOTTIME, flags)?;
    let instant = TimeSpec::from_duration(Duration::from_millis(when.0));
    timer.set(Expiration::OneShot(instant), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
    let timer = readiness::readable(OwnedFd::from(timer))?;
    timer.readable().await.map(drop)
}

impl Clock for BootClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(u64::try_from(millis(ClockId::CLOCK_BOOTTIME)).unwrap_or(0))
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(millis(ClockId::CLOCK_REALTIME))
    }

    async fn sleep_until(&self, when: BootMillis) {
        let left = when.since(self.boot_now());
        if left == 0 {
            return;
        }
        if let Err(error) = sleep_by_timer(when).await {
            // Out of descriptors: the runtime's own timer needs none, and is only wrong across a suspend.
            tracing::debug!(%error, "there is no timer on CLOCK_BOOTTIME; CLOCK_MONOTONIC is used");
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn sleeps_until_the_instant_and_not_much_longer() {
        let clock = BootClock;
        let start = clock.boot_now();
        clock.sleep_until(start.plus(60)).await;
        let slept = clock.boot_now().since(start);
        assert!((60..2_000).contains(&slept), "slept {slept} ms");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_instant_of_the_past_is_no_sleep() {
        let clock = BootClock;
        let start = clock.boot_now();
        clock.sleep_until(BootMillis(0)).await;
        clock.sleep_until(start).await;
        assert!(clock.boot_now().since(start) < 1_000);
    }

    #[test]
    fn boot_time_is_the_uptime_of_the_kernel() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: u64 = uptime.split('.').next().unwrap().parse().unwrap();
        let ours = BootClock.boot_now().0 / 1000;
        assert!(ours.abs_diff(seconds) <= 2, "{ours} against {seconds}");
        assert!(BootClock.wall_now().0 > 1_700_000_000_000);
    }
}
