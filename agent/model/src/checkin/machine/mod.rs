//! The check-in as a state machine in virtual time: the caller reports what happened, and it shows what to do next.

mod after;
mod machine_shown;

use crate::checkin::answer::Answer;
use crate::checkin::keyring::{Key, KeyId, Keyring};
use crate::checkin::manager::ManagerAddress;
use crate::checkin::managers::{KnownManagers, Managers};
use crate::checkin::omit::{Omit, Omitting};
use crate::checkin::slot::{Slot, clamp_interval};
use crate::checkin::trouble::DeliveryFailure;
use crate::enrol::CheckinState;
use crate::time::{BootMillis, Now, UnixMillis};

/// Changes are collected for so long before an early heartbeat, in milliseconds.
pub const COALESCE_MS: u64 = 250;
/// Two heartbeats are never closer than this, but for a second credential or a second manager, in milliseconds.
pub const GAP_MS: u64 = 1000;
/// Longest time between two early heartbeats that a manager may ask for, in seconds.
pub const EARLY_GAP_MAX_S: u64 = 60;
/// A host that was up for less than this when the daemon starts waits for its slot, in milliseconds.
pub const FRESH_BOOT_MS: u64 = 600_000;
/// After a start of the daemon the hosts of a fleet are spread over so long, in milliseconds.
pub const START_SPREAD_MS: u64 = 4000;
/// Mean time between two tries with a credential that is refused, in milliseconds; each is off by up to half of it.
pub const UNAUTHENTICATED_MS: u64 = 15_000;
/// Two answers that this host is deleted count only so far apart, in milliseconds.
pub const DELETED_TWICE_MS: u64 = 60_000;
/// A host whose credential has ended asks for a new one at most once in so long, in milliseconds.
pub const RECOVER_MS: u64 = 600_000;

/// What the machine is there to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// An identity.
    Enrol,
    /// Heartbeats.
    Beat,
}

/// What the machine starts from.
#[derive(Debug, Clone)]
pub struct CheckinConfig {
    /// Server id; before there is one, anything that stays and differs from host to host.
    pub key: String,
    /// Enrol first, or beat.
    pub goal: Goal,
    /// Seconds between heartbeats until the manager reports otherwise.
    pub interval_s: u64,
    /// Seconds between heartbeats as the manager reported before a restart.
    pub asked_interval_s: Option<u64>,
    /// Zone of this host.
    pub zone: Option<String>,
    /// The managers.
    pub managers: KnownManagers,
    /// The credentials at hand, the oldest first.
    pub keys: Vec<Key>,
    /// An enrolment token is still at hand, for a manager that does not know this host.
    pub may_enrol_again: bool,
    /// When the daemon began, if before now: the first request is counted from there.
    pub began: BootMillis,
}

/// One heartbeat that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// To whom.
    pub manager: ManagerAddress,
    /// With which credential.
    pub key: KeyId,
    /// With inventory and agent.
    pub inventory: bool,
    /// What is left out.
    pub omit: Omit,
    /// CLOCK_BOOTTIME in milliseconds, strictly rising.
    pub seq: u64,
}

/// Why an identity is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolFor {
    /// This host has none yet.
    First,
    /// The manager does not know this host any more.
    Lost,
    /// This host's credential has ended: with the same key and id, with a token only where one is at hand.
    Ended,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckinAction {
    /// Nothing before that instant; `None` = nothing before something happens.
    Wait(Option<BootMillis>),
    /// Send a heartbeat, then report the answer.
    Beat(Beat),
    /// Ask that manager for an identity, then report the answer.
    Enrol(ManagerAddress, EnrolFor),
}

/// What was sent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Beat(KeyId),
    Enrol(EnrolFor),
}

/// The machine. One request at a time; nothing in it reads a clock.
#[derive(Debug, Clone)]
pub struct CheckinMachine {
    slot: Slot,
    goal: Goal,
    interval_s: u64,
    asked_interval_s: Option<u64>,
    early_gap_s: u64,
    managers: Managers,
    keys: Keyring,
    may_enrol_again: bool,
    /// The manager does not know this host, and a token is at hand: the next request enrols.
    lost: bool,
    due: Option<BootMillis>,
    early: Option<BootMillis>,
    mid_round: bool,
    sent: Option<Sent>,
    /// Credentials to be tried at once have come while a request was under way.
    hurry: bool,
    last_sent: Option<BootMillis>,
    /// When an identity was last asked for because the credential has ended, and somebody heard it.
    recovered_at: Option<BootMillis>,
    /// When a credential that only the other side takes for ended was last tried again.
    doubted_at: Option<BootMillis>,
    last_seq: u64,
    sent_rev: Option<String>,
    accepted_rev: Option<String>,
    omitting: Omitting,
    omit_said: String,
    deleted_at: Option<BootMillis>,
    refusals: u64,
    /// The manager asked not to be asked before.
    asked_to_wait: Option<BootMillis>,
    state: CheckinState,
    trouble: Option<(DeliveryFailure, String)>,
}

impl CheckinMachine {
    /// A machine that starts now: spread over a few seconds after a start of the daemon, and in its own slot where the host
    /// itself has just booted.
    #[must_use]
    pub fn new(config: CheckinConfig, now: BootMillis, wall: UnixMillis) -> Self {
        let slot = Slot::anchored(&config.key, now, wall);
        let asked_interval_s = config.asked_interval_s.map(clamp_interval);
        let interval_s = asked_interval_s.unwrap_or_else(|| clamp_interval(config.interval_s));
        let spread = config.began.plus(slot.hash() % START_SPREAD_MS).max(now);
        let due = if now.0 < FRESH_BOOT_MS { slot.next_after(now, interval_s) } else { spread };
        Self {
            slot,
            goal: config.goal,
            interval_s,
            asked_interval_s,
            early_gap_s: 1,
            managers: Managers::new(config.managers, config.zone),
            keys: Keyring::new(config.keys),
            may_enrol_again: config.may_enrol_again,
            lost: false,
            due: Some(due),
            early: None,
            mid_round: false,
            sent: None,
            hurry: false,
            last_sent: None,
            recovered_at: None,
            doubted_at: None,
            last_seq: 0,
            sent_rev: None,
            accepted_rev: None,
            omitting: Omitting::default(),
            omit_said: String::new(),
            deleted_at: None,
            refusals: 0,
            asked_to_wait: None,
            state: CheckinState::Connecting,
            trouble: None,
        }
    }

    /// The same machine, due at once: an identity has just been won, or a person waits.
    #[must_use]
    pub const fn at_once(mut self, now: BootMillis) -> Self {
        self.due = Some(now);
        self
    }

    /// The same machine, whose heartbeats come after one with that number.
    #[must_use]
    pub const fn after_seq(mut self, seq: u64) -> Self {
        self.last_seq = seq;
        self
    }

    /// The same machine, at a manager that has accepted the inventory of that revision in this boot.
    #[must_use]
    pub fn with_accepted_inventory(mut self, rev: Option<String>) -> Self {
        self.accepted_rev = rev;
        self
    }

    /// What to do at `now`; `rev` is the revision of the inventory that a heartbeat would carry. After a `Beat` or `Enrol` the
    /// answer must be reported before the next call.
    pub fn next(&mut self, now: Now, rev: &str) -> CheckinAction {
        match self.due_at() {
            Some(due) if due <= now.boot => {}
            later => return CheckinAction::Wait(later),
        }
        let mut enrol_for = self.enrol_for(now.wall);
        if enrol_for == Some(EnrolFor::Ended) && !self.mid_round && !self.may_recover(now.boot) {
            self.due = Some(self.slot.next_after(now.boot, self.interval_s));
            self.early = None;
            return CheckinAction::Wait(self.due);
        }
        if !self.mid_round {
            self.managers.begin_round();
        }
        let Some(manager) = self.managers.pick(now.boot) else {
            // Either there is no manager, or each has asked for a pause.
            self.due = self.managers.all_pause_until(now.boot).map(|at| self.first_slot_from(at, self.interval_s));
            return CheckinAction::Wait(self.due);
        };
        self.early = None;
        self.asked_to_wait = None;
        self.last_sent = Some(now.boot);
        if enrol_for == Some(EnrolFor::Ended) && self.tries_once_more(now) {
            self.doubted_at = Some(now.boot);
            enrol_for = None;
        }
        if let Some(why) = enrol_for {
            self.sent = Some(Sent::Enrol(why));
            return CheckinAction::Enrol(manager, why);
        }
        let key = self.keys.pick(now).unwrap_or_default();
        self.sent = Some(Sent::Beat(key));
        let omit = self.omitting.level(now.boot);
        let inventory = omit < Omit::Optional && self.accepted_rev.as_deref() != Some(rev);
        self.sent_rev = inventory.then(|| rev.to_owned());
        self.last_seq = now.boot.0.max(self.last_seq.saturating_add(1));
        CheckinAction::Beat(Beat { manager, key, inventory, omit, seq: self.last_seq })
    }

    /// Why the next request asks for an identity; `None` = it is a heartbeat.
    fn enrol_for(&self, wall: UnixMillis) -> Option<EnrolFor> {
        match self.goal {
            Goal::Enrol => Some(EnrolFor::First),
            Goal::Beat if self.lost => Some(EnrolFor::Lost),
            // A clock may be wrong: only where a request with the credential has failed is it believed to have ended.
            Goal::Beat if self.keys.is_lost(wall) && self.keys.end_was_seen() => Some(EnrolFor::Ended),
            Goal::Beat => None,
        }
    }

    /// Before another identity is asked for, a credential whose end only the other side reports is tried once more: the clock of a
    /// front may have been wrong, and then nothing has ended.
    fn tries_once_more(&self, now: Now) -> bool {
        let lately = self.doubted_at.is_some_and(|at| now.boot.since(at) < RECOVER_MS);
        self.recovered_at.is_some() && !lately && !self.mid_round && self.keys.end_is_in_doubt(now.wall)
    }

    fn may_recover(&self, now: BootMillis) -> bool {
        self.recovered_at.is_none_or(|at| now.since(at) >= RECOVER_MS)
    }

    fn due_at(&self) -> Option<BootMillis> {
        let gap = GAP_MS.max(self.early_gap_s * 1000);
        let floor = self.last_sent.map_or(BootMillis(0), |at| at.plus(gap));
        let early = self.early.filter(|_| self.state == CheckinState::Ok && self.trouble.is_none());
        match (self.due, early.map(|at| at.max(floor))) {
            (Some(due), Some(early)) => Some(due.min(early)),
            (due, early) => due.or(early),
        }
    }

    /// Something changed that the manager should not have to wait for.
    pub fn on_change(&mut self, now: BootMillis) {
        if self.goal == Goal::Beat {
            self.early.get_or_insert(now.plus(COALESCE_MS));
        }
    }

    /// This host's own interval is another one now: it counts until a reply asks for one.
    pub fn on_own_interval(&mut self, now: BootMillis, seconds: u64) {
        let seconds = clamp_interval(seconds);
        if self.asked_interval_s.is_some() || self.interval_s == seconds {
            return;
        }
        self.interval_s = seconds;
        if self.is_accepted() && self.due.is_some() && self.sent.is_none() {
            self.due = Some(self.own_slot(now, seconds));
        }
    }

    /// The zone of this host is another one now.
    pub fn on_zone(&mut self, zone: Option<&str>) {
        self.managers.set_zone(zone.map(str::to_owned));
    }

    /// Other credentials are at hand; `at_once` where one of them is to be tried now (a token file was edited, a credential was
    /// renewed).
    pub fn on_keys(&mut self, now: BootMillis, keys: Vec<Key>, at_once: bool) {
        self.keys.replace(keys);
        if at_once {
            self.due = Some(now);
            self.mid_round = false;
            self.hurry = self.sent.is_some();
        }
    }

    /// The last heartbeat was sent once more, with this number.
    pub fn on_resent(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// The answer to the last `Beat` or `Enrol` that was not the acceptance of an enrolment. Gives the credentials that are of no
    /// use any more.
    pub fn on_answer(&mut self, now: Now, answer: Answer) -> Vec<KeyId> {
        self.mid_round = false;
        let useless = self.answered(now, answer);
        // Credentials that came while the request was under way are not put off by its answer.
        if std::mem::take(&mut self.hurry) && self.due.is_some() {
            self.due = Some(now.boot);
        }
        useless
    }

    fn answered(&mut self, now: Now, answer: Answer) -> Vec<KeyId> {
        match (self.sent.take(), answer) {
            (Some(Sent::Beat(key)), Answer::Accepted(reply)) => return self.accepted(now, key, reply),
            (Some(Sent::Beat(key)), Answer::Refused(refused)) => self.refused(now, key, &refused),
            (Some(Sent::Beat(key)), Answer::Failed(fault)) => self.failed(now, key, &fault),
            (Some(Sent::Enrol(EnrolFor::Lost)), Answer::Refused(_) | Answer::Failed(_)) => self.not_found_again(now),
            (Some(Sent::Enrol(why)), Answer::Refused(refused)) => self.no_identity(now, why, &refused),
            (Some(Sent::Enrol(why)), Answer::Failed(fault)) => self.nobody_enrolled(now, why, &fault),
            (Some(Sent::Enrol(_)), Answer::Accepted(_)) | (None, _) => {}
        }
        Vec::new()
    }

    fn own_slot(&self, now: BootMillis, interval_s: u64) -> BootMillis {
        let floor = self.last_sent.map_or(now, |at| at.plus(GAP_MS));
        self.slot.next_after(now, interval_s).max(floor)
    }

    /// The first instant of this host's slot that is not before `at`.
    fn first_slot_from(&self, at: BootMillis, interval_s: u64) -> BootMillis {
        self.slot.next_after(BootMillis(at.0.saturating_sub(1)), interval_s)
    }
}

/// Seconds between early heartbeats, brought into the range that this agent accepts.
#[must_use]
pub const fn clamp_early_gap(seconds: u64) -> u64 {
    if seconds < 1 {
        1
    } else if seconds > EARLY_GAP_MAX_S {
        EARLY_GAP_MAX_S
    } else {
        seconds
    }
}
