//! The credentials of a host as decisions see them: which one to use, which one next, and when a new one is tried again.
//!
//! One that has worked is *proven*. A new one is *fresh*: it goes with the next request, and where that fails in a way that may be
//! the credential's, the proven one is used again at once and the fresh one tried every ten minutes until it works or ends. One
//! that a manager announced for later is *next*: it waits until the one in use is refused.

use crate::time::{BootMillis, Now, UnixMillis};

/// A fresh credential that did not work is tried again after so long, in milliseconds.
pub const FRESH_AGAIN_MS: u64 = 600_000;

/// Names one credential of a host while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyId(pub u64);

/// What is known of a credential's worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It has worked, or there was never another one.
    Proven,
    /// It is new: the next request tries it.
    Fresh,
    /// It waits until the one in use is refused.
    Next,
}

/// One credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub id: KeyId,
    /// When it ends, where it does.
    pub until: Option<UnixMillis>,
    /// What is known of it.
    pub worth: Worth,
    /// All hosts of a manager share it: one that is refused is kept for the time when the one in use is, and not tried before.
    pub shared: bool,
}

#[derive(Debug, Clone)]
struct Held {
    key: Key,
    /// A fresh one that failed is not tried before.
    not_before: Option<BootMillis>,
    /// It was refused since it last worked.
    refused: bool,
    /// The other side reported that it has ended.
    reported_ended: bool,
}

impl Held {
    const fn of(key: Key) -> Self {
        Self { key, not_before: None, refused: false, reported_ended: false }
    }

    fn has_ended(&self, wall: UnixMillis) -> bool {
        self.reported_ended || self.is_over(wall)
    }

    /// By the clock of this host.
    fn is_over(&self, wall: UnixMillis) -> bool {
        self.key.until.is_some_and(|until| until <= wall)
    }

    fn is_waiting(&self, now: BootMillis) -> bool {
        self.not_before.is_some_and(|at| at > now)
    }
}

/// What to do after a credential was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRefusal {
    /// Another one has not been tried yet: at once.
    TryAnother,
    /// All were tried.
    Wait,
}

/// The credentials, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    held: Vec<Held>,
    /// Refused since the last success, or since other credentials came: in this order.
    refused: Vec<KeyId>,
    /// All were refused one after the other: from here on one at a time is tried.
    exhausted: bool,
}

impl Keyring {
    /// These credentials, the oldest first.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let mut ring = Self::default();
        ring.replace(keys);
        ring
    }

    /// Takes other credentials; what is known of those that stay is kept.
    pub fn replace(&mut self, keys: impl IntoIterator<Item = Key>) {
        let old = std::mem::take(&mut self.held);
        let known = |id| old.iter().find(|held| held.key.id == id);
        let held = |key: Key| match known(key.id) {
            Some(held) => Held { key: Key { worth: held.key.worth, ..key }, ..held.clone() },
            None => Held::of(key),
        };
        self.held = keys.into_iter().map(held).collect();
        self.refused.clear();
        self.exhausted = false;
    }

    /// The credential to use now; `None` where there is none at all.
    #[must_use]
    pub fn pick(&self, now: Now) -> Option<KeyId> {
        let live = |held: &&Held| !held.has_ended(now.wall);
        let untried = |held: &&Held| !self.refused.contains(&held.key.id);
        let of = |worth: Worth| move |held: &&Held| held.key.worth == worth;
        let candidates = || self.held.iter().filter(live);
        if self.exhausted {
            // The one that was refused longest ago; each refusal puts one behind the others.
            let longest = |held: &&Held| self.refused.iter().position(|id| *id == held.key.id);
            return candidates().min_by_key(longest).or(self.held.last()).map(|held| held.key.id);
        }
        let fresh = candidates().filter(untried).filter(of(Worth::Fresh));
        let ready = fresh.clone().rev().find(|held| !held.is_waiting(now.boot));
        let proven = || candidates().filter(untried).rev().find(of(Worth::Proven));
        let waiting = || fresh.clone().next_back();
        let next = || candidates().filter(untried).find(of(Worth::Next));
        let best = ready.or_else(proven).or_else(next).or_else(waiting).or_else(|| candidates().next_back());
        best.or(self.held.last()).map(|held| held.key.id)
    }

    /// The credential was refused by its name (401, an alert of TLS), or cannot be used here.
    pub fn refused(&mut self, id: KeyId, now: Now) -> AfterRefusal {
        self.put_off(id, now.boot);
        self.refused.retain(|other| *other != id);
        self.refused.push(id);
        let other = |held: &Held| !self.refused.contains(&held.key.id) && !held.has_ended(now.wall);
        if !self.exhausted && self.held.iter().any(other) {
            return AfterRefusal::TryAnother;
        }
        self.exhausted = true;
        AfterRefusal::Wait
    }

    /// A request with this credential failed in a way that may be its fault. True where it was a fresh one and an older one that
    /// worked is at hand: that one is to be used at once.
    pub fn doubted(&mut self, id: KeyId, now: Now) -> bool {
        let is = |held: &&Held| held.key.id == id && (held.key.worth == Worth::Fresh || held.has_ended(now.wall));
        if self.exhausted || !self.held.iter().any(|held| is(&held)) {
            return false;
        }
        self.put_off(id, now.boot);
        // One that was refused a moment ago is not asked for again: the same request would go out without end.
        let untried = |held: &Held| held.key.id != id && !self.refused.contains(&held.key.id);
        let proven = |held: &Held| held.key.worth == Worth::Proven && !held.has_ended(now.wall);
        self.held.iter().any(|held| untried(held) && proven(held))
    }

    fn put_off(&mut self, id: KeyId, now: BootMillis) {
        for held in self.held.iter_mut().filter(|held| held.key.id == id) {
            held.refused = true;
            match (held.key.worth, held.key.shared) {
                (Worth::Fresh, true) => held.key.worth = Worth::Next,
                (Worth::Fresh, false) => held.not_before = Some(now.plus(FRESH_AGAIN_MS)),
                (Worth::Proven | Worth::Next, _) => {}
            }
        }
    }

    /// The credential has worked. Gives those that it makes useless: the older ones.
    pub fn worked(&mut self, id: KeyId) -> Vec<KeyId> {
        self.refused.clear();
        self.exhausted = false;
        let Some(at) = self.held.iter().position(|held| held.key.id == id) else { return Vec::new() };
        let older: Vec<_> = self.held.drain(..at).map(|held| held.key.id).collect();
        if let Some(held) = self.held.first_mut() {
            *held = Held::of(Key { worth: Worth::Proven, ..held.key.clone() });
        }
        older
    }

    /// No credential is left with which this host could be known: those that worked have ended, and those that have not were
    /// refused.
    #[must_use]
    pub fn is_lost(&self, wall: UnixMillis) -> bool {
        let hopeless = |held: &Held| held.has_ended(wall) || (held.key.worth == Worth::Fresh && held.refused);
        let any_ended = self.held.iter().any(|held| held.has_ended(wall));
        any_ended && self.held.iter().all(hopeless)
    }

    /// A request with one that has ended was refused, or failed in a way that may be its fault.
    #[must_use]
    pub fn end_was_seen(&self) -> bool {
        self.held.iter().any(|held| held.refused)
    }

    /// The other side reported that this credential has ended: its word counts, whatever the clock of this host reports, until the
    /// credential works again. One that all hosts share has no end of its own.
    pub fn ended(&mut self, id: KeyId) {
        for held in self.held.iter_mut().filter(|held| held.key.id == id && !held.key.shared) {
            held.reported_ended = true;
            held.refused = true;
        }
    }

    /// Only the other side takes one of them for ended, and its clock may be what is wrong: a request shows whether it still does.
    #[must_use]
    pub fn end_is_in_doubt(&self, wall: UnixMillis) -> bool {
        self.held.iter().any(|held| held.reported_ended && !held.is_over(wall))
    }

    /// When the newest credential ends.
    #[must_use]
    pub fn until(&self) -> Option<UnixMillis> {
        self.held.last().and_then(|held| held.key.until)
    }
}
