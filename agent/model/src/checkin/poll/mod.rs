//! The fetching of desired state as a state machine in virtual time, beside the one of heartbeats: it opens a long-poll or asks once,
//! only behind an accepted heartbeat, at the manager that accepted it and with the credential that went with it.
//!
//! What a manager answers here changes nothing of the check-in: 401, 403, 409, 410, 426, 429 and 503 mean that the next accepted
//! heartbeat is waited for, since only heartbeats decide what this host is to its manager.

mod fetch_status;
mod poll_place;

pub use fetch_status::{DesiredFetch, FetchStatus};
pub use poll_place::ReplyHints;

use crate::checkin::features::{FEATURES_FOR_MS, ManagerFeatures};
use crate::checkin::keyring::KeyId;
use crate::checkin::manager::ManagerAddress;
use crate::checkin::trouble::DeliveryFailure;
use crate::desired::DocumentId;
use crate::time::BootMillis;
use poll_place::Places;

/// A long-poll asks the manager to wait so long, in seconds.
pub const POLL_WAIT_S: u64 = 55;
/// A request is given up so long after the time that it asked the manager to wait, in milliseconds.
pub const POLL_GRACE_MS: u64 = 10_000;
/// Where a manager neither takes long-polls nor names the newest document in its replies, it is asked so often, in milliseconds.
pub const POLL_EACH_MS: u64 = 30_000;
/// After a document that is known or refused, the next request comes so much later, in milliseconds: doubled each time up to
/// [`POLL_EACH_MS`].
pub const KNOWN_AGAIN_MS: u64 = 5000;
/// Two requests are never closer, in milliseconds: a manager with another document in each answer is no endless loop.
pub const POLL_GAP_MS: u64 = 500;

/// One request for desired state that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// Which one: its answer is reported with this number.
    pub number: u64,
    /// To whom.
    pub manager: ManagerAddress,
    /// With which credential.
    pub key: KeyId,
    /// How long the manager may wait for another document, in seconds; 0 = not at all.
    pub wait_s: u64,
    /// `If-None-Match`; `None` = any document is another one.
    pub held: Option<DocumentId>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollAction {
    /// Nothing before that instant; `None` = nothing before something happens.
    Wait(Option<BootMillis>),
    /// Send this request, then report its answer.
    Open(Poll),
    /// Give the request up that is under way: nothing of it counts any more.
    Drop,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollAnswer {
    /// A document that was accepted and is in force now.
    Accepted,
    /// A document that is held already, or that was refused.
    Known,
    /// 304.
    Unchanged,
    /// 404 of the path: this manager has none.
    NoPath,
    /// Any other answer that is not a document.
    Refused {
        /// `Retry-After` in milliseconds, capped.
        retry_after_ms: Option<u64>,
    },
    /// The connection broke, nothing came in time, or it was too large.
    Broken,
}

/// Behind which heartbeat requests are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Behind {
    manager: ManagerAddress,
    key: KeyId,
    interval_ms: u64,
    hints: ReplyHints,
}

/// A request that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnderWay {
    poll: Poll,
    opened: BootMillis,
}

/// The machine. One request at a time; nothing in it reads a clock.
#[derive(Debug, Clone, Default)]
pub struct PollMachine {
    /// The last heartbeat that was accepted; `None` where the manager has refused this host since.
    behind: Option<Behind>,
    /// A request may be opened: nothing has gone wrong since the last accepted heartbeat.
    armed: bool,
    held: Option<DocumentId>,
    refused: Option<DocumentId>,
    under_way: Option<UnderWay>,
    /// The request that is under way is to be given up.
    give_up: bool,
    /// Where neither long-polls nor hints help: when to ask next.
    ask_at: Option<BootMillis>,
    last_opened: Option<BootMillis>,
    not_before: BootMillis,
    /// Documents in a row that were known or refused.
    known_run: u32,
    /// What the last hint announced was asked for, and did not come.
    hint_tried: bool,
    numbers: u64,
    places: Places,
}

impl PollMachine {
    /// A heartbeat was accepted by that manager with that credential; `interval_s` is the time to the next one. `features` are those
    /// that the manager reported; `None` where it has not been asked.
    pub fn on_accepted(
        &mut self,
        now: BootMillis,
        (manager, key): (&ManagerAddress, KeyId),
        features: Option<ManagerFeatures>,
        interval_s: u64,
        hints: ReplyHints,
    ) {
        if let Some(UnderWay { poll, .. }) = &self.under_way {
            self.give_up |= !poll.manager.same_place(manager) || poll.key != key;
        }
        let interval_ms = interval_s.saturating_mul(1000);
        let place = self.places.of(manager);
        if let Some(features) = features {
            place.long_poll = Some(features.long_poll);
        }
        self.armed = place.not_before <= now;
        self.hint_tried = false;
        // Behind each heartbeat after which the next one would be too late.
        let is_time = |opened: BootMillis| now.plus(interval_ms) > opened.plus(POLL_EACH_MS);
        if self.last_opened.is_none_or(is_time) {
            self.ask_at = Some(now);
        }
        self.behind = Some(Behind { manager: manager.clone(), key, interval_ms, hints });
    }

    /// A heartbeat was not accepted. Nothing is opened before one is; what is under way goes on only where the manager has not spoken
    /// of this host.
    pub fn on_not_accepted(&mut self, trouble: Option<DeliveryFailure>) {
        self.armed = false;
        if trouble.is_some_and(DeliveryFailure::is_about_the_host) {
            self.behind = None;
            self.give_up = self.under_way.is_some();
        }
    }

    /// That manager reported its features.
    pub fn on_features(&mut self, manager: &ManagerAddress, features: ManagerFeatures) {
        self.places.of(manager).long_poll = Some(features.long_poll);
    }

    /// This document is in force (`None` = none, or it cannot be read), and that one was refused last.
    pub fn on_held(&mut self, held: Option<&DocumentId>, refused: Option<&DocumentId>) {
        if self.refused.is_some() && refused.is_none() {
            // What was refused may be accepted now: it is asked for as if it had never come.
            self.hint_tried = false;
            self.known_run = 0;
            self.not_before = self.last_opened.map_or(BootMillis(0), |at| at.plus(POLL_GAP_MS));
        }
        self.held = held.cloned();
        self.refused = refused.cloned();
    }

    /// What to do at `now`. After an `Open` the answer must be reported, or it is dropped.
    pub fn next(&mut self, now: BootMillis) -> PollAction {
        if std::mem::take(&mut self.give_up) && self.under_way.take().is_some() {
            return PollAction::Drop;
        }
        if self.under_way.is_some() || !self.armed {
            return PollAction::Wait(None);
        }
        let Some(behind) = self.behind.clone() else { return PollAction::Wait(None) };
        match self.due(now, &behind) {
            Some((at, wait_s)) if at <= now => PollAction::Open(self.open(now, behind, wait_s)),
            later => PollAction::Wait(later.map(|(at, _)| at)),
        }
    }

    /// When the next request is due, and how long the manager may wait with its answer.
    fn due(&mut self, now: BootMillis, behind: &Behind) -> Option<(BootMillis, u64)> {
        let place = *self.places.of(&behind.manager);
        let at = match place.way(now, &behind.hints) {
            DesiredFetch::LongPoll => return Some((self.not_before, POLL_WAIT_S)),
            DesiredFetch::Hint if self.hint_tried || !self.is_other(behind.hints.newest.as_ref()) => return None,
            DesiredFetch::Hint => self.not_before,
            DesiredFetch::Interval => self.ask_at?.max(self.not_before),
            DesiredFetch::None | DesiredFetch::Embedded | DesiredFetch::Off => return None,
        };
        Some((at, 0))
    }

    fn open(&mut self, now: BootMillis, behind: Behind, wait_s: u64) -> Poll {
        self.numbers = self.numbers.saturating_add(1);
        let Behind { manager, key, interval_ms, .. } = behind;
        let poll = Poll { number: self.numbers, manager, key, wait_s, held: self.held.clone() };
        self.last_opened = Some(now);
        self.not_before = now.plus(POLL_GAP_MS);
        self.ask_at = (interval_ms > POLL_EACH_MS).then(|| now.plus(POLL_EACH_MS));
        self.under_way = Some(UnderWay { poll: poll.clone(), opened: now });
        poll
    }

    /// What came of the request of that number. Of one that was given up nothing counts.
    pub fn on_answer(&mut self, now: BootMillis, number: u64, answer: PollAnswer) {
        let Some(UnderWay { poll, opened }) = self.under_way.take_if(|under_way| under_way.poll.number == number)
        else {
            return;
        };
        self.give_up = false;
        let place = self.places.of(&poll.manager);
        place.no_path = answer == PollAnswer::NoPath;
        self.hint_tried = answer != PollAnswer::Accepted;
        match answer {
            PollAnswer::Accepted => self.known_run = 0,
            PollAnswer::Known => {
                let pause = KNOWN_AGAIN_MS.checked_shl(self.known_run).unwrap_or(POLL_EACH_MS).min(POLL_EACH_MS);
                self.known_run = self.known_run.saturating_add(1).min(8);
                self.not_before = now.plus(pause);
            }
            PollAnswer::Unchanged => {
                self.known_run = 0;
                place.unchanged(now, now.since(opened), poll.wait_s);
            }
            PollAnswer::NoPath => {
                place.not_before = now.plus(FEATURES_FOR_MS);
                self.armed = false;
            }
            PollAnswer::Refused { retry_after_ms } => {
                place.not_before = now.plus(retry_after_ms.unwrap_or(0));
                self.armed = false;
            }
            PollAnswer::Broken => self.armed = false,
        }
    }

    /// How documents are fetched now.
    #[must_use]
    pub fn way(&self, now: BootMillis) -> DesiredFetch {
        let place = |behind: &Behind| self.places.get(&behind.manager).map(|place| place.way(now, &behind.hints));
        self.behind.as_ref().and_then(place).unwrap_or_default()
    }

    /// The newest document by the last accepted reply.
    #[must_use]
    pub fn newest(&self) -> Option<&DocumentId> {
        self.behind.as_ref().and_then(|behind| behind.hints.newest.as_ref())
    }

    /// Until when this manager is not asked, because it does not have the path.
    #[must_use]
    pub fn off_until(&self, now: BootMillis) -> Option<BootMillis> {
        let place = self.places.get(&self.behind.as_ref()?.manager)?;
        (place.no_path && place.not_before > now).then_some(place.not_before)
    }

    /// It is neither the document that is held nor the one that was refused.
    fn is_other(&self, newest: Option<&DocumentId>) -> bool {
        newest.is_some() && newest != self.held.as_ref() && newest != self.refused.as_ref()
    }
}
