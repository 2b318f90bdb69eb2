//! The front is killed while the host enrols, changes its credential, renews it, and leaves: it has a credential that works, or begins
//! from nothing, and the same token is all that it takes.

use crate::place::{EVERY_S, Place, runtime};
use e2e::wait::PATIENCE;
use e2e::world::executable;
use manager::{Auth, Manager, Mode, Options, Standing, wall_clock};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Hosts beside each other, each with one life of four acts. With the first, which finds out how many instants there are, these
/// are 52 kills.
const HOSTS: usize = 13;
/// Background work comes and goes: so many kills may come when all was over already.
const LATE_MOST: usize = 12;
/// By so much the manager's clock is behind where it issues: the credential is due for renewal as soon as the clock is right.
const AGE_MS: i64 = 72 * 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Enrol,
    Rotate,
    Renew,
    Leave,
}

const LIFE: [Act; 4] = [Act::Enrol, Act::Rotate, Act::Renew, Act::Leave];

struct Subject {
    place: Place,
    manager: Manager,
    /// How far the manager's clock is off, in milliseconds.
    off: Arc<AtomicI64>,
    token: String,
}

/// The credential of the newest heartbeat that was accepted, and how many came.
fn newest(manager: &Manager) -> (u64, Option<Auth>) {
    let beats = manager.heartbeats();
    let accepted = beats.into_iter().rev().find(|beat| beat.accepted).map(|beat| beat.auth);
    (*manager.heartbeat_count().borrow(), accepted)
}

impl Subject {
    fn new(mode: Mode) -> Self {
        let place = Place::new();
        let off = Arc::new(AtomicI64::new(-AGE_MS));
        let (now, by) = (wall_clock(), Arc::clone(&off));
        let clock: manager::Clock = Arc::new(move || now() + by.load(Ordering::SeqCst));
        let options =
            Options { mode, clock: Some(clock), next_heartbeat_s: EVERY_S, history: 64, ..Options::default() };
        let manager = runtime().block_on(Manager::start(options)).expect("a manager");
        let token = manager.issue_token();
        Self { place, manager, off, token }
    }

    /// Begins it, kills the front at that instant, starts again, and waits until all is well. Gives the instants that there were,
    /// and whether it was killed at one of them.
    fn act(&mut self, act: Act, kill_at: usize) -> (usize, bool) {
        let what = format!("{act:?} killed at instant {kill_at}");
        let (beats, auth) = newest(&self.manager);
        let (token, ca) = (self.place.file("token", &self.token), self.place.file("ca.pem", &self.manager.ca_pem()));
        let (url, address) = (self.manager.url(), self.place.bus.address.clone());
        let asked: Mutex<Option<Child>> = Mutex::default();
        let ask = |args: &[&str]| {
            let mut command = Command::new(executable("gpuhostctl"));
            command.args(["--bus", &address]).args(args).stdout(Stdio::null()).stderr(Stdio::null());
            *asked.lock().unwrap() = Some(command.spawn().expect("gpuhostctl"));
        };
        let Self { place, manager, off, .. } = self;
        let begin = || match act {
            Act::Enrol => ask(&["enroll", &url, "--token-file", &token, "--ca-file", &ca]),
            Act::Rotate => manager.set_reply(|reply| reply["rotate_credential"] = "now".into()),
            Act::Renew => off.store(0, Ordering::SeqCst),
            Act::Leave => ask(&["leave"]),
        };
        let has_changed = || {
            let (now, shown) = newest(manager);
            now > beats && shown.is_some() && shown != auth
        };
        let is_over = || match act {
            Act::Enrol | Act::Rotate | Act::Renew => *manager.heartbeat_count().borrow() > beats && has_changed(),
            Act::Leave => {
                let mut child = asked.lock().unwrap();
                child.as_mut().is_some_and(|child| child.try_wait().expect("status").is_some())
            }
        };
        let traced = place.killed_during(kill_at, begin, is_over);
        if let Some(mut child) = asked.into_inner().unwrap() {
            let _failed = child.wait().expect("gpuhostctl");
        }
        place.up();
        match act {
            Act::Enrol | Act::Rotate | Act::Renew => self.is_well(act, &what),
            Act::Leave => self.has_left(&what),
        }
        if [Act::Rotate, Act::Renew].contains(&act) {
            // What was interrupted is still due.
            self.place.until(&what, || newest(&self.manager).1.filter(|shown| Some(shown) != auth.as_ref()));
        }
        self.manager.reset_reply();
        assert!(self.manager.violations().is_empty(), "{what}: {:#?}", self.manager.violations());
        (traced.instants, traced.was_reached)
    }

    /// A heartbeat of this life of the daemon is accepted. Where a host has nothing after its enrolment was interrupted, it enrols with
    /// the token that it was given.
    fn is_well(&self, act: Act, what: &str) {
        let begun = *self.manager.heartbeat_count().borrow();
        self.place.until(what, || {
            let state = self.place.manager_state();
            match state.as_str() {
                "ok" => (*self.manager.heartbeat_count().borrow() > begun).then_some(()),
                "not_enrolled" => {
                    assert_eq!(act, Act::Enrol, "{what}: the host has lost its credential\n{}", self.place.log());
                    assert!(!self.kept().contains(&"identity.json".to_owned()), "{what}: {:?}", self.kept());
                    self.place.enrol(&self.manager.url(), &self.token, &self.manager.ca_pem());
                    None
                }
                "connecting" | "pending_approval" | "unreachable" => None,
                other => panic!("{what}: {other}\n{}", self.place.log()),
            }
        });
        let accepted = self.manager.heartbeats().pop().expect("a heartbeat");
        assert!(accepted.accepted, "{what}: {accepted:?}");
        let here = self.manager.enrolled().into_iter().filter(|agent| agent.standing == Standing::Approved).count();
        assert_eq!(here, 1, "{what}: the host is enrolled {here} times");
    }

    /// The host has left, or is as it was and leaves when it is asked again. Then nothing is left, and it can enrol.
    fn has_left(&mut self, what: &str) {
        let begun = *self.manager.heartbeat_count().borrow();
        self.place.until(what, || match self.place.manager_state().as_str() {
            "not_enrolled" => Some(()),
            "ok" if *self.manager.heartbeat_count().borrow() > begun => {
                let ran = self.place.world.ctl(&self.place.bus.address, &["leave"]);
                assert!(ran.status.success(), "{what}: {}", String::from_utf8_lossy(&ran.stderr));
                None
            }
            "ok" | "connecting" => None,
            other => panic!("{what}: {other}\n{}", self.place.log()),
        });
        assert_eq!(self.kept(), Vec::<String>::new(), "{what}");
        self.token = self.manager.issue_token();
        self.place.enrol(&self.manager.url(), &self.token, &self.manager.ca_pem());
        self.place.until(what, || (self.place.manager_state() == "ok").then_some(()));
    }

    /// The documents in the identity folder.
    fn kept(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.place.state("identity")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".json")).collect()
    }
}

/// Those who wait for the numbers go on where they never come: their test has failed.
struct Opens<'a>(&'a [OnceLock<usize>; 4]);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for number in self.0 {
                let _known = number.set(0);
            }
        }
    }
}

#[test]
fn killed_at_fifty_instants_of_enrolment_rotation_renewal_and_leaving_a_host_has_a_credential_that_works_or_begins_cleanly()
 {
    let all: [OnceLock<usize>; 4] = Default::default();
    let (before, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..=HOSTS {
            let (all, before, late) = (&all, &before, &late);
            scope.spawn(move || {
                let _opens = Opens(all);
                let mode = if number % 2 == 0 { Mode::Certificates } else { Mode::Secrets };
                let mut subject = Subject::new(mode);
                for (act, instants) in LIFE.into_iter().zip(all) {
                    if number == HOSTS {
                        let (found, _) = subject.act(act, usize::MAX);
                        instants.set(found).unwrap();
                        continue;
                    }
                    let instants = *instants.wait();
                    assert!(instants > HOSTS, "{act:?} has only {instants} instants");
                    let (_, was_reached) = subject.act(act, (2 * number + 1) * instants / (2 * HOSTS));
                    (if was_reached { before } else { late }).fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (before, late) = (before.into_inner(), late.into_inner());
    println!(
        "instants of {LIFE:?}: {all:?}; {before} kills at one of them, {late} when it was over (each within {PATIENCE:?})"
    );
    assert_eq!(before + late, HOSTS * LIFE.len());
    assert!(late <= LATE_MOST, "{late}");
}
