//! A fleet in virtual time: the real machines of heartbeats, desired state and renewals of many hosts and the rule of the ledger,
//! against one manager that does what a scenario says. What must always hold is checked at each request.

use crate::world::{accepted, down, later, places, refused};
use model::checkin::features::ManagerFeatures;
use model::checkin::machine::GAP_MS;
use model::checkin::poll::POLL_WAIT_S;
use model::checkin::renewal::{RenewalSchedule, Rotate};
use model::checkin::slot::mix;
use model::checkin::{
    Answer, Beat, CheckinAction, CheckinConfig, CheckinMachine, Goal, Key, KeyId, KnownManagers, Poll, PollAction,
    PollAnswer, PollMachine, Reply, ReplyHints, Worth,
};
use model::desired::{Accepted, DesiredDocument, DesiredSections, DocumentId, Epoch, HeldDocument, accept};
use model::time::{BootMillis, Now, UnixMillis};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

/// How long a host has been up when the scenario begins, unless it boots in it: ten days.
const UP_MS: u64 = 864_000_000;
const WALL: i64 = 1_790_000_000_123;
const LATENCY_MS: u64 = 40;
/// A connection that is refused is noticed so soon.
const REFUSED_MS: u64 = 2;
/// Certificates live so long: longer than a scenario, unless it says otherwise.
const LIFE_MS: i64 = 90 * 86_400_000;

/// What is asked of a manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Beat,
    Poll,
    Renewal,
    Enrolment,
}

/// One host of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// When it booted; `None` = long ago.
    pub(crate) boots_at: Option<u64>,
    /// When its daemon starts.
    pub(crate) starts_at: u64,
    /// It has no identity yet.
    pub(crate) enrols: bool,
    /// It has the identity of that host: a clone.
    pub(crate) clone_of: Option<usize>,
}

/// What happens, in milliseconds since the scenario began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scenario {
    pub(crate) hosts: Vec<Start>,
    pub(crate) until: u64,
    pub(crate) early_gap_s: Option<u64>,
    /// The manager is down.
    pub(crate) outages: Vec<Range<u64>>,
    /// Every host has something to report.
    pub(crate) changes: Vec<u64>,
    /// Another document for every host; every tenth begins another epoch.
    pub(crate) documents: Vec<u64>,
    /// The manager hands a document out over so many seconds, each host at its own; 0 = to all at once.
    pub(crate) document_spread_s: u64,
    /// Replies ask for another credential.
    pub(crate) rotate: Option<(Range<u64>, Rotate)>,
    /// More enrolments in a second are answered 429 with this Retry-After in seconds.
    pub(crate) enrolments: Option<(u32, u64)>,
    /// The wall clock of each host whose number the last one divides is stepped.
    pub(crate) clock_steps: Vec<(u64, i64, usize)>,
    /// The file of the document in force is lost on each host whose number this divides.
    pub(crate) losses: Vec<(u64, usize)>,
}

/// Longest time between two heartbeats of a host.
pub(crate) const INTERVAL_S: u64 = 30;

impl Scenario {
    /// So many hosts that are in their stride: each has started some time in the interval before.
    pub(crate) fn steady(hosts: u64, until: u64) -> Self {
        let host =
            |n| Start { boots_at: None, starts_at: n * 7919 % (INTERVAL_S * 1000), enrols: false, clone_of: None };
        Self { hosts: (0..hosts).map(host).collect(), until, ..Self::default() }
    }

    fn is_down(&self, at: u64) -> bool {
        self.outages.iter().any(|outage| outage.contains(&at))
    }

    /// So much later than others a host gets a document, in seconds.
    fn bucket(&self, n: usize) -> u64 {
        mix(u64::try_from(n).unwrap()) % self.document_spread_s.max(1)
    }

    /// How many documents a host has been handed at that instant.
    fn published(&self, n: usize, at: u64) -> usize {
        let late = self.bucket(n) * 1000;
        self.documents.partition_point(|when| when + late <= at)
    }
}

/// The document of that number, from 1 on.
fn document(number: usize) -> DesiredDocument {
    let (epoch, revision) = ((number - 1) / 10, (number - 1) % 10 + 1);
    DesiredDocument {
        id: DocumentId {
            epoch: Epoch::try_from(format!("e{epoch}")).unwrap(),
            revision: u64::try_from(revision).unwrap().try_into().unwrap(),
        },
        issued_at: None,
        server_id: None,
        not_after: None,
        requires: Vec::new(),
        wishes: DesiredSections::default(),
    }
}

/// One host: its machines, and what was seen of it.
struct Host {
    key: String,
    boots_at: Option<u64>,
    wall_error: i64,
    checkin: CheckinMachine,
    poll: PollMachine,
    renewal: RenewalSchedule,
    renewed_at: i64,
    /// The answer that is under way.
    back: Option<(u64, Answer, Option<Beat>)>,
    held: Option<(Poll, u64)>,
    in_force: Option<DesiredDocument>,
    epochs_left: Vec<Epoch>,
    wake: u64,
    last: Option<(u64, u64)>,
    /// The manager asked to be left alone until then.
    pause_until: u64,
    epochs_seen: Vec<String>,
}

impl Host {
    fn new(n: usize, start: &Start) -> Self {
        let key = format!("host-{}", start.clone_of.unwrap_or(n));
        let mut host = Self {
            checkin: CheckinMachine::new(config(&key, Goal::Beat, BootMillis(0)), BootMillis(0), UnixMillis(WALL)),
            key,
            boots_at: start.boots_at,
            wall_error: 0,
            poll: PollMachine::default(),
            renewal: RenewalSchedule::default(),
            renewed_at: WALL,
            back: None,
            held: None,
            in_force: None,
            epochs_left: Vec::new(),
            wake: start.starts_at,
            last: None,
            pause_until: 0,
            epochs_seen: Vec::new(),
        };
        let (now, goal) = (host.at(start.starts_at), if start.enrols { Goal::Enrol } else { Goal::Beat });
        host.checkin = CheckinMachine::new(config(&host.key, goal, now.boot), now.boot, now.wall);
        host
    }

    fn at(&self, t: u64) -> Now {
        let wall = WALL + i64::try_from(t).unwrap() + self.wall_error;
        let boot = self.boots_at.map_or(t + UP_MS, |booted| t.saturating_sub(booted));
        Now { boot: BootMillis(boot), wall: UnixMillis(wall) }
    }

    /// An instant of this host's CLOCK_BOOTTIME in the scenario's time.
    fn outside(&self, boot: BootMillis) -> u64 {
        self.boots_at.map_or(boot.0.saturating_sub(UP_MS), |booted| boot.0.saturating_add(booted))
    }

    fn life(&self) -> Option<(UnixMillis, UnixMillis)> {
        Some((UnixMillis(self.renewed_at), UnixMillis(self.renewed_at + LIFE_MS)))
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

/// What came of a scenario.
pub(crate) struct Outcome {
    /// Requests of each kind in each second.
    pub(crate) per_second: BTreeMap<Kind, Vec<u32>>,
    /// When each host's heartbeats were accepted, in milliseconds; only those from `kept_from` on.
    pub(crate) accepted: Vec<Vec<u64>>,
    /// How many hosts hold the newest document.
    pub(crate) up_to_date: usize,
    /// Identities that were given.
    pub(crate) identities: usize,
    /// Requests that were made.
    pub(crate) requests: u64,
}

impl Outcome {
    /// The most requests of a kind in one second of that time.
    pub(crate) fn peak(&self, kind: Kind, seconds: Range<usize>) -> f64 {
        let all = self.per_second.get(&kind).map(Vec::as_slice).unwrap_or_default();
        let most = all.iter().take(seconds.end).skip(seconds.start).max();
        f64::from(most.copied().unwrap_or(0))
    }

    /// All requests of a kind in that time.
    pub(crate) fn sum(&self, kind: Kind, seconds: Range<usize>) -> u32 {
        let all = self.per_second.get(&kind).map(Vec::as_slice).unwrap_or_default();
        all.iter().take(seconds.end).skip(seconds.start).sum()
    }

    /// The first accepted heartbeat of each host from that instant on, sorted, as the time since.
    pub(crate) fn back_after(&self, at: u64) -> Vec<u64> {
        let first = |beats: &Vec<u64>| beats.iter().find(|beat| **beat >= at).map(|beat| beat - at);
        let mut all: Vec<u64> = self.accepted.iter().map(|beats| first(beats).unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        all
    }
}

/// The fleet while it runs.
pub(crate) struct Fleet {
    scenario: Scenario,
    documents: Vec<DesiredDocument>,
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    outcome: Outcome,
    /// Enrolments that were taken in the second.
    taken: (u64, u32),
    identities: BTreeMap<String, usize>,
    /// The last heartbeat of each identity: from which host, and its number. A clone is seen by it.
    heard: Vec<Option<(usize, u64)>>,
    keep: bool,
}

impl Fleet {
    /// Runs a scenario to its end.
    pub(crate) fn run(scenario: Scenario) -> Outcome {
        Self::start(scenario, true).finish()
    }

    /// The same, without a memory of single heartbeats.
    pub(crate) fn run_long(scenario: Scenario) -> Outcome {
        Self::start(scenario, false).finish()
    }

    fn start(scenario: Scenario, keep: bool) -> Self {
        let hosts: Vec<_> = scenario.hosts.iter().enumerate().map(|(n, start)| Host::new(n, start)).collect();
        let queue = hosts.iter().enumerate().map(|(n, host)| Reverse((host.wake, n))).collect();
        let accepted = vec![Vec::new(); hosts.len()];
        let outcome = Outcome { per_second: BTreeMap::new(), accepted, up_to_date: 0, identities: 0, requests: 0 };
        let documents = (1..=scenario.documents.len()).map(document).collect();
        let (identities, heard) = (BTreeMap::new(), vec![None; hosts.len()]);
        Self { scenario, documents, hosts, queue, outcome, taken: (0, 0), identities, heard, keep }
    }

    fn finish(mut self) -> Outcome {
        let mut events = self.events();
        while let Some(Reverse((at, n))) = self.queue.pop() {
            while let Some((when, event)) = events.last().copied().filter(|(when, _)| *when <= at) {
                events.pop();
                self.happen(when, event);
            }
            if at >= self.scenario.until {
                break;
            }
            // One that was put off, or is there twice.
            if self.hosts[n].wake == at {
                self.turn(n, at);
            }
        }
        self.nobody_is_late();
        let newest = self.documents.last().map(|document| &document.id);
        let in_force = |host: &&Host| host.in_force.as_ref().map(|held| &held.id) == newest;
        self.outcome.up_to_date = self.hosts.iter().filter(in_force).count();
        self.outcome.identities = self.identities.len();
        self.outcome
    }

    /// What happens to all hosts at once, the last first.
    fn events(&self) -> Vec<(u64, Event)> {
        let scenario = &self.scenario;
        let mut all: Vec<_> = scenario.changes.iter().map(|at| (*at, Event::Change)).collect();
        let buckets = 0..scenario.document_spread_s.max(1);
        let handed =
            |at: &u64| buckets.clone().map(|bucket| (at + bucket * 1000, Event::Document(bucket))).collect::<Vec<_>>();
        all.extend(scenario.documents.iter().flat_map(handed));
        all.extend(scenario.outages.iter().map(|outage| (outage.start, Event::Cut)));
        all.extend(scenario.clock_steps.iter().map(|(at, by, each)| (*at, Event::Step(*by, *each))));
        all.extend(scenario.losses.iter().map(|(at, each)| (*at, Event::Loss(*each))));
        all.sort_by_key(|(at, _)| Reverse(*at));
        all
    }

    fn happen(&mut self, at: u64, event: Event) {
        for (n, host) in self.hosts.iter_mut().enumerate() {
            let now = host.at(at);
            match event {
                Event::Document(bucket) if self.scenario.bucket(n) != bucket => continue,
                Event::Change => host.checkin.on_change(now.boot),
                Event::Step(by, each) if n % each == 0 => host.wall_error += by,
                Event::Loss(each) if n % each == 0 => {
                    host.in_force = None;
                    host.epochs_left.clear();
                    host.poll.on_held(None, None);
                }
                Event::Step(..) | Event::Loss(_) => continue,
                Event::Cut | Event::Document(_) => {
                    let Some((poll, _)) = host.held.take() else { continue };
                    let answer = match event {
                        Event::Document(_) => {
                            take(host, self.documents[self.scenario.published(n, at) - 1].clone(), now)
                        }
                        Event::Cut | Event::Change | Event::Step(..) | Event::Loss(_) => PollAnswer::Broken,
                    };
                    host.poll.on_answer(now.boot, poll.number, answer);
                }
            }
            if host.wake > at {
                host.wake = at;
                self.queue.push(Reverse((at, n)));
            }
        }
    }

    fn count(&mut self, kind: Kind, at: u64) {
        let seconds = usize::try_from(self.scenario.until / 1000 + 1).unwrap();
        let counts = self.outcome.per_second.entry(kind).or_insert_with(|| vec![0; seconds]);
        counts[usize::try_from(at / 1000).unwrap()] += 1;
        self.outcome.requests += 1;
    }

    /// All that is due on one host.
    fn turn(&mut self, n: usize, at: u64) {
        self.deliver(n, at);
        let mut next = vec![self.beat(n, at), self.polls(n, at), self.renews(n, at)];
        let host = &mut self.hosts[n];
        next.push(host.back.as_ref().map(|(back, ..)| *back));
        next.push(host.held.as_ref().map(|(_, since)| since + POLL_WAIT_S * 1000));
        host.wake = next.into_iter().flatten().min().unwrap_or(u64::MAX).max(at + 1);
        self.queue.push(Reverse((host.wake, n)));
    }

    /// The answer that has come.
    fn deliver(&mut self, n: usize, at: u64) {
        let newest = self.newest(n, at).map(|document| document.id.clone());
        let rotate =
            self.scenario.rotate.clone().filter(|(when, _)| when.contains(&at)).map_or(Rotate::No, |(_, how)| how);
        let host = &mut self.hosts[n];
        let now = host.at(at);
        if let Some((poll, _)) = host.held.take_if(|(_, since)| at >= *since + POLL_WAIT_S * 1000) {
            host.poll.on_answer(now.boot, poll.number, PollAnswer::Unchanged);
        }
        let Some((_, answer, beat)) = host.back.take_if(|(back, ..)| *back <= at) else { return };
        let is_accepted = matches!(answer, Answer::Accepted(_));
        match beat {
            // An identity: heartbeats begin at once.
            None if is_accepted => {
                let config = config(&host.key, Goal::Beat, now.boot);
                host.checkin = CheckinMachine::new(config, now.boot, now.wall).at_once(now.boot);
            }
            None => drop(host.checkin.on_answer(now, answer)),
            Some(beat) => {
                host.checkin.on_answer(now, answer);
                if is_accepted {
                    let features = Some(ManagerFeatures { gzip: true, long_poll: true, events: false });
                    let hints = ReplyHints { newest, embedded: false };
                    host.poll.on_accepted(now.boot, (&beat.manager, beat.key), features, INTERVAL_S, hints);
                    let (slot, interval_s) = (host.checkin.slot(), host.checkin.interval_s());
                    host.renewal.on_reply(now.boot, rotate, slot, interval_s);
                } else {
                    let trouble = host.checkin.trouble().map(|(trouble, _)| *trouble);
                    host.poll.on_not_accepted(trouble);
                }
            }
        }
    }

    /// A heartbeat or an enrolment, where one is due; when to look again.
    fn beat(&mut self, n: usize, at: u64) -> Option<u64> {
        let host = &mut self.hosts[n];
        if host.back.is_some() {
            return None;
        }
        match host.checkin.next(host.at(at), "rev-1") {
            CheckinAction::Wait(until) => until.map(|until| host.outside(until)),
            CheckinAction::Beat(beat) => {
                self.judge(n, at, &beat);
                self.count(Kind::Beat, at);
                let (latency, answer) = self.answer_beat(n, at, &beat);
                if self.keep && matches!(answer, Answer::Accepted(_)) {
                    self.outcome.accepted[n].push(at);
                }
                self.hosts[n].back = Some((at + latency, answer, Some(beat)));
                None
            }
            CheckinAction::Enrol(..) => {
                assert!(at >= host.pause_until, "{}: an enrolment within the pause", host.key);
                self.count(Kind::Enrolment, at);
                let (latency, answer) = self.answer_enrolment(n, at);
                self.hosts[n].back = Some((at + latency, answer, None));
                None
            }
        }
    }

    /// What holds of every heartbeat.
    fn judge(&mut self, n: usize, at: u64, beat: &Beat) {
        let host = &mut self.hosts[n];
        if let Some((before, seq)) = host.last {
            let apart = at - before;
            assert!(apart >= GAP_MS, "{}: two heartbeats within {apart} ms", host.key);
            assert!(apart <= INTERVAL_S * 1000 + 3000, "{}: {apart} ms between two heartbeats", host.key);
            assert!(beat.seq > seq, "{}: number {} behind {seq}", host.key, beat.seq);
        }
        assert!(at >= host.pause_until, "{}: a heartbeat within the pause", host.key);
        host.last = Some((at, beat.seq));
    }

    fn answer_beat(&mut self, n: usize, at: u64, beat: &Beat) -> (u64, Answer) {
        if self.scenario.is_down(at) {
            return (REFUSED_MS, down());
        }
        let identity = self.scenario.hosts[n].clone_of.unwrap_or(n);
        let heard = self.heard[identity].replace((n, beat.seq));
        // A manager sees a clone by the boot id, here by the number of the host, that another one has followed.
        if heard.is_some_and(|(before, seq)| before != n && seq > 0 && n > before) {
            return (LATENCY_MS, refused(409, "duplicate_agent"));
        }
        let reply = Reply { early_gap_s: self.scenario.early_gap_s, ..Reply::default() };
        (LATENCY_MS, Answer::Accepted(reply))
    }

    fn answer_enrolment(&mut self, n: usize, at: u64) -> (u64, Answer) {
        if self.scenario.is_down(at) {
            return (REFUSED_MS, down());
        }
        if let Some((most, retry_after_s)) = self.scenario.enrolments {
            if self.taken.0 != at / 1000 {
                self.taken = (at / 1000, 0);
            }
            if self.taken.1 >= most {
                self.hosts[n].pause_until = at + LATENCY_MS + retry_after_s * 1000;
                return (LATENCY_MS, later(429, retry_after_s));
            }
            self.taken.1 += 1;
        }
        let before = self.identities.insert(self.hosts[n].key.clone(), n);
        assert_eq!(before, None, "a second identity for a host");
        (LATENCY_MS, accepted())
    }

    /// The newest document of a host at that instant.
    fn newest(&self, n: usize, at: u64) -> Option<&DesiredDocument> {
        self.documents.get(self.scenario.published(n, at).checked_sub(1)?)
    }

    /// A request for desired state, where one is due.
    fn polls(&mut self, n: usize, at: u64) -> Option<u64> {
        let (is_down, newest) = (self.scenario.is_down(at), self.newest(n, at).cloned());
        let host = &mut self.hosts[n];
        let now = host.at(at);
        match host.poll.next(now.boot) {
            PollAction::Wait(until) => until.map(|until| host.outside(until)),
            PollAction::Drop => {
                host.held = None;
                Some(at + 1)
            }
            PollAction::Open(poll) => {
                if is_down {
                    host.poll.on_answer(now.boot, poll.number, PollAnswer::Broken);
                } else if let Some(newest) = newest.filter(|newest| poll.held.as_ref() != Some(&newest.id)) {
                    let answer = take(host, newest, now);
                    host.poll.on_answer(now.boot, poll.number, answer);
                } else {
                    host.held = Some((poll, at));
                }
                self.count(Kind::Poll, at);
                Some(at + 1)
            }
        }
    }

    /// A renewal, where one is due.
    fn renews(&mut self, n: usize, at: u64) -> Option<u64> {
        let is_down = self.scenario.is_down(at);
        let host = &mut self.hosts[n];
        let now = host.at(at);
        let slot = host.checkin.slot();
        let due = host.renewal.due(now, host.life(), slot.hash()).filter(|_| host.checkin.is_accepted())?;
        if due > now.boot {
            return Some(host.outside(due));
        }
        if is_down {
            host.renewal.failed(now.boot, slot, INTERVAL_S, None);
        } else {
            host.renewal.succeeded(now.boot);
            host.renewed_at = now.wall.0;
        }
        self.count(Kind::Renewal, at);
        Some(at + 1)
    }

    /// At the end, no host has been silent for too long.
    fn nobody_is_late(&self) {
        for host in self.hosts.iter().filter(|host| host.checkin.goal() == Goal::Beat) {
            let until = self.scenario.until;
            if let Some((last, _)) = host.last {
                assert!(until.saturating_sub(last) <= INTERVAL_S * 1000 + 3000, "{} has fallen silent", host.key);
            }
        }
    }
}

/// What happens to all hosts at once.
#[derive(Debug, Clone, Copy)]
enum Event {
    Change,
    Document(u64),
    Cut,
    Step(i64, usize),
    Loss(usize),
}

/// A document has come: judged as the keeper of documents does, and kept where it is news.
fn take(host: &mut Host, document: DesiredDocument, now: Now) -> PollAnswer {
    let held = HeldDocument {
        server_id: &host.key,
        in_force: host.in_force.as_ref(),
        epochs_left: &host.epochs_left,
        now: now.wall,
    };
    match accept(&document, held, || true) {
        Ok(Accepted::New { epochs_left }) => {
            let before = host.in_force.as_ref().filter(|before| before.id.epoch == document.id.epoch);
            assert!(before.is_none_or(|before| before.id.revision < document.id.revision), "a revision went back");
            let epoch = document.id.epoch.to_string();
            let went_back = host.epochs_seen.iter().rev().skip(1).any(|seen| *seen == epoch);
            assert!(!went_back, "{}: the epoch {epoch} came again", host.key);
            if host.epochs_seen.last() != Some(&epoch) {
                host.epochs_seen.push(epoch);
            }
            host.epochs_left = epochs_left;
            host.poll.on_held(Some(&document.id), None);
            host.in_force = Some(document);
            PollAnswer::Accepted
        }
        Ok(Accepted::Same) => PollAnswer::Known,
        Err(refused) => panic!("{}: {refused}", host.key),
    }
}
