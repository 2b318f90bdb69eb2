//! One answer to one heartbeat, and what must hold whatever it is.

use crate::HEAP;
use crate::world::{Host, Running, TOKEN, no_violations, with_token};
use manager::{Endpoint, Manager, Options, RawAnswer, Scripted};
use model::enrol::CheckinState;
use serde_json::{Value, json};

/// The heap of this whole process with all its tests beside each other, hosts and managers. What a manager sends here is many times
/// as much: one answer that is kept whole is seen.
const HEAP_MOST_BYTES: usize = 96 << 20;

/// A reply that a manager might give.
pub(crate) const REPLY: &str = r#"{"next_heartbeat_s":30}"#;

/// A good answer up to its body.
pub(crate) fn ok(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

/// A good head with this body behind it, its length named.
pub(crate) fn body(body: impl AsRef<[u8]>) -> RawAnswer {
    RawAnswer::new(ok(body.as_ref().len())).then(body)
}

/// A host with an identity, and heartbeats in their slots.
pub(crate) async fn enrolled(host: &mut Host, options: Options) -> (Manager, Running) {
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    (manager, running)
}

/// All that is kept of this host: the names of its files, and what its identity is.
pub(crate) fn kept(host: &Host) -> (Vec<String>, Value) {
    let mut names = Vec::new();
    let mut folders = vec![host.state.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.to_string_lossy().into_owned());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names.sort();
    (names, host.kept())
}

/// The heap never was larger, whatever has come.
pub(crate) fn heap_is_bounded(what: &str) {
    let peak = HEAP.peak_usage();
    println!("{what}: the heap of all tests is {} MiB at most", peak >> 20);
    assert!(peak <= HEAP_MOST_BYTES, "{what}: the heap of all tests was {} MiB", peak >> 20);
}

/// Up to the next heartbeat, and through it.
pub(crate) async fn one_slot(host: &Host) {
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
}

/// A person can read it: it names the manager and each of these words, and is neither long nor full of what was sent.
fn names_the_cause(what: &str, message: &str, manager: &Manager, words: &[&str]) {
    assert!(message.len() < 1024 && !message.chars().any(char::is_control), "{what}: {message:?}");
    assert!(message.contains(&manager.addr().to_string()), "{what}: {message}");
    for word in words {
        assert!(message.contains(word), "{what}: {word:?} is not in {message:?}");
    }
    assert!(!message.contains("docs.rs") && !message.contains(TOKEN), "{what}: {message}");
}

/// The answer is no acceptance: the host shows why, keeps what it has, and comes in its next slot.
pub(crate) async fn is_refused(what: &str, answer: &RawAnswer, words: &[&str]) {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    host.clock.advance(31_000).await;
    let before = kept(&host);
    // What is lost on a kept connection before the first byte is sent once more at once.
    manager.script(Endpoint::Heartbeat, vec![Scripted::bytes(answer.clone()); 2]);
    one_slot(&host).await;
    assert_eq!(running.state(), CheckinState::Unreachable, "{what}");
    let message = running.now().last_error.clone().unwrap_or_default();
    println!("{what}: {message}");
    names_the_cause(what, &message, &manager, words);
    assert_eq!(running.conditions(), ["manager_unreachable"], "{what}");
    host.clock.advance(90_000).await;
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::new()), "{what}");
    assert_eq!(kept(&host), before, "{what}: the host keeps something else");
    assert_eq!(running.now().interval_s, 30, "{what}");
    assert!(running.desired.borrow().manager.document().is_none(), "{what}: a document is in force");
    heap_is_bounded(what);
    running.stop().await;
    no_violations(&manager);
    goes_on_at_another(what, answer).await;
}

/// With a second manager on the list, that one has the heartbeat in the same slot.
async fn goes_on_at_another(what: &str, answer: &RawAnswer) {
    let mut host = Host::new();
    let bad = host.manager(with_token()).await;
    let good = host.manager(Options { fleet: Some(bad.fleet()), ..Options::default() }).await;
    let place = |manager: &Manager, priority: u64| json!({"hostname": "127.0.0.1", "port": manager.addr().port(), "priority": priority});
    let list = json!([place(&bad, 1), place(&good, 2)]);
    let both = list.clone();
    bad.set_reply(move |reply| reply["managers"] = both.clone());
    good.set_reply(move |reply| reply["managers"] = list.clone());
    host.unattended(&[&bad], TOKEN);
    let running = host.start().await;
    host.clock.advance(31_000).await;
    let before = kept(&host);
    bad.script(Endpoint::Heartbeat, vec![Scripted::bytes(answer.clone()); 2]);
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
    let (lost, taken) = (bad.heartbeats().pop().unwrap(), good.heartbeats().pop());
    let taken = taken.unwrap_or_else(|| panic!("{what}: the second manager was not asked"));
    assert!(taken.accepted && taken.received_at == lost.received_at, "{what}: the heartbeat was late");
    assert!(taken.body["seq"].as_u64() > lost.body["seq"].as_u64(), "{what}");
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::new()), "{what}");
    assert_eq!(kept(&host), before, "{what}: the host keeps something else");
    running.stop().await;
    no_violations(&good);
}

/// The answer is an acceptance in a strange dress: nothing is lost, and the next heartbeat comes in its slot.
pub(crate) async fn is_taken(what: &str, answer: &RawAnswer) {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    host.clock.advance(31_000).await;
    let (before, accepted) = (kept(&host), running.now().accepted);
    manager.script(Endpoint::Heartbeat, vec![Scripted::bytes(answer.clone())]);
    for more in 1..=3 {
        one_slot(&host).await;
        assert_eq!(running.state(), CheckinState::Ok, "{what}: {:?}", running.now().last_error);
        assert_eq!((running.now().accepted, running.now().failed), (accepted + more, 0), "{what}");
    }
    assert_eq!(kept(&host), before, "{what}: the host keeps something else");
    assert_eq!(running.now().interval_s, 30, "{what}");
    heap_is_bounded(what);
    running.stop().await;
    no_violations(&manager);
}
