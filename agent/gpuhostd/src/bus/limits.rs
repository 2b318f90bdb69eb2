//! Admission control: bounds what callers can have us do at once: calls that are served, and calls that wait for polkit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many calls are served at once: more than can wait for the core and for polkit. While an answer finds its way out none is
/// read, so that not many of them are held at once.
const CALLS: usize = 2 * engine::handle::COMMAND_QUEUE;
/// So many messages are read in one go, before what they ask for is begun.
const READ_AHEAD: usize = 8;
/// So many calls of all users wait for polkit at once (root does not),
const SEATS: usize = 8;
/// and so many of one user.
const SEATS_EACH: usize = 4;

/// What a lock guards, also after a panic while it was held: all that is guarded here is whole at any time.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calls that a connection serves, and its way out.
#[derive(Debug)]
pub(super) struct Limits {
    calls: Arc<Semaphore>,
    /// Taken while a message is being written.
    out: Arc<Semaphore>,
    /// Messages that were read.
    read: AtomicUsize,
}

impl Limits {
    /// Nothing is served.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: Arc::new(Semaphore::new(CALLS)),
            out: Arc::new(Semaphore::new(1)),
            read: AtomicUsize::new(0),
        })
    }

    /// The place of one call, when there is one.
    pub(super) async fn call(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.calls).acquire_owned().await.ok()
    }

    /// The way out, for one message.
    pub(super) async fn out(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.out).acquire_owned().await.ok()
    }

    /// Waits until another message may be read: what came before it is being served, and its answers find their way out. What
    /// is not read stays with the bus, which refuses its senders what it cannot keep.
    pub(super) async fn room(&self) {
        if self.read.fetch_add(1, Ordering::Relaxed).is_multiple_of(READ_AHEAD) {
            tokio::task::yield_now().await;
        }
        drop(self.calls.acquire().await);
        drop(self.out.acquire().await);
    }
}

/// Seats for those who wait for polkit, by user.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<BTreeMap<u32, usize>>);

/// One of them; free again with the end of the value.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    of: &'a Seats,
    uid: u32,
}

impl Seats {
    /// A seat for a user, where one is free.
    pub(super) fn take(&self, uid: u32) -> Option<Seat<'_>> {
        let mut taken = locked(&self.0);
        let all: usize = taken.values().sum();
        let own = taken.get(&uid).copied().unwrap_or(0);
        if own >= SEATS_EACH || all >= SEATS {
            return None;
        }
        taken.insert(uid, own + 1);
        drop(taken);
        Some(Seat { of: self, uid })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = locked(&self.of.0);
        let left = taken.get(&self.uid).map_or(0, |seats| seats.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.uid);
        } else {
            taken.insert(self.uid, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_user_leaves_seats_for_others() {
        let seats = Seats::default();
        let mut kept: Vec<_> = (0..SEATS_EACH).map(|_| seats.take(1000).unwrap()).collect();
        assert!(seats.take(1000).is_none());
        kept.extend((0..SEATS - SEATS_EACH).map(|_| seats.take(1001).unwrap()));
        assert!(seats.take(1002).is_none());
        drop(kept);
        assert!(seats.take(1000).is_some());
        assert!(seats.0.lock().unwrap().is_empty(), "nothing is kept of who has gone");
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_served() {
        let limits = Limits::new();
        let mut served = Vec::new();
        for _ in 0..CALLS {
            tokio::time::timeout(Duration::from_secs(60), limits.room()).await.unwrap();
            served.push(limits.call().await);
        }
        let (none, one) = (Duration::from_millis(20), Duration::from_secs(60));
        assert!(tokio::time::timeout(none, limits.room()).await.is_err());
        assert!(tokio::time::timeout(none, limits.call()).await.is_err());
        served.pop();
        tokio::time::timeout(one, limits.room()).await.unwrap();
        let sending = limits.out().await;
        assert!(tokio::time::timeout(none, limits.room()).await.is_err());
        drop(sending);
        tokio::time::timeout(one, limits.room()).await.unwrap();
    }
}
