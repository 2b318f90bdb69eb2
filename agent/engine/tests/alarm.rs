//! The timer of a loop: it is made once for each instant, however often the loop turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use engine::alarm::Alarm;
use model::ports::Clock;
use model::time::{BootMillis, UnixMillis};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Counts the timers that are made, and stands still until it is set.
struct Counting {
    now: watch::Sender<u64>,
    made: AtomicU64,
}

impl Clock for Counting {
    fn boot_now(&self) -> BootMillis {
        BootMillis(*self.now.borrow())
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    async fn sleep_until(&self, when: BootMillis) {
        self.made.fetch_add(1, Ordering::SeqCst);
        let mut now = self.now.subscribe();
        let _gone = now.wait_for(|now| *now >= when.0).await;
    }
}

#[tokio::test]
async fn a_loop_that_turns_makes_one_timer_and_each_instant_its_own() {
    let clock = Arc::new(Counting { now: watch::channel(0).0, made: AtomicU64::new(0) });
    let mut alarm = Alarm::new(Arc::clone(&clock));
    let turn = async |alarm: &mut Alarm<Counting>, when: Option<u64>| {
        tokio::select! {
            biased;
            () = alarm.at(when.map(BootMillis)) => true,
            () = tokio::task::yield_now() => false,
        }
    };
    for _ in 0..10 {
        assert!(!turn(&mut alarm, Some(100)).await);
    }
    assert_eq!(clock.made.load(Ordering::SeqCst), 1);
    assert!(!turn(&mut alarm, Some(50)).await, "an earlier one takes its place");
    assert!(!turn(&mut alarm, None).await);
    clock.now.send_replace(100);
    assert!(!turn(&mut alarm, None).await, "none never comes");
    assert!(turn(&mut alarm, Some(100)).await);
    assert!(turn(&mut alarm, Some(100)).await, "and once more: what is past is at once");
}
