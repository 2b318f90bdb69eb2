//! A world in virtual time for the check-in machine: whatever it sends is answered by a function, and written down.

#![allow(dead_code, reason = "each test file uses its part")]

use model::checkin::{Action, Answer, Beat, Config, Fault, FaultKind, Goal, Machine, ManagerAddress, Refused, Reply};
use model::time::{BootMillis, UnixMillis};

/// Ten days of uptime: no fresh boot.
pub(crate) const UP: BootMillis = BootMillis(864_000_000);
pub(crate) const WALL: UnixMillis = UnixMillis(1_790_000_000_123);

pub(crate) fn config(key: &str, hosts: &[&str]) -> Config {
    Config {
        key: key.to_owned(),
        goal: Goal::Beat,
        interval_s: 30,
        zone: None,
        managers: hosts.iter().map(|h| ManagerAddress::new(h, 443)).collect(),
        fallback: Vec::new(),
        credentials: 1,
        may_enrol_again: false,
    }
}

pub(crate) fn machine(hosts: &[&str]) -> Machine {
    Machine::new(config("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", hosts), UP, WALL)
}

pub(crate) fn accepted() -> Answer {
    Answer::Accepted(Reply::default())
}

pub(crate) fn refused(status: u16, code: &str) -> Answer {
    Answer::Refused(Refused { status, code: Some(code.to_owned()), message: "why".into(), retry_after_s: None })
}

pub(crate) fn down() -> Answer {
    Answer::Failed(Fault { kind: FaultKind::Network, said: "connection refused".into() })
}

/// One request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) at: BootMillis,
    pub(crate) what: Action,
}

impl Sent {
    pub(crate) fn beat(&self) -> &Beat {
        match &self.what {
            Action::Beat(beat) => beat,
            Action::Wait(_) | Action::Enrol(_) => panic!("{self:?} is no heartbeat"),
        }
    }
}

/// Runs the machine from `from` to `to`; each request is answered after `latency_ms` by what `answer` says.
pub(crate) fn run(
    machine: &mut Machine,
    from: BootMillis,
    to: BootMillis,
    latency_ms: u64,
    mut answer: impl FnMut(BootMillis, &Action) -> Answer,
) -> Vec<Sent> {
    let mut now = from;
    let mut sent = Vec::new();
    loop {
        match machine.next(now, "rev-1") {
            Action::Wait(Some(at)) if at < to => {
                assert!(at > now, "told to wait for {at:?} at {now:?}");
                now = at;
            }
            Action::Wait(_) => return sent,
            what @ (Action::Beat(_) | Action::Enrol(_)) => {
                let said = answer(now, &what);
                sent.push(Sent { at: now, what });
                assert!(sent.len() < 100_000, "it never rests");
                now = now.plus(latency_ms);
                machine.on_answer(now, said);
            }
        }
    }
}
