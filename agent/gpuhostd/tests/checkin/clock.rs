//! A clock that stands still until a test moves it, and never before the check-in rests.

use model::ports::Clock;
use model::time::{BootMillis, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// In real time: the check-in rests by then, or the test has failed.
const REST: Duration = Duration::from_secs(40);

#[derive(Debug, Default, Clone)]
struct Sleepers {
    next: u64,
    until: BTreeMap<u64, u64>,
}

/// CLOCK_BOOTTIME and the wall clock, both moved by hand.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    boot: watch::Sender<u64>,
    wall_minus_boot: AtomicI64,
    sleepers: watch::Sender<Sleepers>,
    /// What the check-in has under way.
    under_way: Mutex<Option<watch::Receiver<Vec<&'static str>>>>,
    /// This may hang: time passes all the same.
    may_hang: Mutex<Vec<&'static str>>,
}

struct Registered<'a>(&'a VirtualClock, u64);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.sleepers.send_modify(|all| {
            all.until.remove(&self.1);
        });
    }
}

impl VirtualClock {
    pub(crate) fn new(boot: BootMillis, wall: UnixMillis) -> Self {
        let offset = wall.0 - i64::try_from(boot.0).unwrap();
        let sleepers = watch::Sender::new(Sleepers::default());
        Self {
            boot: watch::Sender::new(boot.0),
            wall_minus_boot: AtomicI64::new(offset),
            sleepers,
            under_way: Mutex::default(),
            // A manager holds it: it is waited for only where a test says so.
            may_hang: Mutex::new(vec!["long_poll"]),
        }
    }

    /// Here it says from now on what it has under way.
    pub(crate) fn heed(&self, under_way: watch::Receiver<Vec<&'static str>>) {
        *self.under_way.lock().unwrap() = Some(under_way);
    }

    /// What is under way of these kinds hangs from now on, and is not waited for.
    pub(crate) fn let_hang(&self, kinds: &[&'static str]) {
        *self.may_hang.lock().unwrap() = kinds.to_vec();
    }

    /// Somebody steps the wall clock.
    pub(crate) fn step_wall(&self, millis: i64) {
        self.wall_minus_boot.fetch_add(millis, Ordering::SeqCst);
    }

    /// How far the wall clock is from the other one, in milliseconds.
    pub(crate) fn wall_now_minus_boot(&self) -> i64 {
        self.wall_minus_boot.load(Ordering::SeqCst)
    }

    /// CLOCK_BOOTTIME in milliseconds.
    pub(crate) fn boot_millis(&self) -> i64 {
        i64::try_from(*self.boot.borrow()).unwrap()
    }

    /// Time passes while no check-in runs.
    pub(crate) fn jump(&self, millis: u64) {
        self.boot.send_modify(|now| *now += millis);
    }

    /// Waits until the check-in sleeps, and says until when.
    pub(crate) async fn rest(&self) -> BootMillis {
        let now = *self.boot.borrow();
        let under_way = self.under_way.lock().unwrap().clone();
        let mut sleepers = self.sleepers.subscribe();
        let may_hang = self.may_hang.lock().unwrap().clone();
        let hangs = |kinds: &[&'static str]| kinds.iter().all(|kind| may_hang.contains(kind));
        let is_quiet = || under_way.as_ref().is_none_or(|kinds| hangs(&kinds.borrow()));
        let sleeps = |all: &Sleepers| !all.until.is_empty() && all.until.values().all(|at| *at > now) && is_quiet();
        // Whatever changes what is under way lets the check-in go to sleep anew: the sleepers alone are to be watched.
        let resting =
            tokio::time::timeout(REST, sleepers.wait_for(sleeps)).await.expect("the check-in never rests").unwrap();
        BootMillis(*resting.until.values().min().unwrap())
    }

    /// Lets time pass up to an instant of CLOCK_BOOTTIME.
    pub(crate) async fn advance_to(&self, at: BootMillis) {
        let now = *self.boot.borrow();
        self.advance(at.0.saturating_sub(now)).await;
    }

    /// Does something that wakes the check-in without the clock, and waits until it rests again.
    pub(crate) async fn wake_by<T>(&self, deed: impl FnOnce() -> T) -> T {
        let _ = self.rest().await;
        let before = self.sleepers.borrow().next;
        let done = deed();
        let mut sleepers = self.sleepers.subscribe();
        let woken = sleepers.wait_for(|all| all.next > before);
        let _ = tokio::time::timeout(REST, woken).await.expect("the check-in was not woken").unwrap();
        let _ = self.rest().await;
        done
    }

    /// Lets time pass, stopping wherever the check-in wants to wake up.
    pub(crate) async fn advance(&self, millis: u64) {
        let goal = *self.boot.borrow() + millis;
        loop {
            let next = self.rest().await.0.min(goal);
            self.boot.send_replace(next);
            if next == goal {
                let _ = self.rest().await;
                return;
            }
        }
    }
}

impl Clock for VirtualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(*self.boot.borrow())
    }

    fn wall_now(&self) -> UnixMillis {
        let boot = i64::try_from(*self.boot.borrow()).unwrap();
        UnixMillis(boot + self.wall_minus_boot.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, when: BootMillis) {
        let mut boot = self.boot.subscribe();
        let mut id = 0;
        self.sleepers.send_modify(|all| {
            id = all.next;
            all.next += 1;
            all.until.insert(id, when.0);
        });
        let _registered = Registered(self, id);
        let _ = boot.wait_for(|now| *now >= when.0).await;
    }
}
