//! The check-in's machine under any order of answers and pauses: it always says when it goes on, and never beats too often.

use crate::Target;
use crate::bounds::Bounds;
use model::checkin::answer::RETRY_AFTER_MAX_S;
use model::checkin::machine::{COALESCE_MS, GAP_MS};
use model::checkin::managers::MANAGERS_MAX;
use model::checkin::slot::INTERVAL_MAX_S;
use model::checkin::{
    Answer, Beat, CheckinAction, CheckinConfig, CheckinError, CheckinMachine, Code, FaultKind, Goal, Key, KeyId,
    KnownManagers, ManagerAddress, ManagerRefusal, OwnCertificate, Reply, TlsError, Worth,
};
use model::time::{BootMillis, Now, UnixMillis};

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
const CODES: [Code; 9] = [
    Code::BadRequest,
    Code::UnknownAgent,
    Code::AgentDeleted,
    Code::InvalidToken,
    Code::NotApproved,
    Code::EnrolUsed,
    Code::DuplicateAgent,
    Code::UpgradeRequired,
    Code::Internal,
];
const FAULTS: [FaultKind; 11] = [
    FaultKind::Dns,
    FaultKind::Connect,
    FaultKind::Handshake,
    FaultKind::Network,
    FaultKind::Tls(TlsError::UnknownIssuer),
    FaultKind::Tls(TlsError::Other),
    FaultKind::Credential(OwnCertificate::Ended),
    FaultKind::Credential(OwnCertificate::UnknownIssuer),
    FaultKind::Timeout,
    FaultKind::Garbled,
    FaultKind::Local,
];
const WORTHS: [Worth; 3] = [Worth::Proven, Worth::Fresh, Worth::Next];
/// The wall clock when the machine begins.
const WALL: i64 = 1_790_000_000_123;

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
    machine: CheckinMachine,
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
        match world.machine.next(world.both(), "rev") {
            CheckinAction::Wait(until) => world.wait(until, &mut script),
            CheckinAction::Beat(beat) => {
                world.judge(&beat);
                world.answer(&mut script);
            }
            CheckinAction::Enrol(..) => world.answer(&mut script),
        }
        assert!(world.machine.managers().addresses().len() <= MANAGERS_MAX);
        assert!((5..=INTERVAL_MAX_S).contains(&world.machine.interval_s()));
        assert!((1..=60).contains(&world.machine.early_gap_s()));
        assert!(world.machine.standing(world.both()).iter().all(|standing| standing.message.len() < 2048));
    }
}

impl World {
    fn begin(script: &mut Script<'_>) -> Self {
        let shape = script.byte();
        let hosts = ["a", "b", "c"];
        let managers = |from: usize, count: usize| {
            hosts.iter().skip(from).take(count).map(|host| ManagerAddress::new(host, 443)).collect::<Vec<_>>()
        };
        let config = CheckinConfig {
            key: "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7".to_owned(),
            goal: if shape & 1 == 0 { Goal::Beat } else { Goal::Enrol },
            interval_s: script.seconds(),
            zone: None,
            asked_interval_s: (shape & 4 != 0).then(|| script.seconds()),
            managers: KnownManagers {
                listed: managers(0, usize::from(shape >> 1 & 3)),
                offered: managers(1, usize::from(shape >> 5 & 1)),
                configured: managers(2, usize::from(shape >> 3 & 1)),
                enrolled_with: managers(0, usize::from(shape >> 2 & 1)),
                last_accepted: None,
            },
            keys: (0..u64::from(shape >> 4 & 3)).map(|id| key(id, script)).collect(),
            may_enrol_again: shape >> 6 & 1 == 1,
            began: BootMillis(0),
        };
        let now = BootMillis(if shape >> 7 == 0 { 1_000 } else { 864_000_000 });
        let machine = CheckinMachine::new(config, now, UnixMillis(WALL));
        Self { machine, now, last: None, seq: 0, hurried: false }
    }

    /// The instant on both clocks.
    fn both(&self) -> Now {
        Now { boot: self.now, wall: UnixMillis(WALL + i64::try_from(self.now.0).unwrap_or(i64::MAX / 2)) }
    }

    /// It waits for an instant that comes soon enough, or for something to happen.
    fn wait(&mut self, until: Option<BootMillis>, script: &mut Script<'_>) {
        match (until, script.byte() % 4) {
            (_, 0) => self.machine.on_change(self.now),
            (_, 1) => {
                let keys = (0..u64::from(script.byte() % 4)).map(|id| key(id, script)).collect();
                self.machine.on_keys(self.now, keys, script.byte().is_multiple_of(2));
                self.hurried = true;
            }
            (Some(until), _) => {
                assert!(until > self.now, "told to wait for {until:?} at {:?}", self.now);
                // A manager may ask for a pause, and the own slot comes behind it.
                let most = (INTERVAL_MAX_S + RETRY_AFTER_MAX_S) * 1000 + GAP_MS + COALESCE_MS;
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
            let same = last.manager == beat.manager && last.key == beat.key;
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
                early_gap_s: (kind & 32 != 0).then(|| script.seconds()),
                managers: (0..script.byte() % 48).map(|n| ManagerAddress::new(&format!("m{n}"), 443)).collect(),
                need_inventory: kind & 16 != 0,
            }),
            1 => Answer::Refused(ManagerRefusal {
                status: script.one(&STATUSES),
                code: (kind & 8 != 0).then(|| script.one(&CODES)),
                message: "no".repeat(usize::from(script.byte())),
                retry_after_s: (kind & 16 != 0).then(|| script.seconds()),
            }),
            _ => Answer::Failed(CheckinError { kind: script.one(&FAULTS), said: "down".to_owned() }),
        };
        let useless = self.machine.on_answer(self.both(), answer);
        assert!(useless.len() < 4, "{useless:?}");
    }
}

/// A credential of any worth and end.
fn key(id: u64, script: &mut Script<'_>) -> Key {
    let shape = script.byte();
    let until = (shape & 1 != 0).then(|| UnixMillis(WALL + i64::from(shape) * 60_000 - 600_000));
    Key { id: KeyId(id), until, worth: script.one(&WORTHS), shared: shape & 2 != 0 }
}

fn seeds() -> Vec<Vec<u8>> {
    let steady = [0x82, 4].into_iter().chain([0, 0, 0, 3].repeat(40)).collect();
    let enrolling = [0xc5, 4].into_iter().chain([1, 2, 1, 9, 0, 3].repeat(20)).collect();
    let every: Vec<u8> = (0..=255).collect();
    vec![steady, enrolling, every.iter().rev().copied().collect(), every]
}
