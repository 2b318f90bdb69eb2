//! A fleet in virtual time: hosts with the real machines of heartbeats, desired state and renewals and the rule of the ledger,
//! against one manager that does what a scenario wants. Hosts meet only at the manager: those that share an identity, or a limit of
//! it, run in one queue, and queues run on all cores.

use crate::fleet_host::{Back, Happening, Host, NEVER};
use crate::fleet_outcome::{Kind, Outcome};
use crate::fleet_scenario::{INTERVAL_S, Scenario, number};
use crate::world::{accepted, down, later, refused};
use model::checkin::features::ManagerFeatures;
use model::checkin::poll::POLL_WAIT_S;
use model::checkin::renewal::Rotate;
use model::checkin::slot::mix;
use model::checkin::{Answer, Beat, CheckinAction, Goal, Poll, PollAction, PollAnswer, Reply, ReplyHints};
use model::desired::DesiredDocument;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicUsize, Ordering};

const LATENCY_MS: u64 = 40;
/// A connection that is refused is noticed so soon.
const REFUSED_MS: u64 = 2;
/// Retry-After of a front that lets through no more, in seconds: longer than an interval, or a slot would be kept by itself.
const FRONT_RETRY_S: u64 = 45;

/// Hosts that meet, while they run.
pub(crate) struct Fleet<'a> {
    scenario: &'a Scenario,
    documents: &'a [DesiredDocument],
    hosts: Vec<Host<'a>>,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    outcome: &'a mut Outcome,
    /// Enrolments that were taken in the second.
    taken: (u64, u32),
    /// The host that each identity was given to, or from which it was first heard: another one is a clone.
    owners: BTreeMap<usize, usize>,
}

impl<'a> Fleet<'a> {
    /// Runs a scenario to its end.
    pub(crate) fn run(scenario: Scenario) -> Outcome {
        Self::run_queues(&scenario, true)
    }

    /// The same, without a memory of single heartbeats.
    pub(crate) fn run_long(scenario: Scenario) -> Outcome {
        Self::run_queues(&scenario, false)
    }

    fn run_queues(scenario: &Scenario, keep: bool) -> Outcome {
        let (queues, documents) = (queues(scenario), scenario.all_documents());
        let next = AtomicUsize::new(0);
        let work = || {
            let mut outcome = Outcome::new(scenario, keep);
            while let Some(queue) = queues.get(next.fetch_add(1, Ordering::Relaxed)) {
                Fleet::start(scenario, &documents, queue, &mut outcome).finish();
            }
            outcome
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(queues.len().max(1));
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            let of_worker = workers.into_iter().map(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(broken) => std::panic::resume_unwind(broken),
            });
            of_worker.reduce(Outcome::with).unwrap()
        })
    }

    fn start(
        scenario: &'a Scenario,
        documents: &'a [DesiredDocument],
        members: &[usize],
        outcome: &'a mut Outcome,
    ) -> Self {
        let hosts: Vec<_> = members.iter().map(|n| Host::new(*n, &scenario.hosts[*n], scenario)).collect();
        let queue = hosts.iter().enumerate().map(|(i, host)| Reverse((host.beat_at, i))).collect();
        Self { scenario, documents, hosts, queue, outcome, taken: (0, 0), owners: BTreeMap::new() }
    }

    fn finish(mut self) {
        while let Some(Reverse((at, i))) = self.queue.pop() {
            if at >= self.scenario.until {
                break;
            }
            let wake = self.turn(i, at);
            self.queue.push(Reverse((wake, i)));
        }
        for host in &self.hosts {
            if host.checkin.goal() == Goal::Beat {
                host.judge_silence(self.scenario.until);
            }
            let newest = self.documents.last().map(|document| &document.id);
            self.outcome.up_to_date += usize::from(host.in_force().map(|held| &held.id) == newest);
        }
    }

    /// All that is due on one host; when to look at it again.
    fn turn(&mut self, i: usize, at: u64) -> u64 {
        let has_happened = self.happenings(i, at);
        let is_answered = self.deliver(i, at);
        let is_unheld = self.unchanged(i, at);
        let all = has_happened || is_answered;
        if all || self.hosts[i].beat_at <= at {
            self.hosts[i].beat_at = self.beat(i, at).unwrap_or(NEVER);
        }
        if all || is_unheld || self.hosts[i].poll_at <= at {
            self.hosts[i].poll_at = self.polls(i, at).unwrap_or(NEVER);
        }
        if all || self.hosts[i].renew_at <= at {
            self.hosts[i].renew_at = self.renews(i, at).unwrap_or(NEVER);
        }
        let host = &self.hosts[i];
        let back = host.back.as_ref().map_or(NEVER, |back| back.at);
        let held = host.held.as_ref().map_or(NEVER, |(_, since)| since + POLL_WAIT_S * 1000);
        let next = host.happenings.last().map_or(NEVER, |(when, _)| *when);
        let due = [host.beat_at, host.poll_at, host.renew_at, back, held, next];
        due.into_iter().min().unwrap_or(NEVER).max(at + 1)
    }

    /// What has happened to it since; true where something has.
    fn happenings(&mut self, i: usize, at: u64) -> bool {
        let host = &mut self.hosts[i];
        let mut any = false;
        while let Some((_, happening)) = host.happenings.pop_if(|(when, _)| *when <= at) {
            any = true;
            let now = host.at(at);
            match happening {
                Happening::Change => host.checkin.on_change(now.boot),
                Happening::Step(by) => host.step_clock(by),
                Happening::Loss => host.lost_its_document(),
                Happening::Restart => host.restarted(at),
                Happening::Document => {
                    host.handed += 1;
                    if let Some((poll, _)) = host.held.take() {
                        let answer = host.takes(self.documents, host.handed, now);
                        host.poll.on_answer(now.boot, poll.number, answer);
                    }
                }
                Happening::Cut => {
                    if let Some((poll, _)) = host.held.take() {
                        host.poll.on_answer(now.boot, poll.number, PollAnswer::Broken);
                    }
                }
            }
        }
        any
    }

    /// A request that was held for as long as it may be is answered; true where one was.
    fn unchanged(&mut self, i: usize, at: u64) -> bool {
        let host = &mut self.hosts[i];
        let over = host.held.take_if(|(_, since)| at >= *since + POLL_WAIT_S * 1000);
        let boot = host.at(at).boot;
        if let Some((poll, _)) = &over {
            host.poll.on_answer(boot, poll.number, PollAnswer::Unchanged);
        }
        over.is_some()
    }

    /// The answer that has come; true where one has.
    fn deliver(&mut self, i: usize, at: u64) -> bool {
        let (scenario, documents) = (self.scenario, self.documents);
        let host = &mut self.hosts[i];
        let Some(Back { answer, beat, pause_ms, .. }) = host.back.take_if(|back| back.at <= at) else { return false };
        let now = host.at(at);
        if pause_ms > 0 {
            host.paused(at + pause_ms);
        }
        let is_accepted = matches!(answer, Answer::Accepted(_));
        let Some(beat) = beat else {
            if is_accepted {
                host.enrolled(at);
            } else {
                host.checkin.on_answer(now, answer);
            }
            return true;
        };
        host.checkin.on_answer(now, answer);
        if is_accepted {
            let features = Some(ManagerFeatures { gzip: true, long_poll: true, events: false });
            let newest = documents.get(host.handed.wrapping_sub(1)).map(|document| document.id.clone());
            let hints = ReplyHints { newest, embedded: false };
            host.poll.on_accepted(now.boot, (&beat.manager, beat.key), features, INTERVAL_S, hints);
            let asks = scenario.rotate.as_ref().filter(|(when, _)| when.contains(&at));
            let (slot, interval_s) = (host.checkin.slot(), host.checkin.interval_s());
            host.renewal.on_reply(now.boot, asks.map_or(Rotate::No, |(_, how)| *how), slot, interval_s);
        } else {
            let trouble = host.checkin.trouble().map(|(trouble, _)| *trouble);
            host.poll.on_not_accepted(trouble);
        }
        true
    }

    /// A heartbeat or an enrolment, where one is due; when to look again.
    fn beat(&mut self, i: usize, at: u64) -> Option<u64> {
        let host = &mut self.hosts[i];
        if host.back.is_some() {
            return None;
        }
        let now = host.at(at);
        match host.checkin.next(now, "rev-1") {
            CheckinAction::Wait(until) => return until.map(|until| host.outside(until)),
            CheckinAction::Beat(beat) => {
                host.judge_beat(at, &beat);
                self.outcome.count(Kind::Beat, at);
                let back = self.answer_beat(i, at, beat);
                self.hosts[i].back = Some(back);
            }
            CheckinAction::Enrol(..) => {
                host.judge_request(at, "an enrolment");
                self.outcome.count(Kind::Enrolment, at);
                let back = self.answer_enrolment(i, at);
                self.hosts[i].back = Some(back);
            }
        }
        None
    }

    fn answer_beat(&mut self, i: usize, at: u64, beat: Beat) -> Back {
        let (n, scenario) = (self.hosts[i].n, self.scenario);
        let (latency_ms, answer, pause_ms) = if scenario.is_down(at) {
            (REFUSED_MS, down(), 0)
        } else if let Some(retry_after_s) = scenario.busy_for(at) {
            (LATENCY_MS, later(503, retry_after_s), retry_after_s * 1000)
        } else if let Some((answer, pause_ms)) = flaky(scenario.flaky, mix(number(n)) ^ beat.seq) {
            (LATENCY_MS, answer, pause_ms)
        } else if *self.owners.entry(scenario.identity(n)).or_insert(n) != n {
            // A manager recognises a clone by its boot id.
            (LATENCY_MS, refused(409, "duplicate_agent"), 0)
        } else {
            self.outcome.accepted(n, at);
            let reply = Reply { early_gap_s: scenario.early_gap_s, ..Reply::default() };
            (LATENCY_MS, Answer::Accepted(reply), 0)
        };
        Back { at: at + latency_ms, answer, beat: Some(beat), pause_ms }
    }

    fn answer_enrolment(&mut self, i: usize, at: u64) -> Back {
        let back = |latency_ms, answer, pause_ms| Back { at: at + latency_ms, answer, beat: None, pause_ms };
        if self.scenario.is_down(at) {
            return back(REFUSED_MS, down(), 0);
        }
        if let Some(retry_after_s) = self.scenario.busy_for(at) {
            return back(LATENCY_MS, later(503, retry_after_s), retry_after_s * 1000);
        }
        if let Some((most, retry_after_s)) = self.scenario.enrolments {
            if self.taken.0 != at / 1000 {
                self.taken = (at / 1000, 0);
            }
            if self.taken.1 >= most {
                return back(LATENCY_MS, later(429, retry_after_s), retry_after_s * 1000);
            }
            self.taken.1 += 1;
        }
        let n = self.hosts[i].n;
        let before = self.owners.insert(self.scenario.identity(n), n);
        assert_eq!(before, None, "host {n} at {at}: a second identity for a host");
        self.outcome.identities += 1;
        back(LATENCY_MS, accepted(), 0)
    }

    /// Requests for desired state, where one is due; when to look again.
    fn polls(&mut self, i: usize, at: u64) -> Option<u64> {
        loop {
            let host = &mut self.hosts[i];
            match host.poll.next(host.at(at).boot) {
                PollAction::Wait(until) => return until.map(|until| host.outside(until)),
                PollAction::Drop => host.held = None,
                PollAction::Open(poll) => {
                    host.judge_poll(at);
                    self.outcome.count(Kind::Poll, at);
                    self.answer_poll(i, at, poll);
                }
            }
        }
    }

    fn answer_poll(&mut self, i: usize, at: u64, poll: Poll) {
        let (scenario, documents) = (self.scenario, self.documents);
        let host = &mut self.hosts[i];
        let now = host.at(at);
        let known = host.handed.saturating_sub(usize::from(host.handed > 1 && scenario.is_stale(host.n, at)));
        let newest = known.checked_sub(1).and_then(|index| documents.get(index));
        let answer = if scenario.is_down(at) {
            PollAnswer::Broken
        } else if let Some(retry_after_s) = scenario.busy_for(at) {
            host.polls_paused(at + retry_after_s * 1000);
            PollAnswer::Refused { retry_after_ms: Some(retry_after_s * 1000) }
        } else if newest.is_some_and(|newest| poll.held.as_ref() != Some(&newest.id)) {
            host.takes(documents, known, now)
        } else {
            host.held = Some((poll, at));
            return;
        };
        host.poll.on_answer(now.boot, poll.number, answer);
    }

    /// A renewal, where one is due; when to look again.
    fn renews(&mut self, i: usize, at: u64) -> Option<u64> {
        let is_down = self.scenario.is_down(at);
        let busy_for = self.scenario.busy_for(at);
        let host = &mut self.hosts[i];
        let now = host.at(at);
        let slot = host.checkin.slot();
        let life = Some(host.life()).filter(|_| host.checkin.is_accepted())?;
        let due = host.renewal.due(now, Some(life), slot.hash())?;
        if due > now.boot {
            return Some(host.outside(due));
        }
        host.judge_request(at, "a renewal");
        if is_down || busy_for.is_some() {
            host.renewal.failed(now.boot, slot, INTERVAL_S, busy_for.map(|seconds| seconds * 1000));
        } else {
            host.renewal.succeeded(now.boot);
            host.renewed(at);
        }
        self.outcome.count(Kind::Renewal, at);
        let due = host.renewal.due(now, Some(host.life()), slot.hash())?;
        Some(host.outside(due))
    }
}

/// The hosts that meet: all where the manager counts what comes in a second, else those of one identity.
fn queues(scenario: &Scenario) -> Vec<Vec<usize>> {
    if scenario.enrolments.is_some() {
        return vec![(0..scenario.hosts.len()).collect()];
    }
    let mut queues: Vec<Vec<usize>> = vec![Vec::new(); scenario.hosts.len()];
    for n in 0..scenario.hosts.len() {
        queues[scenario.identity(n)].push(n);
    }
    queues
}

/// What a front makes of one request in `each`, with the pause that it asks for.
fn flaky(each: u64, seed: u64) -> Option<(Answer, u64)> {
    let chance = mix(seed);
    if each == 0 || !chance.is_multiple_of(each) {
        return None;
    }
    Some(match chance / each % 5 {
        0 => (down(), 0),
        1 => (refused(502, "none"), 0),
        2 => (refused(400, "none"), 0),
        3 => (later(503, FRONT_RETRY_S), FRONT_RETRY_S * 1000),
        _ => (later(429, FRONT_RETRY_S), FRONT_RETRY_S * 1000),
    })
}
