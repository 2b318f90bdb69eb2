//! Answers of a manager, made up and spoilt, over real TLS to the real client, in a process of their own so that its heap is what they
//! cost: the host stays what it is, and heartbeats go on. The same number makes the same answer. `tests/run/all.sh answers` has ten
//! thousand, `ANSWERS_OVER_TLS` as many as it names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

#[path = "../checkin/clock.rs"]
#[allow(dead_code, reason = "the tests of the check-in use the rest of it")]
mod clock;
#[path = "../checkin/world.rs"]
#[allow(dead_code, reason = "the tests of the check-in use the rest of it")]
mod world;

use fuzz::{mutated, pieces};
use manager::{Auth, Endpoint, Manager, Options, Scripted};
use model::checkin::managers::MANAGERS_MAX;
use model::checkin::slot::{INTERVAL_MAX_S, INTERVAL_MIN_S};
use model::enrol::CheckinState;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wire::manager::reply::{HeartbeatReply, apart};
use world::{Host, Running, TOKEN, with_token};

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// As many as take half a minute; each endpoint gets some.
const ANSWERS: u64 = 1000;
/// What the answers may cost beyond what the first ones did: host, manager and what both remember are in it.
const HEAP_MOST_BYTES: usize = 16 << 20;
/// Requests of this kind end within so long, whatever is answered.
const DEADLINE: Duration = Duration::from_secs(15);
/// So many answers reach one host before the next one begins.
const ANSWERS_A_HOST: u64 = 100;
/// No answer keeps a host from its manager for longer than the most that `Retry-After` may ask for, an hour, and a round.
const HEALS_WITHIN_MS: u64 = 2 * 3_600_000;
/// Files that a check-in keeps, and those of the test.
const FILES: [&str; 8] = [
    "ca.pem",
    "token",
    "desired.json",
    "identity/identity.json",
    "identity/enrolment.json",
    "identity/forgotten.json",
    "identity/last-reply.json",
    "identity/leaving.json",
];

/// Where the answers come from.
#[derive(Default)]
struct Feed {
    next: AtomicU64,
    /// So many of the next requests get one.
    armed: AtomicU64,
    given: Mutex<BTreeMap<(String, bool), u64>>,
}

impl Feed {
    fn answer(&self, endpoint: Endpoint) -> Option<Scripted> {
        self.armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).ok()?;
        let input = mutated::answer(self.next.fetch_add(1, Ordering::SeqCst));
        let (head, body) = pieces::halves(&input);
        let (status, retry) = pieces::word(std::str::from_utf8(head).unwrap());
        let status = status.parse().unwrap();
        *self.given.lock().unwrap().entry((format!("{endpoint:?}"), status == 200)).or_default() += 1;
        Some(Scripted::raw(status, "application/json", &without_names(body)).header("retry-after", retry))
    }

    fn count(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }
}

/// The answer, without managers that are asked of the name service of this machine: an address is as good as a name.
fn without_names(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).replace("a.example", "127.0.0.1");
    let has_name = |read: Value| {
        let managers = HeartbeatReply::read(read).steering.managers;
        managers.iter().any(|one| {
            let url = one.base_url();
            let host = url.trim_start_matches("https://").rsplit_once(':').map_or("", |(host, _)| host);
            host.trim_matches(['[', ']']).parse::<IpAddr>().is_err()
        })
    };
    if String::from_utf8(body.to_vec()).is_err() || apart(text.as_bytes()).0.is_some_and(has_name) {
        return body.windows(1).flatten().map(|byte| if *byte == b'h' { b'k' } else { *byte }).collect();
    }
    text.into_bytes()
}

/// One host and its manager.
struct Subject {
    host: Host,
    manager: Manager,
    running: Running,
}

impl Subject {
    /// It enrols while some of the answers are made up.
    async fn new(feed: &Arc<Feed>) -> Self {
        let mut host = Host::new();
        let manager = host.manager(Options { history: 16, ..with_token() }).await;
        manager.set_desired(Some(json!({"epoch": "b0f4", "revision": 40, "issued_at": "2026-03-31T13:13:13Z"})));
        let answers = Arc::clone(feed);
        manager.set_gate(move |endpoint: Endpoint, _: &Auth| answers.answer(endpoint));
        host.unattended(&[&manager], TOKEN);
        feed.armed.store(2, Ordering::SeqCst);
        let running = host.start().await;
        Self { host, manager, running }
    }

    /// Nothing of the host is other than the contract lets a manager make it.
    fn holds(&self, effects: &mut BTreeSet<String>) {
        let now = self.running.now();
        assert!((INTERVAL_MIN_S..=INTERVAL_MAX_S).contains(&now.interval_s), "{}", now.interval_s);
        for condition in &now.conditions {
            assert!(condition.message.len() < 4096 && !condition.message.contains(TOKEN), "{condition:?}");
            assert!(!condition.message.chars().any(char::is_control), "{condition:?}");
        }
        files_below(self.host.state.path(), "", &mut |name| {
            // The keeper of the documents writes in real time: its draft may be seen.
            let name = name.split(".damaged").next().unwrap().replace(".desired.json.new", "desired.json");
            assert!(FILES.contains(&name.as_str()), "{name} was made");
        });
        let kept = std::fs::read(self.host.identity()).ok().map(|text| serde_json::from_slice::<Value>(&text).unwrap());
        if let Some(kept) = kept {
            assert!(kept["managers"].as_array().is_none_or(|all| all.len() <= MANAGERS_MAX), "{kept}");
            assert!(uuid::Uuid::try_parse(kept["server_id"].as_str().unwrap()).is_ok(), "{kept}");
            assert!(kept.to_string().len() < 256 << 10, "{} bytes are kept", kept.to_string().len());
        }
        effects.insert(format!("state {:?}", now.state));
        effects.extend(now.conditions.iter().map(|one| format!("condition {}", one.kind)));
        if let Some(document) = self.running.desired.borrow().manager.document() {
            effects
                .insert(if document.id.to_string() == "b0f4.40" { "own document" } else { "made-up document" }.into());
        }
    }

    /// The manager is itself again: the host comes back to it, or shows what a person has to do.
    async fn heals(&self, effects: &mut BTreeSet<String>) {
        // Who takes a made-up identity for its own belongs to a manager that does not know it.
        let is_ours = || {
            let (id, known) = (self.running.now().server_id.clone(), self.manager.enrolled());
            known.iter().any(|agent| Some(&agent.server_id) == id.as_ref())
        };
        for _ in 0..HEALS_WITHIN_MS / 30_000 {
            let now = self.running.now();
            if now.state == CheckinState::Ok || (now.server_id.is_some() && !is_ours()) {
                break;
            }
            self.host.clock.advance(30_000).await;
        }
        let (now, is_ours) = (self.running.now(), is_ours());
        assert!(now.state == CheckinState::Ok || !is_ours, "{now:#?}");
        effects.insert(if is_ours { "kept its identity" } else { "took a made-up identity" }.into());
    }
}

fn files_below(folder: &Path, prefix: &str, look: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), look);
        } else {
            look(&name);
        }
    }
}

#[tokio::test]
async fn made_up_answers_over_tls_change_nothing_that_a_manager_may_not_and_cost_at_most_16_mib() {
    let wanted = std::env::var("ANSWERS_OVER_TLS").ok().and_then(|count| count.parse().ok()).unwrap_or(ANSWERS);
    let feed = Arc::new(Feed::default());
    let (mut effects, mut hosts, mut longest, mut usual) = (BTreeSet::new(), 0, Duration::ZERO, None);
    let begun = Instant::now();
    while feed.count() < wanted {
        let subject = Subject::new(&feed).await;
        hosts += 1;
        let last = feed.count() + ANSWERS_A_HOST;
        // One that asks no longer is left alone.
        for _ in 0..ANSWERS_A_HOST {
            if feed.count() >= last {
                break;
            }
            feed.armed.store(2, Ordering::SeqCst);
            let before = Instant::now();
            subject.host.clock.advance(31_000).await;
            longest = longest.max(before.elapsed());
            subject.holds(&mut effects);
        }
        feed.armed.store(0, Ordering::SeqCst);
        subject.heals(&mut effects).await;
        subject.running.stop().await;
        if usual.is_none() {
            usual = Some(HEAP.peak_usage());
        }
    }
    let more = HEAP.peak_usage().saturating_sub(usual.unwrap());
    println!("{} answers to {hosts} hosts in {:?}, the slowest turn {longest:?}", feed.count(), begun.elapsed());
    println!("the heap was {} kB at the first host, and {} kB more at most", usual.unwrap() >> 10, more >> 10);
    println!("{:?}\n{effects:#?}", feed.given.lock().unwrap());
    assert!(more <= HEAP_MOST_BYTES, "{more} bytes more");
    assert!(longest < DEADLINE, "{longest:?}");
    // None of the roads is closed.
    let given = feed.given.lock().unwrap();
    for endpoint in ["Heartbeat", "Enroll", "Version", "DesiredState", "Credentials"] {
        assert!(given.contains_key(&(endpoint.to_owned(), true)), "no {endpoint} was answered so: {given:?}");
    }
    for effect in ["state Ok", "kept its identity", "own document", "made-up document"] {
        assert!(effects.contains(effect), "{effect}: {effects:?}");
    }
}
