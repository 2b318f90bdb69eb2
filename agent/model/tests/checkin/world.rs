//! A world in virtual time for the check-in machine: whatever it sends is answered by a function, and written down.

#![allow(dead_code, reason = "each test file uses its part")]

use model::checkin::{
    Answer, Beat, CheckinAction, CheckinConfig, CheckinError, CheckinMachine, Code, FaultKind, Goal, Key, KeyId,
    KnownManagers, ManagerAddress, ManagerRefusal, Reply, Worth,
};
use model::time::{BootMillis, Now, UnixMillis};

/// Ten days of uptime: no fresh boot.
pub(crate) const UP: BootMillis = BootMillis(864_000_000);
pub(crate) const WALL: UnixMillis = UnixMillis(1_790_000_000_123);

pub(crate) fn config(key: &str, hosts: &[&str]) -> CheckinConfig {
    CheckinConfig {
        key: key.to_owned(),
        goal: Goal::Beat,
        interval_s: 30,
        asked_interval_s: None,
        zone: None,
        managers: KnownManagers { listed: places(hosts), ..KnownManagers::default() },
        keys: vec![key_of(0)],
        may_enrol_again: false,
        began: BootMillis(0),
    }
}

pub(crate) fn places(hosts: &[&str]) -> Vec<ManagerAddress> {
    hosts.iter().map(|host| ManagerAddress::new(host, 443)).collect()
}

/// A credential that has worked and does not end.
pub(crate) fn key_of(id: u64) -> Key {
    Key { id: KeyId(id), until: None, worth: Worth::Proven, shared: false }
}

/// The instant of both clocks, the wall clock running beside the other.
pub(crate) fn at(boot: BootMillis) -> Now {
    let wall = WALL.0 + i64::try_from(boot.0).unwrap() - i64::try_from(UP.0).unwrap();
    Now { boot, wall: UnixMillis(wall) }
}

pub(crate) fn machine(hosts: &[&str]) -> CheckinMachine {
    CheckinMachine::new(config("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", hosts), UP, WALL)
}

pub(crate) fn accepted() -> Answer {
    Answer::Accepted(Reply::default())
}

pub(crate) fn refused(status: u16, code: &str) -> Answer {
    let code = Code::from_name(code);
    Answer::Refused(ManagerRefusal { status, code, message: "why".into(), retry_after_s: None })
}

/// An answer that asks for a pause.
pub(crate) fn later(status: u16, retry_after_s: u64) -> Answer {
    Answer::Refused(ManagerRefusal { status, code: None, message: "later".into(), retry_after_s: Some(retry_after_s) })
}

pub(crate) fn fault(kind: FaultKind) -> Answer {
    Answer::Failed(CheckinError { kind, said: "why".into() })
}

pub(crate) fn down() -> Answer {
    Answer::Failed(CheckinError { kind: FaultKind::Network, said: "connection refused".into() })
}

/// One request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) at: BootMillis,
    pub(crate) what: CheckinAction,
}

impl Sent {
    pub(crate) fn beat(&self) -> &Beat {
        match &self.what {
            CheckinAction::Beat(beat) => beat,
            CheckinAction::Wait(_) | CheckinAction::Enrol(..) => panic!("{self:?} is no heartbeat"),
        }
    }
}

/// The host that each request went to.
pub(crate) fn hosts_of(sent: &[Sent]) -> Vec<&str> {
    let mut hosts = Vec::new();
    for one in sent {
        match &one.what {
            CheckinAction::Beat(beat) => hosts.push(beat.manager.host.as_str()),
            CheckinAction::Enrol(manager, _) => hosts.push(manager.host.as_str()),
            CheckinAction::Wait(_) => panic!("{one:?} is no request"),
        }
    }
    hosts
}

/// Runs the machine from `from` to `to`; each request is answered after `latency_ms` by what `answer` says.
pub(crate) fn run(
    machine: &mut CheckinMachine,
    from: BootMillis,
    to: BootMillis,
    latency_ms: u64,
    mut answer: impl FnMut(BootMillis, &CheckinAction) -> Answer,
) -> Vec<Sent> {
    let mut now = from;
    let mut sent = Vec::new();
    loop {
        match machine.next(at(now), "rev-1") {
            CheckinAction::Wait(Some(until)) if until < to => {
                assert!(until > now, "told to wait for {until:?} at {now:?}");
                now = until;
            }
            CheckinAction::Wait(_) => return sent,
            what @ (CheckinAction::Beat(_) | CheckinAction::Enrol(..)) => {
                let said = answer(now, &what);
                sent.push(Sent { at: now, what });
                assert!(sent.len() < 100_000, "it never rests");
                now = now.plus(latency_ms);
                machine.on_answer(at(now), said);
            }
        }
    }
}
