//! A fleet whose manager restarts: ten thousand real machines of heartbeats and of desired state, in virtual time.

use crate::world::{WALL, accepted, at, config, down};
use model::checkin::features::ManagerFeatures;
use model::checkin::poll::POLL_WAIT_S;
use model::checkin::{
    CheckinAction, CheckinConfig, CheckinMachine, Poll, PollAction, PollAnswer, PollMachine, ReplyHints,
};
use model::time::BootMillis;

const AGENTS: u64 = 10_000;
const START: u64 = 1_000_000_000;
/// The manager goes down then: every connection is cut.
const DOWN: u64 = START + 180_000;
const END: u64 = DOWN + 240_000;
const LATENCY_MS: u64 = 40;

/// One host: both machines, and the request that the manager holds.
struct Agent {
    checkin: CheckinMachine,
    poll: PollMachine,
    held: Option<(Poll, u64)>,
    now: u64,
}

impl Agent {
    fn new(n: u64, interval_s: u64) -> Self {
        let now = START + n * 7919 % (interval_s * 1000);
        let config = CheckinConfig { interval_s, ..config(&format!("host-{n}"), &["a"]) };
        let checkin = CheckinMachine::new(config, BootMillis(now), WALL);
        Self { checkin, poll: PollMachine::default(), held: None, now }
    }

    /// Runs to the end while the manager is down in `outage`; gives the instants at which requests for desired state were opened.
    fn run(mut self, outage: &std::ops::Range<u64>, interval_s: u64) -> Vec<u64> {
        let mut opened = Vec::new();
        while self.now < END {
            let wake = self.turn(outage, interval_s, &mut opened);
            // A request that is held breaks when the manager goes down, and is answered when its time is over.
            let held_until = self.held.as_ref().map(|(_, since)| {
                let over = since + POLL_WAIT_S * 1000;
                if (*since..over).contains(&outage.start) { outage.start } else { over }
            });
            self.now = wake.into_iter().chain(held_until).min().unwrap_or(END).max(self.now);
            if held_until.is_some_and(|until| until <= self.now) {
                let (poll, _) = self.held.take().unwrap();
                let broke = self.now == outage.start;
                let answer = if broke { PollAnswer::Broken } else { PollAnswer::Unchanged };
                self.poll.on_answer(BootMillis(self.now), poll.number, answer);
            }
        }
        opened
    }

    /// Sends all that is due, and gives the instant of the next turn.
    fn turn(&mut self, outage: &std::ops::Range<u64>, interval_s: u64, opened: &mut Vec<u64>) -> Option<u64> {
        let now = BootMillis(self.now);
        let beat = match self.checkin.next(at(now), "r") {
            CheckinAction::Wait(until) => until.map(|until| until.0),
            CheckinAction::Enrol(..) => panic!("a host of the fleet enrols"),
            CheckinAction::Beat(beat) => {
                let is_up = !outage.contains(&self.now);
                self.now += LATENCY_MS;
                let back = BootMillis(self.now);
                self.checkin.on_answer(at(back), if is_up { accepted() } else { down() });
                if is_up {
                    let features = Some(ManagerFeatures { gzip: true, long_poll: true, events: false });
                    let hints = ReplyHints::default();
                    self.poll.on_accepted(back, (&beat.manager, beat.key), features, interval_s, hints);
                } else {
                    self.poll.on_not_accepted(self.checkin.trouble().map(|(trouble, _)| *trouble));
                }
                return Some(self.now);
            }
        };
        match self.poll.next(now) {
            PollAction::Wait(until) => beat.into_iter().chain(until.map(|until| until.0)).min(),
            PollAction::Drop => panic!("a request was given up"),
            PollAction::Open(poll) => {
                opened.push(self.now);
                if outage.contains(&self.now) {
                    self.poll.on_answer(now, poll.number, PollAnswer::Broken);
                } else {
                    self.held = Some((poll, self.now));
                }
                Some(self.now)
            }
        }
    }
}

#[test]
fn t38_after_a_restart_of_the_manager_ten_thousand_requests_are_opened_in_the_slots_of_their_heartbeats() {
    for (down_ms, interval_s) in [(1, 30), (2000, 30), (120_000, 30), (2000, 60), (2000, 10)] {
        let outage = DOWN..DOWN + down_ms;
        let mut per_second = vec![0_u32; usize::try_from((END - DOWN) / 1000 + 1).unwrap()];
        let mut back = 0_u64;
        for n in 0..AGENTS {
            let opened = Agent::new(n, interval_s).run(&outage, interval_s);
            let after = opened.iter().filter(|opened| **opened >= outage.end);
            back += u64::from(
                after.clone().next().is_some_and(|first| first - outage.end <= 33_000.max(interval_s * 1000 + 3000)),
            );
            after.for_each(|opened| per_second[usize::try_from((opened - DOWN) / 1000).unwrap()] += 1);
        }
        // Heartbeats that failed are sent again every 30 s at most, whatever the interval.
        let steady = f64::from(u32::try_from(AGENTS).unwrap()) / f64::from(u32::try_from(interval_s.min(30)).unwrap());
        let peak = f64::from(*per_second.iter().max().unwrap()) / steady;
        println!("down for {down_ms} ms, heartbeats every {interval_s} s: peak {peak:.2} x N / interval a second");
        assert!(peak <= 1.2, "peak {peak}");
        assert_eq!(back, AGENTS, "not all are back within an interval");
    }
}
