//! A search over crashes: whatever was answered before (two faults), and wherever the daemon was killed then (one crash), the host
//! has a credential that works, or begins from nothing.

use crate::clock::VirtualClock;
use crate::world::{Host, Running, TOKEN, spec, with_token};
use manager::{Endpoint, Manager, Mode, Options, Scripted};
use model::enrol::{CheckinState, EnrolSpec};
use model::ports::Clock;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What is in the identity folder.
type Disk = BTreeMap<String, Vec<u8>>;

fn disk(folder: &Path) -> Disk {
    let Ok(entries) = std::fs::read_dir(folder) else { return Disk::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    let named = entries.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    named.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), std::fs::read(&path).ok()?))).collect()
}

/// The states of the disk between two: each file is replaced as a whole, in the order in which the daemon does it.
fn between(before: &Disk, after: &Disk) -> Vec<Disk> {
    let writes = ["leaving.json", "enrolment.json", "forgotten.json", "identity.json", "last-reply.json"];
    let removals = ["identity.json", "enrolment.json", "forgotten.json", "last-reply.json", "leaving.json"];
    let mut now = before.clone();
    let mut states = vec![now.clone()];
    for name in writes {
        if let Some(content) = after.get(name).filter(|content| before.get(name) != Some(content)) {
            now.insert(name.to_owned(), content.clone());
            states.push(now.clone());
        }
    }
    for name in removals {
        if !after.contains_key(name) && now.remove(name).is_some() {
            states.push(now.clone());
        }
    }
    states
}

/// The states that the disk had, seen at each request and after each step, up to the one at which the daemon is killed.
#[derive(Clone)]
struct Film {
    states: Arc<Mutex<Vec<Disk>>>,
    kill_at: usize,
    reached: watch::Sender<bool>,
}

impl Film {
    fn new(kill_at: usize) -> Self {
        Self { states: Arc::default(), kill_at, reached: watch::Sender::new(false) }
    }

    fn take(&self, folder: &Path) {
        let seen = disk(folder);
        let mut all = self.states.lock().unwrap();
        let before = all.last().cloned().unwrap_or_else(|| seen.clone());
        for state in between(&before, &seen) {
            if all.last() != Some(&state) {
                all.push(state);
            }
        }
        if all.len() > self.kill_at {
            self.reached.send_replace(true);
        }
    }

    /// A look at each request that comes to a manager.
    fn watch(&self, manager: &Manager, folder: &Path) {
        let (film, folder) = (self.clone(), folder.to_owned());
        manager.set_gate(move |_, _| {
            film.take(&folder);
            None
        });
    }

    /// What was on the disk when the daemon was killed; none where it never came so far.
    fn at_the_kill(&self) -> Option<Disk> {
        self.states.lock().unwrap().get(self.kill_at).cloned()
    }
}

/// An answer that is lost after the manager has done what was asked, one of a front, and one that is garbled.
fn faults() -> [Scripted; 3] {
    [Scripted::cut().handled(), Scripted::page(502), Scripted::json(200, &json!({})).handled()]
}

/// What is done to the host, which of the manager's answers are faulty, and how it all ends.
struct Search {
    name: &'static str,
    mode: Mode,
    /// The endpoint whose answers are faulty.
    faulty: Endpoint,
    /// The host is enrolled before.
    enrolled: bool,
    /// At its end the host has no manager any more.
    leaves: bool,
}

const LIFE_S: u64 = 86_400;

fn options(mode: &Mode) -> Options {
    let life = std::time::Duration::from_secs(LIFE_S);
    Options { mode: mode.clone(), recovers_by_key: true, credential_life: life, ..with_token() }
}

async fn begin(search: &Search) -> (Host, Manager, Running) {
    let mut host = Host::new();
    let manager = host.manager(options(&search.mode)).await;
    host.settings.ca_file = Some(host.file("ca.pem", &manager.ca_pem()));
    host.settings.urls = vec![manager.url()];
    if let Mode::SharedToken(token) = &search.mode {
        host.settings.shared_token_file = Some(host.file("token", token));
    }
    let running = host.start().await;
    if search.enrolled && !matches!(search.mode, Mode::SharedToken(_)) {
        running.enrol(&manager, TOKEN).await.unwrap();
    }
    host.clock.advance(5000).await;
    (host, manager, running)
}

/// Does it, step by step, and films the disk.
async fn act(search: &Search, host: &Host, manager: &Manager, running: &Running, film: &Film) {
    let folder = host.state.path().join("identity");
    film.take(&folder);
    match search.name {
        "enrolment" => {
            let _ = running.enrol(manager, TOKEN).await;
            film.take(&folder);
            let _ = running.enrol_as(EnrolSpec { ca_pem: None, ..spec(manager, TOKEN) }).await;
        }
        "renewal" => manager.set_reply(|reply| reply["rotate_credential"] = "now".into()),
        "recovery" => host.clock.step_wall(i64::try_from(LIFE_S * 3000).unwrap()),
        "shared" => {
            manager.set_reply(|reply| reply["next_token"] = "second".into());
            host.clock.advance(31_000).await;
            film.take(&folder);
            manager.reset_reply();
            manager.set_shared_tokens(&["second"]);
        }
        "leaving" => {
            let _ = running.port.leave().await;
        }
        "forgetting" => assert!(manager.forget(running.now().server_id.as_deref().unwrap())),
        other => panic!("{other}"),
    }
    for _ in 0..5 {
        film.take(&folder);
        host.clock.advance(31_000).await;
        if search.name == "renewal" {
            manager.reset_reply();
        }
    }
    film.take(&folder);
}

/// The host after the crash, with what was on its disk.
async fn after_crash(host: &Host, state: &Disk) -> Host {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("identity")).unwrap();
    for (name, content) in state {
        std::fs::write(folder.path().join("identity").join(name), content).unwrap();
    }
    host.clock.jump(60_000);
    let clock = Arc::new(VirtualClock::new(host.clock.boot_now(), host.clock.wall_now()));
    Host { clock, state: folder, settings: host.settings.clone(), seen: host.seen.clone(), keeps_events: false }
}

async fn is_well(search: &Search, host: &Host, manager: &Manager, what: &str) {
    let running = host.start().await;
    // Each request of a recovery comes ten minutes after the one before, and with the next of its keys.
    for _ in 0..150 {
        let is_through = running.state() == CheckinState::Ok && !(search.leaves && search.name == "forgetting");
        let is_out = search.leaves && running.state() == CheckinState::Forgotten;
        if is_through || is_out || running.state() == CheckinState::NotEnrolled {
            break;
        }
        host.clock.advance(30_000).await;
    }
    match running.state() {
        CheckinState::Ok => {}
        CheckinState::Forgotten if search.leaves => {}
        CheckinState::NotEnrolled => {
            // A clean beginning: a new token is all that it takes. Faults that are left are what a person sees and tries again.
            let token = manager.issue_token();
            for _ in 0..3 {
                if running.enrol(manager, &token).await.is_ok() {
                    break;
                }
            }
            host.clock.advance(95_000).await;
            assert_eq!(running.state(), CheckinState::Ok, "{what}: {:?}", running.now());
        }
        CheckinState::PendingApproval
        | CheckinState::Connecting
        | CheckinState::Unreachable
        | CheckinState::Unauthenticated
        | CheckinState::DuplicateIdentity
        | CheckinState::UpgradeRequired
        | CheckinState::Forgotten => panic!("{what}: {:?}", running.now()),
    }
    running.stop().await;
}

async fn run(search: Search) {
    let [lost, front, garbled] = faults();
    let before = [
        vec![],
        vec![lost.clone()],
        vec![front.clone()],
        vec![garbled.clone()],
        vec![lost.clone(), lost.clone()],
        vec![lost, garbled.clone()],
        vec![garbled, front],
    ];
    let mut crashes = 0;
    for (number, faulty) in before.into_iter().enumerate() {
        // The state before the first write, and one more for each write.
        for kill_at in 0..99 {
            let (host, manager, running) = begin(&search).await;
            let film = Film::new(kill_at);
            film.watch(&manager, &host.state.path().join("identity"));
            manager.script(search.faulty, faulty.clone());
            let mut reached = film.reached.subscribe();
            tokio::select! {
                _ = reached.wait_for(|reached| *reached) => {}
                () = act(&search, &host, &manager, &running, &film) => {}
            }
            running.kill().await;
            manager.reset_gate();
            let Some(state) = film.at_the_kill() else {
                assert!(kill_at > 1 || number > 0, "{}: nothing is written where nothing is faulty", search.name);
                break;
            };
            let names: Vec<_> = state.keys().collect();
            let what = format!("{} with faults {number}, killed at state {kill_at} {names:?}", search.name);
            is_well(&search, &after_crash(&host, &state).await, &manager, &what).await;
            crashes += 1;
        }
    }
    println!("{}: {crashes} crashes", search.name);
    // Seven lists of faults; one of them can keep the change away altogether.
    assert!(crashes >= 7 + 3, "{}: {crashes}", search.name);
}

fn search(name: &'static str, mode: Mode, faulty: Endpoint) -> Search {
    let leaves = ["leaving", "forgetting"].contains(&name);
    Search { name, mode, faulty, enrolled: name != "enrolment", leaves }
}

#[tokio::test]
async fn a_crash_at_any_step_of_an_enrolment_leaves_an_identity_or_a_clean_beginning() {
    run(search("enrolment", Mode::Certificates, Endpoint::Enroll)).await;
    run(search("enrolment", Mode::Secrets, Endpoint::Enroll)).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_renewal_and_two_faults_before_leave_a_credential_that_works() {
    run(search("renewal", Mode::Certificates, Endpoint::Credentials)).await;
    run(search("renewal", Mode::Secrets, Endpoint::Credentials)).await;
    run(search("renewal", Mode::Certificates, Endpoint::Heartbeat)).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_the_recovery_of_an_ended_credential_needs_no_login() {
    run(search("recovery", Mode::Certificates, Endpoint::Enroll)).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_change_of_the_shared_token_leaves_one_that_works() {
    run(search("shared", Mode::SharedToken("first".into()), Endpoint::Heartbeat)).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_leaving_or_of_being_forgotten_leaves_a_host_that_can_enrol() {
    run(search("leaving", Mode::Certificates, Endpoint::Deregister)).await;
    run(search("forgetting", Mode::Certificates, Endpoint::Heartbeat)).await;
}
