//! Events over the wire: each of them reaches a manager that takes events, in order, whatever it answers, and no heartbeat waits.

use crate::world::{Host, Running, TOKEN, eventually, no_violations, spec, with_token};
use manager::{Code, Endpoint, EnrolToken, Manager, Options, Request, Scripted};
use model::enrol::CheckinState;
use model::event::{EventKind, EventQuery, EventSeverity, Occurrence};
use model::ports::Clock;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

fn takes_events() -> Options {
    Options { features: vec!["gzip".to_owned(), "events".to_owned()], ..with_token() }
}

async fn enrolled(options: Options) -> (Host, Manager, Running) {
    let mut host = Host::new();
    host.keeps_events = true;
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    (host, manager, running)
}

fn happens(running: &Running, messages: &[&str]) {
    for message in messages {
        running.publisher.occur(Occurrence::new(EventKind::DiskReserve, "", EventSeverity::Info, *message));
    }
}

/// What the manager has of what a test had happen.
fn got(manager: &Manager) -> Vec<String> {
    let events = manager.events();
    let ours = events.iter().filter(|event| event["type"] == "disk.reserve");
    ours.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

fn batches(manager: &Manager) -> Vec<Request> {
    manager.requests().into_iter().filter(|request| request.endpoint == Some(Endpoint::Events)).collect()
}

/// Events are kept in real time and delivered in virtual time: both go on until it is so.
async fn comes(host: &Host, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        host.clock.advance(1000).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} has not come");
}

async fn kept(running: &Running, count: usize) {
    for _ in 0..6000 {
        let page = running.publisher.events().page(EventQuery { after: 0, since: None, most: 500 }).await.unwrap();
        if page.events.iter().filter(|event| event.what.kind == EventKind::DiskReserve).count() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{count} events are not kept");
}

fn on_time(manager: &Manager, from: usize) {
    let beats = manager.heartbeats().split_off(from);
    assert!(beats.len() > 3 && beats.iter().all(|beat| beat.accepted));
    let late = beats.windows(2).find(|two| two[1].received_at - two[0].received_at > 30_000);
    assert!(late.is_none(), "{late:?}");
}

#[tokio::test]
async fn events_come_in_order_each_once_and_as_the_contract_has_them() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || manager.events().iter().any(|event| event["type"] == "agent.started")).await;
    happens(&running, &["one", "two", "three"]);
    comes(&host, "three events", || got(&manager).len() == 3).await;
    assert_eq!(got(&manager), ["one", "two", "three"]);
    let events = manager.events();
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|two| two[0] < two[1]), "{seqs:?}");
    assert!(events.iter().all(|event| event["boot_id"] == "f23a1e49-9ab3-4ede-ba60-c5c4215467a6"));
    let before = batches(&manager).len();
    host.clock.advance(300_000).await;
    assert_eq!(batches(&manager).len(), before, "what is acknowledged is not sent again");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_manager_that_does_not_list_events_gets_none() {
    let (host, manager, running) = enrolled(with_token()).await;
    happens(&running, &["one"]);
    kept(&running, 1).await;
    host.clock.advance(300_000).await;
    assert_eq!(batches(&manager).len(), 0);
    running.stop().await;
}

#[tokio::test]
async fn whatever_is_no_acknowledgement_changes_nothing_and_the_same_batch_comes_again_with_the_same_key() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    let acked = |value: Value| Scripted::json(200, &json!({ "acked_seq": value }));
    let answers = vec![
        acked(json!(0)),
        acked(json!(1)),
        acked(json!(-1)),
        acked(json!("7")),
        acked(json!(null)),
        acked(json!(u64::MAX)),
        acked(json!(9_007_199_254_740_993_u64)),
        Scripted::json(200, &json!({})),
        Scripted::json(200, &json!([])),
        Scripted::json(200, &json!({"error_message": "no", "code": "internal"})),
        Scripted::page(200),
        Scripted::page(502),
        Scripted::cut(),
        Scripted::json(200, &json!({"acked_seq": 7})).cut_after(5),
        Scripted::status(204),
        Scripted::status(302).header("location", "https://127.0.0.1:1/"),
    ];
    let (count, beats, sent) = (answers.len(), manager.heartbeats().len(), batches(&manager).len());
    manager.script(Endpoint::Events, answers);
    happens(&running, &["one"]);
    comes(&host, "the event", || got(&manager) == ["one"]).await;
    let tried = batches(&manager).split_off(sent);
    assert_eq!(tried.len(), count + 1);
    let keys: BTreeSet<&String> = tried.iter().map(|batch| &batch.headers["idempotency-key"]).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    on_time(&manager, beats);
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_no_second_event() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    manager.script(Endpoint::Events, vec![Scripted::cut().handled()]);
    happens(&running, &["one"]);
    comes(&host, "the second try", || {
        let tried = batches(&manager);
        tried.iter().filter(|batch| batch.body["events"][0]["message"] == "one").count() == 2
    })
    .await;
    host.clock.advance(60_000).await;
    assert_eq!(got(&manager), ["one"]);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn what_the_manager_says_of_this_host_here_is_no_matter_of_the_check_in() {
    let refusals = [
        Code::InvalidToken,
        Code::NotApproved,
        Code::UnknownAgent,
        Code::DuplicateAgent,
        Code::AgentDeleted,
        Code::UpgradeRequired,
        Code::RateLimited,
        Code::ManagerDisabled,
    ];
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    let beats = manager.heartbeats().len();
    manager.script(Endpoint::Events, refusals.map(|code| Scripted::refusal(code, "no")).to_vec());
    happens(&running, &["one"]);
    comes(&host, "the event", || got(&manager) == ["one"]).await;
    on_time(&manager, beats);
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn retry_after_is_kept() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    let sent = batches(&manager).len();
    let busy = Scripted::refusal(Code::RateLimited, "later").header("retry-after", "120");
    manager.script(Endpoint::Events, vec![busy]);
    happens(&running, &["one"]);
    comes(&host, "the event", || got(&manager) == ["one"]).await;
    let tried = batches(&manager).split_off(sent);
    assert!(tried[1].received_at - tried[0].received_at >= 120_000, "{tried:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split_and_an_event_that_is_refused_alone_holds_up_no_other() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    let sent = batches(&manager).len();
    let too_large = || Scripted::refusal(Code::TooLarge, "no");
    manager.script(Endpoint::Events, vec![too_large(), too_large(), Scripted::refusal(Code::BadRequest, "no")]);
    happens(&running, &["1", "2", "3", "4"]);
    comes(&host, "the rest", || got(&manager) == ["2", "3", "4"]).await;
    let tried = batches(&manager).split_off(sent);
    let sizes: Vec<usize> = tried.iter().map(|batch| batch.body["events"].as_array().unwrap().len()).collect();
    assert_eq!(&sizes[..3], [4, 2, 1], "{sizes:?}");
    let page = running.publisher.events().page(EventQuery { after: 0, since: None, most: 500 }).await.unwrap();
    assert!(page.events.iter().any(|event| event.what.message == "1"), "people see it all the same");
    running.stop().await;
}

#[tokio::test]
async fn a_front_that_finds_everything_too_large_costs_one_event_and_is_left_for_an_hour() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    let (sent, beats) = (batches(&manager).len(), manager.heartbeats().len());
    let too_large = || Scripted::refusal(Code::TooLarge, "no");
    manager.script(Endpoint::Events, vec![too_large(), too_large(), too_large()]);
    happens(&running, &["1", "2"]);
    comes(&host, "the third try", || batches(&manager).len() >= sent + 3).await;
    host.clock.advance(3_500_000).await;
    let sizes: Vec<usize> =
        batches(&manager)[sent..].iter().map(|batch| batch.body["events"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [2, 1, 1], "the second event is kept");
    on_time(&manager, beats);
    host.clock.advance(200_000).await;
    comes(&host, "the second event", || got(&manager) == ["2"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_host_that_has_left_has_no_event_that_waits() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    manager.set_down(true);
    happens(&running, &["one"]);
    let shown = running.publisher.events().shown();
    eventually("it waits", || shown.borrow().deliverable.is_some()).await;
    running.port.leave().await.unwrap();
    eventually("nothing waits", || shown.borrow().deliverable.is_none()).await;
    running.stop().await;
}

#[tokio::test]
async fn without_the_path_it_is_off_for_an_hour() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    let (sent, beats) = (batches(&manager).len(), manager.heartbeats().len());
    manager.script(Endpoint::Events, vec![Scripted::page(404)]);
    happens(&running, &["one"]);
    comes(&host, "the first try", || batches(&manager).len() > sent).await;
    host.clock.advance(3_500_000).await;
    assert_eq!(batches(&manager).len(), sent + 1);
    on_time(&manager, beats);
    host.clock.advance(200_000).await;
    assert_eq!(got(&manager), ["one"]);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_manager_that_stores_slowly_holds_up_no_heartbeat() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    host.clock.let_hang(&["events"]);
    let (sent, beats) = (batches(&manager).len(), manager.heartbeats().len());
    manager.script(Endpoint::Events, vec![Scripted::hang()]);
    happens(&running, &["one"]);
    comes(&host, "the try", || batches(&manager).len() > sent).await;
    host.clock.advance(300_000).await;
    on_time(&manager, beats);
    running.stop().await;
}

#[tokio::test]
async fn weeks_without_a_manager_and_restarts_lose_no_event_and_double_none() {
    let (host, manager, mut running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    manager.set_down(true);
    let names: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    for (turn, part) in names.chunks(10).enumerate() {
        happens(&running, &part.iter().map(String::as_str).collect::<Vec<_>>());
        kept(&running, (turn + 1) * 10).await;
        host.clock.advance(3_600_000).await;
        // On disk: the delivery after the crash shows it.
        eventually("the write", || {
            let file = std::fs::read_to_string(host.state.path().join("events/spool.log")).unwrap_or_default();
            file.contains(&format!("\"message\":\"{}\"", part[9]))
        })
        .await;
        running.kill().await;
        host.clock.jump(7 * 86_400_000);
        running = host.start_only().await;
    }
    manager.set_down(false);
    comes(&host, "all of them", || got(&manager).len() >= 30).await;
    host.clock.advance(300_000).await;
    assert_eq!(got(&manager), names);
    let ids: BTreeSet<String> = manager.events().iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), manager.events().len());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn another_manager_gets_nothing_of_what_happened_under_the_one_before() {
    let (host, manager, running) = enrolled(takes_events()).await;
    comes(&host, "the start", || !manager.events().is_empty()).await;
    manager.set_down(true);
    happens(&running, &["of the first"]);
    kept(&running, 1).await;
    let second = host.manager(Options { enrol_tokens: vec![EnrolToken::new("second")], ..takes_events() }).await;
    let first_id = manager.enrolled()[0].server_id.clone();
    running.port.leave().await.unwrap();
    running.enrol_as(spec(&second, "second")).await.unwrap();
    // The keeper learns of the identity in real time.
    assert_ne!(running.now().server_id.as_ref(), Some(&first_id));
    tokio::time::sleep(Duration::from_millis(600)).await;
    happens(&running, &["of the second"]);
    comes(&host, "its event", || !got(&second).is_empty()).await;
    assert_eq!(got(&second), ["of the second"]);
    running.stop().await;
    no_violations(&second);
}

#[tokio::test]
async fn where_nothing_can_be_written_events_are_delivered_from_memory_and_a_condition_names_the_path() {
    let mut host = Host::new();
    host.keeps_events = true;
    host.file("events", "in place of the directory");
    let manager = host.manager(takes_events()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    happens(&running, &["one"]);
    comes(&host, "the event", || got(&manager) == ["one"]).await;
    let shown = running.publisher.shown().borrow().conditions.clone();
    let held = shown.iter().find(|held| held.kind == "events_not_stored").expect("the condition");
    assert!(held.message.contains("events/spool.log") && held.message.contains("in memory"), "{}", held.message);
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted));
    assert!(host.clock.boot_now().0 > 0);
    running.stop().await;
}
