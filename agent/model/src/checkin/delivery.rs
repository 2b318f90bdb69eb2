//! The delivery of events as a state machine in virtual time, beside the one of heartbeats: one batch at a time, only behind an accepted
//! heartbeat, at the manager that accepted it and with the credential that went with it.
//!
//! What a manager answers here changes nothing of the check-in: 401, 403, 409, 410, 426, 429 and 503 mean that the next accepted
//! heartbeat is waited for, since only heartbeats decide what this host is to its manager. A batch that was sent is sent again with the
//! same last event until it is answered, so that its `Idempotency-Key` is the same.

use crate::checkin::features::{FEATURES_FOR_MS, ManagerFeatures};
use crate::checkin::keyring::KeyId;
use crate::checkin::manager::ManagerAddress;
use crate::checkin::managers::MANAGERS_MAX;
use crate::event::DELIVER_MOST;
use crate::time::BootMillis;
use std::collections::BTreeMap;

/// Two batches are never closer, in milliseconds.
pub const DELIVERY_GAP_MS: u64 = 1000;

/// One batch that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which one: its answer is reported with this number.
    pub number: u64,
    /// To whom.
    pub manager: ManagerAddress,
    /// With which credential.
    pub key: KeyId,
    /// At most so many events.
    pub most: usize,
    /// Up to this event, where the batch was sent before.
    pub until: Option<u64>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryAction {
    /// Nothing before that instant; `None` = nothing before something happens.
    Wait(Option<BootMillis>),
    /// Send this batch, then report its answer.
    Send(Delivery),
}

/// What came of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryAnswer {
    /// The manager has more events than before.
    Acked,
    /// It acknowledged what was not sent, what it had before, or nothing.
    NotAcked,
    /// There was nothing to send.
    Nothing,
    /// 413, or 400 with its code: the batch of so many events, the last with this number, is not taken as it is.
    NotTaken {
        /// How many events.
        count: usize,
        /// The number of the last one.
        last: u64,
    },
    /// 404 of the path: this manager takes no events.
    NoPath,
    /// Any other answer that is not an acknowledgement.
    Refused {
        /// `Retry-After` in milliseconds, capped.
        retry_after_ms: Option<u64>,
    },
    /// No answer, or none that can be understood. The last event that was sent.
    Broken {
        /// The number of the last event that was sent.
        last: u64,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Taker {
    /// It takes events; `None` = it has not been asked.
    events: Option<bool>,
    /// It answered 404 to the path, and nothing else of it since.
    no_path: bool,
    not_before: BootMillis,
}

/// The machine. Nothing in it reads a clock.
#[derive(Debug, Clone)]
pub struct DeliveryMachine {
    /// The last heartbeat that was accepted.
    behind: Option<(ManagerAddress, KeyId)>,
    /// A batch may be sent: nothing has gone wrong since.
    armed: bool,
    /// Events wait.
    waiting: bool,
    under_way: Option<Delivery>,
    most: usize,
    /// The last event of a batch that was sent and not answered.
    until: Option<u64>,
    /// An event was refused by itself, and none was taken since.
    has_skipped: bool,
    not_before: BootMillis,
    numbers: u64,
    takers: BTreeMap<(String, u16), Taker>,
}

impl Default for DeliveryMachine {
    fn default() -> Self {
        Self {
            behind: None,
            armed: false,
            waiting: false,
            under_way: None,
            most: DELIVER_MOST,
            until: None,
            has_skipped: false,
            not_before: BootMillis(0),
            numbers: 0,
            takers: BTreeMap::new(),
        }
    }
}

impl DeliveryMachine {
    /// A heartbeat was accepted by that manager with that credential. `features` are those that the manager reported; `None` where it
    /// has not been asked.
    pub fn on_accepted(&mut self, manager: &ManagerAddress, key: KeyId, features: Option<ManagerFeatures>) {
        if let Some(features) = features {
            self.on_features(manager, features);
        }
        self.behind = Some((manager.clone(), key));
        self.armed = true;
    }

    /// A heartbeat was not accepted: nothing is sent before one is.
    pub const fn on_not_accepted(&mut self) {
        self.armed = false;
    }

    /// That manager reported its features.
    pub fn on_features(&mut self, manager: &ManagerAddress, features: ManagerFeatures) {
        self.taker(manager).events = Some(features.events);
    }

    /// The manager that accepted the last heartbeat takes events; `None` = that is not known.
    #[must_use]
    pub fn takes_events(&self) -> Option<bool> {
        let (manager, _) = self.behind.as_ref()?;
        let taker = self.takers.get(&name(manager))?;
        taker.events.map(|events| events && !taker.no_path)
    }

    /// Events wait to be delivered, or none.
    pub const fn on_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
    }

    /// What to do at `now`. After a `Send` the answer must be reported.
    pub fn next(&mut self, now: BootMillis) -> DeliveryAction {
        let idle = DeliveryAction::Wait(None);
        if self.under_way.is_some() || !self.armed || !self.waiting {
            return idle;
        }
        let Some((manager, key)) = self.behind.clone() else { return idle };
        let taker = *self.taker(&manager);
        if taker.events != Some(true) {
            return idle;
        }
        let due = self.not_before.max(taker.not_before);
        if due > now {
            return DeliveryAction::Wait(Some(due));
        }
        self.numbers = self.numbers.saturating_add(1);
        self.not_before = now.plus(DELIVERY_GAP_MS);
        let delivery = Delivery { number: self.numbers, manager, key, most: self.most, until: self.until };
        self.under_way = Some(delivery.clone());
        DeliveryAction::Send(delivery)
    }

    /// What came of the batch of that number. Returns the event that is to be given up, where there is one: a manager refuses it by
    /// itself, and all behind it would wait for ever.
    pub fn on_answer(&mut self, now: BootMillis, number: u64, answer: DeliveryAnswer) -> Option<u64> {
        let delivery = self.under_way.take_if(|delivery| delivery.number == number)?;
        let until = std::mem::take(&mut self.until);
        match answer {
            DeliveryAnswer::Acked => {
                self.most = self.most.saturating_mul(2).min(DELIVER_MOST);
                self.has_skipped = false;
                self.taker(&delivery.manager).no_path = false;
            }
            DeliveryAnswer::Nothing => {}
            DeliveryAnswer::NotTaken { count, last } => {
                if count > 1 {
                    self.most = count / 2;
                } else if !self.has_skipped {
                    self.has_skipped = true;
                    self.armed = false;
                    return Some(last);
                } else {
                    // It takes none at all: that is not about one event.
                    self.taker(&delivery.manager).not_before = now.plus(FEATURES_FOR_MS);
                    self.has_skipped = false;
                }
            }
            DeliveryAnswer::NoPath => {
                let taker = self.taker(&delivery.manager);
                taker.no_path = true;
                taker.not_before = now.plus(FEATURES_FOR_MS);
                self.until = until;
            }
            DeliveryAnswer::NotAcked => self.armed = false,
            DeliveryAnswer::Refused { retry_after_ms } => {
                self.taker(&delivery.manager).not_before = now.plus(retry_after_ms.unwrap_or(0));
                self.armed = false;
                self.until = until;
            }
            DeliveryAnswer::Broken { last } => {
                self.armed = false;
                self.until = Some(last);
            }
        }
        None
    }

    /// What is under way was given up: this host is another one, or its settings are others.
    pub fn forget(&mut self) {
        *self = Self { numbers: self.numbers, waiting: self.waiting, ..Self::default() };
    }

    fn taker(&mut self, manager: &ManagerAddress) -> &mut Taker {
        let name = name(manager);
        if self.takers.len() >= MANAGERS_MAX && !self.takers.contains_key(&name) {
            self.takers.pop_first();
        }
        self.takers.entry(name).or_default()
    }
}

/// What a manager is known by.
fn name(manager: &ManagerAddress) -> (String, u16) {
    (manager.host.to_ascii_lowercase(), manager.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId(1);
    const EVENTS: ManagerFeatures = ManagerFeatures { gzip: false, long_poll: false, events: true };

    fn manager() -> ManagerAddress {
        ManagerAddress::new("a", 443)
    }

    fn ready() -> DeliveryMachine {
        let mut machine = DeliveryMachine::default();
        machine.on_waiting(true);
        machine.on_accepted(&manager(), KEY, Some(EVENTS));
        machine
    }

    fn sent(machine: &mut DeliveryMachine, now: u64) -> Delivery {
        match machine.next(BootMillis(now)) {
            DeliveryAction::Send(delivery) => delivery,
            DeliveryAction::Wait(until) => panic!("waits until {until:?}"),
        }
    }

    fn answered(machine: &mut DeliveryMachine, now: u64, answer: DeliveryAnswer) -> Option<u64> {
        let delivery = sent(machine, now);
        machine.on_answer(BootMillis(now), delivery.number, answer)
    }

    #[test]
    fn nothing_is_sent_before_a_manager_that_takes_events_has_accepted_a_heartbeat() {
        let mut machine = DeliveryMachine::default();
        machine.on_waiting(true);
        assert_eq!(machine.next(BootMillis(0)), DeliveryAction::Wait(None));
        machine.on_accepted(&manager(), KEY, None);
        assert_eq!(machine.next(BootMillis(0)), DeliveryAction::Wait(None), "it has not been asked");
        machine.on_features(&manager(), ManagerFeatures::default());
        assert_eq!(machine.next(BootMillis(0)), DeliveryAction::Wait(None), "it takes none");
        machine.on_features(&manager(), EVENTS);
        assert_eq!(sent(&mut machine, 0).most, 500);
        assert_eq!(machine.next(BootMillis(60_000)), DeliveryAction::Wait(None), "one at a time");
    }

    #[test]
    fn a_batch_that_was_not_answered_is_sent_again_as_it_was_behind_the_next_heartbeat() {
        let mut machine = ready();
        assert_eq!(answered(&mut machine, 0, DeliveryAnswer::Broken { last: 7 }), None);
        assert_eq!(machine.next(BootMillis(60_000)), DeliveryAction::Wait(None));
        machine.on_accepted(&manager(), KEY, Some(EVENTS));
        assert_eq!(sent(&mut machine, 60_000).until, Some(7));
    }

    #[test]
    fn what_is_too_large_is_halved_until_it_fits_and_grows_again() {
        let mut machine = ready();
        let mut sizes = Vec::new();
        for turn in 0..4 {
            let delivery = sent(&mut machine, turn * 1000);
            sizes.push(delivery.most);
            let too_large = DeliveryAnswer::NotTaken { count: delivery.most, last: 9 };
            assert_eq!(machine.on_answer(BootMillis(turn * 1000), delivery.number, too_large), None);
        }
        assert_eq!(sizes, [500, 250, 125, 62]);
        answered(&mut machine, 4000, DeliveryAnswer::Acked);
        assert_eq!(sent(&mut machine, 5000).most, 62);
    }

    #[test]
    fn an_event_that_is_refused_by_itself_is_given_up_and_a_manager_that_refuses_all_is_left_for_an_hour() {
        let mut machine = ready();
        let bad = |last| DeliveryAnswer::NotTaken { count: 1, last };
        assert_eq!(answered(&mut machine, 0, bad(7)), Some(7));
        machine.on_accepted(&manager(), KEY, None);
        assert_eq!(answered(&mut machine, 30_000, bad(8)), None, "the second in a row is kept");
        machine.on_accepted(&manager(), KEY, None);
        let later = BootMillis(30_000 + FEATURES_FOR_MS);
        assert_eq!(machine.next(BootMillis(60_000)), DeliveryAction::Wait(Some(later)));
        assert_eq!(answered(&mut machine, later.0, DeliveryAnswer::Acked), None);
        assert_eq!(answered(&mut machine, later.0 + 1000, bad(9)), Some(9));
    }

    #[test]
    fn a_path_that_is_not_there_is_off_for_an_hour_and_retry_after_is_kept() {
        let mut machine = ready();
        answered(&mut machine, 0, DeliveryAnswer::NoPath);
        machine.on_accepted(&manager(), KEY, Some(EVENTS));
        assert_eq!(machine.next(BootMillis(1000)), DeliveryAction::Wait(Some(BootMillis(FEATURES_FOR_MS))));
        let mut machine = ready();
        answered(&mut machine, 0, DeliveryAnswer::Refused { retry_after_ms: Some(90_000) });
        assert_eq!(machine.next(BootMillis(200_000)), DeliveryAction::Wait(None), "no heartbeat was accepted since");
        machine.on_accepted(&manager(), KEY, Some(EVENTS));
        assert_eq!(machine.next(BootMillis(60_000)), DeliveryAction::Wait(Some(BootMillis(90_000))));
    }

    #[test]
    fn whether_the_manager_takes_events_is_known_once_it_was_asked_and_a_path_that_is_not_there_means_none() {
        let mut machine = DeliveryMachine::default();
        assert_eq!(machine.takes_events(), None);
        machine.on_accepted(&manager(), KEY, None);
        assert_eq!(machine.takes_events(), None, "it has not been asked");
        machine.on_features(&manager(), ManagerFeatures::default());
        assert_eq!(machine.takes_events(), Some(false));
        machine.on_features(&manager(), EVENTS);
        machine.on_waiting(true);
        assert_eq!(machine.takes_events(), Some(true));
        answered(&mut machine, 0, DeliveryAnswer::NoPath);
        machine.on_accepted(&manager(), KEY, Some(EVENTS));
        assert_eq!(machine.takes_events(), Some(false), "it lists events and has no path for them");
        answered(&mut machine, FEATURES_FOR_MS, DeliveryAnswer::Acked);
        assert_eq!(machine.takes_events(), Some(true));
        machine.forget();
        assert_eq!(machine.takes_events(), None);
    }

    #[test]
    fn an_acknowledgement_of_nothing_does_not_have_the_batch_sent_without_end() {
        let mut machine = ready();
        answered(&mut machine, 0, DeliveryAnswer::NotAcked);
        assert_eq!(machine.next(BootMillis(10_000)), DeliveryAction::Wait(None));
        let mut machine = ready();
        answered(&mut machine, 0, DeliveryAnswer::Acked);
        assert_eq!(machine.next(BootMillis(1)), DeliveryAction::Wait(Some(BootMillis(DELIVERY_GAP_MS))));
    }

    #[test]
    fn an_answer_to_what_was_forgotten_counts_for_nothing() {
        let mut machine = ready();
        let old = sent(&mut machine, 0);
        machine.forget();
        machine.on_accepted(&manager(), KEY, Some(EVENTS));
        let bad = DeliveryAnswer::NotTaken { count: 1, last: 1 };
        assert_eq!(machine.on_answer(BootMillis(1), old.number, bad), None);
        assert_ne!(sent(&mut machine, 1000).number, old.number);
    }
}
