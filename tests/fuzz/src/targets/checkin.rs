//! The check-in's machine under any order of answers and pauses: it always says when it goes on, and never beats too often.

use crate::Target;
use crate::bounds::Bounds;
use model::checkin::machine::{COALESCE_MS, GAP_MS};
use model::checkin::manager::MANAGERS_MAX;
use model::checkin::slot::INTERVAL_MAX_S;
use model::checkin::{Action, Answer, Beat, Config, Fault, FaultKind, Goal, Machine, ManagerAddress, Refused, Reply};
use model::time::{BootMillis, UnixMillis};

/// The target.
pub const TARGET: Target = Target {
    name: "checkin",
    what: "the order of a manager's answers",
    run,
    seeds,
    words: &["\u{1}\u{2}", "\u{0}\u{0}\u{0}\u{3}"],
    bounds: Bounds { heap_per_byte: 256, ..Bounds::USUAL },
};

/// Longest script that is played.
const STEPS_MAX: usize = 512;
const STATUSES: [u16; 14] = [200, 202, 302, 400, 401, 403, 404, 409, 410, 413, 426, 429, 500, 503];
const CODES: [&str; 5] = ["unknown_agent", "agent_deleted", "invalid_token", "not_approved", "enrol_used"];
const FAULTS: [FaultKind; 6] =
    [FaultKind::Dns, FaultKind::Network, FaultKind::Tls, FaultKind::Timeout, FaultKind::Garbled, FaultKind::Local];

/// Bytes, one after the other; 0 where there are none left.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    fn seconds(&mut self) -> u64 {
        [0, 1, 5, 29, 30, 31, 300, 301, u64::MAX][usize::from(self.byte()) % 9]
    }
}

/// The machine and what it did last.
struct World {
    machine: Machine,
    now: BootMillis,
    last: Option<(BootMillis, Beat)>,
    seq: u64,
    /// A credential was put in, which may be tried at once.
    hurried: bool,
}

fn run(input: &[u8]) {
    let mut script = Script(input);
    let mut world = World::begin(&mut script);
    for _ in 0..STEPS_MAX {
        if script.0.is_empty() {
            return;
        }
        match world.machine.next(world.now, "rev") {
            Action::Wait(until) => world.wait(until, &mut script),
            Action::Beat(beat) => {
                world.judge(&beat);
                world.answer(&mut script);
            }
            Action::Enrol(_) => world.answer(&mut script),
        }
        assert!(world.machine.managers().len() <= MANAGERS_MAX);
        assert!((5..=INTERVAL_MAX_S).contains(&world.machine.interval_s()));
        assert!(world.machine.standing(world.now).iter().all(|standing| standing.message.len() < 2048));
    }
}

impl World {
    fn begin(script: &mut Script<'_>) -> Self {
        let shape = script.byte();
        let hosts = ["a", "b", "c"];
        let managers = |from: usize, count: usize| {
            hosts.iter().skip(from).take(count).map(|host| ManagerAddress::new(host, 443)).collect::<Vec<_>>()
        };
        let config = Config {
            key: "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7".to_owned(),
            goal: if shape & 1 == 0 { Goal::Beat } else { Goal::Enrol },
            interval_s: script.seconds(),
            zone: None,
            managers: managers(0, usize::from(shape >> 1 & 3)),
            fallback: managers(2, usize::from(shape >> 3 & 1)),
            credentials: usize::from(shape >> 4 & 3),
            may_enrol_again: shape >> 6 & 1 == 1,
        };
        let now = BootMillis(if shape >> 7 == 0 { 1_000 } else { 864_000_000 });
        let machine = Machine::new(config, now, UnixMillis(1_790_000_000_123));
        Self { machine, now, last: None, seq: 0, hurried: false }
    }

    /// It waits for an instant that comes soon enough, or for something to happen.
    fn wait(&mut self, until: Option<BootMillis>, script: &mut Script<'_>) {
        match (until, script.byte() % 4) {
            (_, 0) => self.machine.on_change(self.now),
            (_, 1) => {
                let (count, index) = (usize::from(script.byte() % 3), usize::from(script.byte() % 3));
                self.machine.on_credentials(self.now, count, (index < count).then_some(index));
                self.hurried = true;
            }
            (Some(until), _) => {
                assert!(until > self.now, "told to wait for {until:?} at {:?}", self.now);
                let most = INTERVAL_MAX_S * 1000 + GAP_MS + COALESCE_MS;
                assert!(until.since(self.now) <= most, "told to wait for {until:?} at {:?}", self.now);
                self.now = until;
            }
            (None, _) => self.now = self.now.plus(script.seconds().min(3600) * 1000),
        }
    }

    fn judge(&mut self, beat: &Beat) {
        assert!(beat.seq > self.seq, "{} does not rise above {}", beat.seq, self.seq);
        self.seq = beat.seq;
        if let Some((at, last)) = &self.last {
            let same = last.manager == beat.manager && last.credential == beat.credential;
            let apart = self.now.since(*at);
            assert!(!same || self.hurried || apart >= GAP_MS, "{apart} ms after the last heartbeat: {beat:?}");
        }
        self.hurried = false;
        self.last = Some((self.now, beat.clone()));
    }

    fn answer(&mut self, script: &mut Script<'_>) {
        let kind = script.byte();
        let latency = script.one(&[0, 1, 40, 999, 30_000]);
        self.now = self.now.plus(latency);
        let answer = match kind % 3 {
            0 => Answer::Accepted(Reply {
                next_heartbeat_s: (kind & 8 != 0).then(|| script.seconds()),
                managers: (0..script.byte() % 48).map(|n| ManagerAddress::new(&format!("m{n}"), 443)).collect(),
                need_inventory: kind & 16 != 0,
            }),
            1 => Answer::Refused(Refused {
                status: script.one(&STATUSES),
                code: (kind & 8 != 0).then(|| script.one(&CODES).to_owned()),
                message: "no".repeat(usize::from(script.byte())),
                retry_after_s: (kind & 16 != 0).then(|| script.seconds()),
            }),
            _ => Answer::Failed(Fault { kind: script.one(&FAULTS), said: "down".to_owned() }),
        };
        self.machine.on_answer(self.now, answer);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let steady = [0x82, 4].into_iter().chain([0, 0, 0, 3].repeat(40)).collect();
    let enrolling = [0xc5, 4].into_iter().chain([1, 2, 1, 9, 0, 3].repeat(20)).collect();
    let every: Vec<u8> = (0..=255).collect();
    vec![steady, enrolling, every.iter().rev().copied().collect(), every]
}
