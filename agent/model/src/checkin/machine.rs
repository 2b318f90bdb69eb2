//! The check-in as a state machine in virtual time: it is told what happened, and says what to do next.

use crate::checkin::answer::{Answer, Fault, Meaning, Refused, Reply};
use crate::checkin::condition::Standing;
use crate::checkin::manager::{MANAGERS_MAX, ManagerAddress, Managers};
use crate::checkin::omit::{Omit, Omitting};
use crate::checkin::slot::{RETRY_MAX_S, Slot, clamp_interval, mix};
use crate::checkin::trouble::Trouble;
use crate::enrol::CheckinState;
use crate::time::{BootMillis, UnixMillis};

/// Changes are collected for so long before an early heartbeat, in milliseconds.
pub const COALESCE_MS: u64 = 250;
/// Two heartbeats are never closer than this, but for a second credential or a second manager, in milliseconds.
pub const GAP_MS: u64 = 1000;
/// A host that was up for less than this when the daemon starts waits for its slot, in milliseconds.
pub const FRESH_BOOT_MS: u64 = 600_000;
/// Mean time between two tries with a credential that is refused, in milliseconds; each is off by up to half of it.
pub const UNAUTHENTICATED_MS: u64 = 15_000;
/// Two answers that this host is deleted count only so far apart, in milliseconds.
pub const DELETED_TWICE_MS: u64 = 60_000;

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
pub struct Config {
    /// Server id; before there is one, anything that stays and differs from host to host.
    pub key: String,
    /// Enrol first, or beat.
    pub goal: Goal,
    /// Seconds between heartbeats until the manager says otherwise.
    pub interval_s: u64,
    /// Zone of this host.
    pub zone: Option<String>,
    /// The managers as last heard of.
    pub managers: Vec<ManagerAddress>,
    /// The managers of the configuration: whatever a reply says, they stay behind its list, and the one in use stays in use.
    pub fallback: Vec<ManagerAddress>,
    /// How many credentials are at hand.
    pub credentials: usize,
    /// An enrolment token is still at hand, for a manager that does not know this host.
    pub may_enrol_again: bool,
}

/// One heartbeat that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// To whom.
    pub manager: ManagerAddress,
    /// With which credential, counted from 0 in the order of age.
    pub credential: usize,
    /// With inventory and agent.
    pub inventory: bool,
    /// What is left out.
    pub omit: Omit,
    /// CLOCK_BOOTTIME in milliseconds, strictly rising.
    pub seq: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing before that instant; `None` = nothing before something happens.
    Wait(Option<BootMillis>),
    /// Send a heartbeat, then tell the answer.
    Beat(Beat),
    /// Ask that manager for an identity, then tell the answer.
    Enrol(ManagerAddress),
}

/// The machine. One request at a time; nothing in it reads a clock.
#[derive(Debug, Clone)]
pub struct Machine {
    slot: Slot,
    goal: Goal,
    interval_s: u64,
    managers: Managers,
    fallback: Vec<ManagerAddress>,
    may_enrol_again: bool,
    lost: bool,
    credentials: usize,
    credential: usize,
    credential_turns: usize,
    due: Option<BootMillis>,
    early: Option<BootMillis>,
    mid_round: bool,
    last_sent: Option<BootMillis>,
    last_seq: u64,
    sent_rev: Option<String>,
    accepted_rev: Option<String>,
    omitting: Omitting,
    omit_said: String,
    deleted_at: Option<BootMillis>,
    refusals: u64,
    state: CheckinState,
    trouble: Option<(Trouble, String)>,
}

impl Machine {
    /// A machine that starts now: at once, or in its own slot where the host itself has just booted.
    #[must_use]
    pub fn new(config: Config, now: BootMillis, wall: UnixMillis) -> Self {
        let slot = Slot::anchored(&config.key, now, wall);
        let interval_s = clamp_interval(config.interval_s);
        let due = if now.0 < FRESH_BOOT_MS { slot.next_after(now, interval_s) } else { now };
        Self {
            slot,
            goal: config.goal,
            interval_s,
            managers: Managers::new(&[config.managers, config.fallback.clone()].concat(), config.zone),
            fallback: config.fallback,
            may_enrol_again: config.may_enrol_again,
            lost: false,
            credentials: config.credentials.max(1),
            credential: 0,
            credential_turns: 0,
            due: Some(due),
            early: None,
            mid_round: false,
            last_sent: None,
            last_seq: 0,
            sent_rev: None,
            accepted_rev: None,
            omitting: Omitting::default(),
            omit_said: String::new(),
            deleted_at: None,
            refusals: 0,
            state: CheckinState::Connecting,
            trouble: None,
        }
    }

    /// The same machine, due at once: an identity has just been won.
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

    /// What to do at `now`; `rev` is the revision of the inventory that a heartbeat would carry. After a `Beat` or `Enrol` the
    /// answer must be told before the next call.
    pub fn next(&mut self, now: BootMillis, rev: &str) -> Action {
        match self.due_at() {
            Some(due) if due <= now => {}
            later => return Action::Wait(later),
        }
        if !self.mid_round {
            self.managers.begin_round();
        }
        let Some(manager) = self.managers.pick(now) else {
            self.due = None;
            return Action::Wait(None);
        };
        self.early = None;
        self.last_sent = Some(now);
        if self.goal == Goal::Enrol {
            return Action::Enrol(manager);
        }
        let omit = self.omitting.level(now);
        let inventory = omit < Omit::Optional && self.accepted_rev.as_deref() != Some(rev);
        self.sent_rev = inventory.then(|| rev.to_owned());
        self.last_seq = now.0.max(self.last_seq.saturating_add(1));
        Action::Beat(Beat { manager, credential: self.credential, inventory, omit, seq: self.last_seq })
    }

    fn due_at(&self) -> Option<BootMillis> {
        let floor = self.last_sent.map_or(BootMillis(0), |at| at.plus(GAP_MS));
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

    /// Other credentials are at hand (a token file was edited, the manager sent a next token): `use_now` is tried at once.
    pub fn on_credentials(&mut self, now: BootMillis, count: usize, use_now: Option<usize>) {
        self.credentials = count.max(1);
        self.credential_turns = 0;
        if let Some(index) = use_now {
            self.credential = index;
            self.due = Some(now);
            self.mid_round = false;
        }
    }

    /// The credential in use has worked and the older ones were dropped: it is the oldest of `count` now.
    pub fn settled(&mut self, count: usize) {
        self.credentials = count.max(1);
        self.credential = 0;
    }

    /// The answer to the last `Beat` or `Enrol` that was not the acceptance of an enrolment.
    pub fn on_answer(&mut self, now: BootMillis, answer: Answer) {
        self.mid_round = false;
        if std::mem::take(&mut self.lost) {
            // One try to enrol again, then heartbeats as before: the manager may find this host yet.
            self.goal = Goal::Beat;
            let said = self.trouble.take().map(|(_, said)| said).unwrap_or_default();
            return self.wait_for_slot(now, Trouble::UnknownAgent, said);
        }
        match answer {
            Answer::Accepted(reply) => self.accepted(now, reply),
            Answer::Refused(refused) => self.refused(now, &refused),
            Answer::Failed(fault) => self.no_use(now, &fault),
        }
    }

    fn accepted(&mut self, now: BootMillis, reply: Reply) {
        self.managers.worked();
        if !reply.managers.is_empty() {
            let room = MANAGERS_MAX.saturating_sub(self.fallback.len());
            let named = reply.managers.into_iter().take(room);
            self.managers.replace(&named.chain(self.fallback.iter().cloned()).collect::<Vec<_>>());
        }
        if let Some(seconds) = reply.next_heartbeat_s {
            self.interval_s = clamp_interval(seconds);
        }
        if let Some(rev) = self.sent_rev.take() {
            self.accepted_rev = Some(rev);
        }
        if reply.need_inventory {
            self.accepted_rev = None;
        }
        self.credential_turns = 0;
        self.deleted_at = None;
        self.trouble = None;
        self.state = CheckinState::Ok;
        self.due = Some(self.own_slot(now, self.interval_s));
    }

    fn own_slot(&self, now: BootMillis, interval_s: u64) -> BootMillis {
        let floor = self.last_sent.map_or(now, |at| at.plus(GAP_MS));
        self.slot.next_after(now, interval_s).max(floor)
    }

    fn retry_slot(&self, now: BootMillis) -> BootMillis {
        self.own_slot(now, self.interval_s.min(RETRY_MAX_S))
    }

    fn stands(&mut self, trouble: Trouble, said: String) {
        self.early = None;
        self.state = trouble.state().unwrap_or(self.state);
        self.trouble = Some((trouble, said));
    }

    fn refused(&mut self, now: BootMillis, refused: &Refused) {
        let meaning = refused.meaning();
        let said = self.with_manager(&refused.words());
        if meaning != Meaning::OutOfOrder {
            self.managers.worked();
        }
        match (meaning, self.goal) {
            (Meaning::OutOfOrder, _) | (Meaning::UnknownAgent | Meaning::Deleted, Goal::Enrol) => {
                self.next_manager(now, said);
            }
            (Meaning::Pending, goal) => self.pending(now, goal, refused, said),
            (Meaning::BadReport, _) => self.bad_report(now, said),
            (Meaning::TooLarge, _) => self.too_large(now, said),
            (Meaning::Unauthenticated, Goal::Beat) => self.unauthenticated(now, said),
            (Meaning::Unauthenticated, Goal::Enrol) => self.stop(Trouble::Unauthenticated, said),
            (Meaning::Duplicate, Goal::Enrol) => self.stop(Trouble::DuplicateIdentity, said),
            (Meaning::Duplicate, Goal::Beat) => self.wait_for_slot(now, Trouble::DuplicateIdentity, said),
            (Meaning::UpgradeRequired, _) => self.wait_for_slot(now, Trouble::UpgradeRequired, said),
            (Meaning::UnknownAgent, Goal::Beat) => self.unknown(now, refused, said),
            (Meaning::Deleted, Goal::Beat) => self.deleted(now, said),
            (Meaning::RateLimited, _) => {
                let pause = refused.retry_after_ms().map(|ms| now.plus(ms));
                self.due = Some(pause.unwrap_or_else(|| self.own_slot(now, self.interval_s)));
                self.stands(Trouble::RateLimited, said);
            }
        }
    }

    fn with_manager(&self, words: &str) -> String {
        self.managers.current().map_or_else(|| words.to_owned(), |m| format!("{m} {words}"))
    }

    fn no_use(&mut self, now: BootMillis, fault: &Fault) {
        self.next_manager(now, fault.said.clone());
    }

    fn next_manager(&mut self, now: BootMillis, said: String) {
        if self.managers.failed(now) {
            self.mid_round = true;
            self.due = Some(now);
        } else {
            self.due = Some(self.retry_slot(now));
            self.stands(Trouble::Unreachable, said);
        }
    }

    fn wait_for_slot(&mut self, now: BootMillis, trouble: Trouble, said: String) {
        self.due = Some(self.own_slot(now, self.interval_s));
        self.stands(trouble, said);
    }

    fn stop(&mut self, trouble: Trouble, said: String) {
        self.due = None;
        self.stands(trouble, said);
    }

    fn pending(&mut self, now: BootMillis, goal: Goal, refused: &Refused, said: String) {
        let asked = refused.retry_after_ms().filter(|_| goal == Goal::Enrol);
        self.due = Some(asked.map_or_else(|| self.own_slot(now, RETRY_MAX_S), |ms| now.plus(ms)));
        self.stands(Trouble::PendingApproval, said);
    }

    fn bad_report(&mut self, now: BootMillis, said: String) {
        self.omit(now, Omit::Optional, &said);
        self.wait_for_slot(now, Trouble::RejectedReport, said);
    }

    fn too_large(&mut self, now: BootMillis, said: String) {
        match self.omitting.level(now).next() {
            Some(more) => {
                self.omit(now, more, &said);
                self.stands(Trouble::RejectedReport, said);
                self.due = Some(now.plus(GAP_MS));
            }
            None => self.wait_for_slot(now, Trouble::RejectedReport, said),
        }
    }

    fn omit(&mut self, now: BootMillis, level: Omit, said: &str) {
        self.omitting = Omitting::from_now(level, now);
        said.clone_into(&mut self.omit_said);
    }

    fn unauthenticated(&mut self, now: BootMillis, said: String) {
        self.credential_turns += 1;
        if self.credential_turns < self.credentials {
            self.credential = (self.credential + 1) % self.credentials;
            self.due = Some(now);
        } else {
            self.refusals += 1;
            let off = mix(self.slot.hash() ^ self.refusals) % UNAUTHENTICATED_MS;
            self.due = Some(now.plus(UNAUTHENTICATED_MS / 2 + off));
        }
        self.stands(Trouble::Unauthenticated, said);
    }

    fn unknown(&mut self, now: BootMillis, refused: &Refused, said: String) {
        self.accepted_rev = None;
        if self.may_enrol_again && refused.code.as_deref() == Some("unknown_agent") {
            self.may_enrol_again = false;
            self.lost = true;
            self.goal = Goal::Enrol;
            self.due = Some(now);
            self.stands(Trouble::UnknownAgent, said);
        } else {
            self.wait_for_slot(now, Trouble::UnknownAgent, said);
        }
    }

    fn deleted(&mut self, now: BootMillis, said: String) {
        let first = *self.deleted_at.get_or_insert(now);
        if now.since(first) >= DELETED_TWICE_MS {
            self.stop(Trouble::Deleted, said);
        } else {
            self.wait_for_slot(now, Trouble::PerhapsDeleted, said);
        }
    }

    /// Where the check-in stands.
    #[must_use]
    pub const fn state(&self) -> CheckinState {
        self.state
    }

    /// Enrol first, or beat.
    #[must_use]
    pub const fn goal(&self) -> Goal {
        self.goal
    }

    /// What stands in the way, with what was said.
    #[must_use]
    pub const fn trouble(&self) -> Option<&(Trouble, String)> {
        self.trouble.as_ref()
    }

    /// The managers, in the order of the list.
    #[must_use]
    pub fn managers(&self) -> Vec<ManagerAddress> {
        self.managers.addresses()
    }

    /// The manager in use.
    #[must_use]
    pub const fn manager(&self) -> Option<&ManagerAddress> {
        self.managers.current()
    }

    /// Seconds between heartbeats now.
    #[must_use]
    pub const fn interval_s(&self) -> u64 {
        self.interval_s
    }

    /// The credential in use.
    #[must_use]
    pub const fn credential(&self) -> usize {
        self.credential
    }

    /// Seed of whatever must differ between hosts.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.slot.hash()
    }

    /// What stands now, for conditions.
    #[must_use]
    pub fn standing(&self, now: BootMillis) -> Vec<Standing> {
        let mut all = Vec::new();
        if let Some((trouble, said)) = &self.trouble {
            all.push(Standing { kind: trouble.condition(), message: format!("{said}; {}", trouble.remedy()) });
        }
        let left_out = self.omitting.level(now);
        let said_already = all.iter().any(|s| s.kind == Trouble::RejectedReport.condition());
        if left_out > Omit::Nothing && !said_already {
            let message = format!("{} left out, because the manager {}", left_out.words(), self.omit_said);
            all.push(Standing { kind: Trouble::RejectedReport.condition(), message });
        }
        all
    }
}
