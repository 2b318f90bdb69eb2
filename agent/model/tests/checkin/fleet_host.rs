//! One host of a fleet: its real machines, the clock that it reads, and what was seen of it. What must always hold of a host is
//! checked here, at each request and at each document.

use crate::fleet_scenario::{INTERVAL_S, Scenario, Start, number};
use crate::world::places;
use model::checkin::machine::GAP_MS;
use model::checkin::renewal::RenewalSchedule;
use model::checkin::slot::mix;
use model::checkin::{
    Answer, Beat, CheckinConfig, CheckinMachine, Goal, Key, KeyId, KnownManagers, Poll, PollAnswer, PollMachine, Worth,
};
use model::desired::{Accepted, DesiredDocument, DocumentError, Epoch, HeldDocument, accept};
use model::time::{BootMillis, Now, UnixMillis};

/// How long a host has been up when the scenario begins, unless it boots in it: ten days.
const UP_MS: u64 = 864_000_000;
const WALL: i64 = 1_790_000_000_123;
/// Certificates that outlive every scenario: 90 days.
const LONG_LIFE_MS: u64 = 90 * 86_400_000;
/// A daemon that is restarted is away for so long.
const RESTART_MS: u64 = 2000;
/// No host is later than its interval and this.
const LATE_MS: u64 = INTERVAL_S * 1000 + 3000;
/// Nothing is due.
pub(crate) const NEVER: u64 = u64::MAX;

/// What happens to a host from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    /// It has something to report.
    Change,
    /// The manager hands out the next document.
    Document,
    /// Its connections break.
    Cut,
    /// Its wall clock is stepped, in milliseconds.
    Step(i64),
    /// The file of the document in force is lost.
    Loss,
    /// Its daemon is restarted.
    Restart,
}

/// An answer that is under way.
pub(crate) struct Back {
    pub(crate) at: u64,
    pub(crate) answer: Answer,
    /// What it answers; `None` = an enrolment.
    pub(crate) beat: Option<Beat>,
    /// The manager asks to be left alone for so long from then on, in milliseconds.
    pub(crate) pause_ms: u64,
}

/// What was seen of a host by those who judge it.
#[derive(Default)]
struct Seen {
    /// The last heartbeat, and its number.
    beat: Option<(u64, u64)>,
    /// No request before.
    pause_until: u64,
    /// No request for desired state before.
    poll_pause_until: u64,
    /// It is late from then on: the interval counts from the last heartbeat, from a pause or from a start.
    counts_from: u64,
    /// The newest document that it ever had in force, counted from 1.
    newest: usize,
}

/// One host.
pub(crate) struct Host<'a> {
    pub(crate) n: usize,
    pub(crate) checkin: CheckinMachine,
    pub(crate) poll: PollMachine,
    pub(crate) renewal: RenewalSchedule,
    pub(crate) back: Option<Back>,
    /// A request that the manager holds, and since when.
    pub(crate) held: Option<(Poll, u64)>,
    /// What is still to happen to it, the last first.
    pub(crate) happenings: Vec<(u64, Happening)>,
    /// So many documents have been handed out to it.
    pub(crate) handed: usize,
    /// When each machine is to be asked next.
    pub(crate) beat_at: u64,
    pub(crate) poll_at: u64,
    pub(crate) renew_at: u64,
    key: String,
    is_clone: bool,
    boots_at: Option<u64>,
    wall_error: i64,
    life_ms: u64,
    /// When the certificate was made, by the clock of the manager.
    renewed_at: i64,
    in_force: Option<&'a DesiredDocument>,
    epochs_left: Vec<Epoch>,
    seen: Seen,
}

impl Host<'_> {
    /// A host whose daemon starts when the scenario wants it.
    pub(crate) fn new(n: usize, start: &Start, scenario: &Scenario) -> Self {
        let key = format!("host-{}", scenario.identity(n));
        let first = config(&key, Goal::Beat, BootMillis(0));
        let aged_ms = scenario.life_ms.map_or(0, |life_ms| mix(number(n)) % (life_ms / 3 * 2));
        let mut host = Self {
            n,
            checkin: CheckinMachine::new(first, BootMillis(0), UnixMillis(WALL)),
            poll: PollMachine::default(),
            renewal: RenewalSchedule::default(),
            back: None,
            held: None,
            happenings: scenario.of_host(n),
            handed: 0,
            beat_at: start.starts_at,
            poll_at: NEVER,
            renew_at: NEVER,
            key,
            is_clone: start.clone_of.is_some(),
            boots_at: start.boots_at,
            wall_error: 0,
            life_ms: scenario.life_ms.unwrap_or(LONG_LIFE_MS),
            renewed_at: WALL - i64::try_from(aged_ms).unwrap(),
            in_force: None,
            epochs_left: Vec::new(),
            seen: Seen { counts_from: start.starts_at, ..Seen::default() },
        };
        host.start(start.starts_at, if start.enrols { Goal::Enrol } else { Goal::Beat });
        host
    }

    fn start(&mut self, at: u64, goal: Goal) {
        let now = self.at(at);
        self.checkin = CheckinMachine::new(config(&self.key, goal, now.boot), now.boot, now.wall);
    }

    /// Its clocks at an instant of the scenario.
    pub(crate) fn at(&self, t: u64) -> Now {
        let wall = WALL + i64::try_from(t).unwrap() + self.wall_error;
        let boot = self.boots_at.map_or(t + UP_MS, |booted| t.saturating_sub(booted));
        Now { boot: BootMillis(boot), wall: UnixMillis(wall) }
    }

    /// An instant of this host's CLOCK_BOOTTIME in the scenario's time.
    pub(crate) fn outside(&self, boot: BootMillis) -> u64 {
        self.boots_at.map_or(boot.0.saturating_sub(UP_MS), |booted| boot.0.saturating_add(booted))
    }

    /// From when to when its certificate is good.
    pub(crate) fn life(&self) -> (UnixMillis, UnixMillis) {
        (UnixMillis(self.renewed_at), UnixMillis(self.renewed_at + i64::try_from(self.life_ms).unwrap()))
    }

    /// Its wall clock is stepped.
    pub(crate) const fn step_clock(&mut self, by_ms: i64) {
        self.wall_error += by_ms;
    }

    /// It has another certificate.
    pub(crate) fn renewed(&mut self, at: u64) {
        self.renewed_at = WALL + i64::try_from(at).unwrap();
    }

    /// An identity has been won: heartbeats begin at once.
    pub(crate) fn enrolled(&mut self, at: u64) {
        let now = self.at(at);
        self.start(at, Goal::Beat);
        self.checkin = self.checkin.clone().at_once(now.boot);
        self.renewed(at);
        self.seen.counts_from = at;
    }

    /// Its daemon is restarted: what is in memory is gone, what is on disk is there, and the requests are broken off.
    pub(crate) fn restarted(&mut self, at: u64) {
        let goal = self.checkin.goal();
        (self.back, self.held) = (None, None);
        self.start(at + RESTART_MS, goal);
        self.poll = PollMachine::default();
        self.poll.on_held(self.in_force.map(|document| &document.id), None);
        self.renewal = RenewalSchedule::default();
        (self.beat_at, self.poll_at, self.renew_at) = (at + RESTART_MS, NEVER, NEVER);
        // A start may be just before the slot, and a pause that was asked for does not outlast a restart.
        self.seen.pause_until = 0;
        self.seen.poll_pause_until = 0;
        self.seen.counts_from = self.seen.counts_from.max(at);
    }

    /// The file of the document in force is lost, with the epochs that were left: what the manager gives next is news.
    pub(crate) fn lost_its_document(&mut self) {
        self.in_force = None;
        self.epochs_left.clear();
        self.seen.newest = 0;
        self.poll.on_held(None, None);
    }

    /// What is in force for it.
    pub(crate) fn in_force(&self) -> Option<&DesiredDocument> {
        self.in_force
    }

    /// The manager has asked to be left alone.
    pub(crate) fn paused(&mut self, until: u64) {
        self.seen.pause_until = until;
        self.seen.counts_from = until;
    }

    /// The manager has asked to be left alone with requests for desired state.
    pub(crate) fn polls_paused(&mut self, until: u64) {
        self.seen.poll_pause_until = until;
    }

    /// What holds of every heartbeat.
    pub(crate) fn judge_beat(&mut self, at: u64, beat: &Beat) {
        let key = &self.key;
        if let Some((before, seq)) = self.seen.beat {
            let apart = at - before;
            assert!(apart >= GAP_MS, "{key} at {at}: two heartbeats within {apart} ms");
            assert!(beat.seq > seq, "{key} at {at}: number {} behind {seq}", beat.seq);
        }
        self.judge_request(at, "a heartbeat");
        self.judge_silence(at);
        let good_until = self.life().1.0;
        let is_good = WALL + i64::try_from(at).unwrap() < good_until;
        assert!(is_good || self.is_clone, "{key} at {at}: its certificate was good until {}", good_until - WALL);
        self.seen.beat = Some((at, beat.seq));
        self.seen.counts_from = at;
    }

    /// What holds of every request.
    pub(crate) fn judge_request(&self, at: u64, what: &str) {
        assert!(at >= self.seen.pause_until, "{} at {at}: {what} within the pause", self.key);
    }

    /// What holds of every request for desired state.
    pub(crate) fn judge_poll(&self, at: u64) {
        self.judge_request(at, "a request for desired state");
        assert!(at >= self.seen.poll_pause_until, "{} at {at}: asked again within the pause", self.key);
    }

    /// It has not been silent for too long.
    pub(crate) fn judge_silence(&self, at: u64) {
        let silent_ms = at.saturating_sub(self.seen.counts_from);
        assert!(silent_ms <= LATE_MS, "{} at {at}: silent for {silent_ms} ms", self.key);
    }
}

impl<'a> Host<'a> {
    /// The document of that number has come, from 1 on: judged as the keeper of documents does, and kept where it is news.
    pub(crate) fn takes(&mut self, documents: &'a [DesiredDocument], which: usize, now: Now) -> PollAnswer {
        let document = &documents[which - 1];
        let held = HeldDocument {
            server_id: &self.key,
            in_force: self.in_force,
            epochs_left: &self.epochs_left,
            now: now.wall,
        };
        match accept(document, held, || true) {
            Ok(Accepted::New { epochs_left }) => {
                let before = self.seen.newest;
                assert!(which > before, "{}: document {which} is in force behind {before}", self.key);
                self.seen.newest = which;
                self.epochs_left = epochs_left;
                self.poll.on_held(Some(&document.id), None);
                self.in_force = Some(document);
                PollAnswer::Accepted
            }
            Ok(Accepted::Same) => PollAnswer::Known,
            Err(DocumentError::StaleEpoch(_) | DocumentError::StaleRevision { .. }) if which < self.seen.newest => {
                self.poll.on_held(self.in_force.map(|held| &held.id), Some(&document.id));
                PollAnswer::Known
            }
            Err(refused) => panic!("{}: {refused}", self.key),
        }
    }
}

fn config(key: &str, goal: Goal, began: BootMillis) -> CheckinConfig {
    CheckinConfig {
        key: key.to_owned(),
        goal,
        interval_s: INTERVAL_S,
        asked_interval_s: None,
        zone: None,
        managers: KnownManagers { listed: places(&["manager"]), ..KnownManagers::default() },
        keys: vec![Key { id: KeyId(0), until: None, worth: Worth::Proven, shared: false }],
        may_enrol_again: false,
        began,
    }
}
