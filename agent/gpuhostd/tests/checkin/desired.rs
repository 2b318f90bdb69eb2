//! Desired state over the wire: each way in which a document reaches the host, and the heartbeats that go on beside it.

use crate::relay::{Later, Relay};
use crate::world::{Host, Running, TOKEN, eventually, no_violations, with_token};
use engine::reconcile::Reconciled;
use manager::{Endpoint, Manager, Options, Request, Scripted};
use model::checkin::DesiredFetch;
use model::checkin::machine::START_SPREAD_MS;
use model::checkin::slot::stable_hash;
use model::desired::{DocumentId, Epoch};
use model::enrol::CheckinState;
use model::ports::Clock;
use model::reconcile::{ItemPath, Shown, Why, WishSource};
use model::time::UnixMillis;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const HOUR_MS: u64 = 3_600_000;

fn document(revision: u64) -> Value {
    json!({"epoch": "b0f4", "revision": revision, "issued_at": "2026-03-31T13:13:13Z", "agent": {"labels": {"n": revision.to_string()}}})
}

fn id(epoch: &str, revision: u64) -> DocumentId {
    DocumentId { epoch: Epoch::try_from(epoch.to_owned()).unwrap(), revision: revision.try_into().unwrap() }
}

/// A manager that lists these features beside gzip.
fn with_features(features: &[&str]) -> Options {
    Options { features: features.iter().map(|name| (*name).to_owned()).collect(), ..with_token() }
}

async fn enrolled(options: Options) -> (Host, Manager, Running) {
    let mut host = Host::new();
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    (host, manager, running)
}

/// Requests for desired state that were answered, oldest first.
fn fetches(manager: &Manager) -> Vec<Request> {
    manager.requests().into_iter().filter(|request| request.endpoint == Some(Endpoint::DesiredState)).collect()
}

fn in_force(running: &Running) -> Option<String> {
    running.desired.borrow().manager.document().map(|document| document.id.to_string())
}

fn refused(running: &Running) -> Option<&'static str> {
    running.desired.borrow().refused.as_ref().map(|refusal| refusal.code)
}

/// So many heartbeats in their slots at least, and all accepted. What changes on the host can cause one more between them.
async fn on_time(host: &Host, manager: &Manager, running: &Running, beats: u64) {
    let before = manager.heartbeats().len();
    host.clock.advance(beats * 30_000).await;
    let new = manager.heartbeats().split_off(before);
    assert!(u64::try_from(new.len()).unwrap() >= beats, "heartbeats were kept back");
    assert!(new.iter().all(|beat| beat.accepted));
    let last = new.last().unwrap().received_at;
    let in_slot = new.iter().filter(|beat| (last - beat.received_at) % 30_000 == 0).count();
    // The first one of a start may be a second behind its slot.
    assert!(u64::try_from(in_slot).unwrap() + 1 >= beats, "not in their slot");
    assert_eq!(running.state(), CheckinState::Ok);
}

#[tokio::test]
async fn t13_a_document_comes_by_long_poll_as_soon_as_there_is_one() {
    let (host, manager, running) = enrolled(with_features(&["gzip", "long_poll"])).await;
    assert_eq!(running.now().desired.way, DesiredFetch::LongPoll);
    on_time(&host, &manager, &running, 2).await;
    assert_eq!(fetches(&manager).len(), 0, "a request was not held");
    for revision in [43, 44] {
        manager.set_desired(Some(document(revision)));
        let wanted = format!("b0f4.{revision}");
        eventually("the document", || in_force(&running).as_deref() == Some(&wanted)).await;
        // Two requests are never closer than half a second.
        host.clock.advance(500).await;
    }
    let asked = fetches(&manager);
    assert!(asked.iter().all(|request| request.query["wait"] == "55"));
    assert!(asked.iter().all(|request| request.query["server_id"] == host.kept()["server_id"].as_str().unwrap()));
    assert_eq!(asked[0].headers.get("if-none-match"), None);
    assert_eq!(asked[1].headers["if-none-match"], "\"b0f4.43\"");
    on_time(&host, &manager, &running, 2).await;
    let observed = manager.heartbeats().last().unwrap().body["observed"].clone();
    assert_eq!((&observed["epoch"], &observed["revision"]), (&json!("b0f4"), &json!(44)));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t13_without_long_poll_a_hint_in_a_reply_is_fetched_at_once_and_a_known_one_never() {
    let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
    manager.set_desired(Some(document(43)));
    on_time(&host, &manager, &running, 1).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.43"));
    assert_eq!(
        (running.now().desired.way, running.now().desired.newest.clone()),
        (DesiredFetch::Hint, Some(id("b0f4", 43)))
    );
    let before = fetches(&manager).len();
    on_time(&host, &manager, &running, 20).await;
    assert_eq!(fetches(&manager).len(), before, "a document that is held was asked for");
    manager.set_desired(Some(document(44)));
    on_time(&host, &manager, &running, 1).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.44"));
    let last = fetches(&manager).pop().unwrap();
    assert_eq!((last.query["wait"].as_str(), last.headers["if-none-match"].as_str()), ("0", "\"b0f4.43\""));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t13_with_neither_hint_nor_long_poll_the_manager_is_asked_behind_each_heartbeat() {
    let (host, manager, running) = enrolled(with_features(&[])).await;
    manager.set_reply(|reply| {
        reply.as_object_mut().unwrap().remove("desired");
    });
    let before = fetches(&manager).len();
    on_time(&host, &manager, &running, 10).await;
    assert_eq!(fetches(&manager).len() - before, 10);
    assert_eq!(running.now().desired.way, DesiredFetch::Interval);
    manager.set_desired(Some(document(7)));
    on_time(&host, &manager, &running, 1).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.7"));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_document_that_comes_with_the_reply_is_taken_and_nothing_is_asked_for() {
    let embedding = Options { optional_paths: vec![Endpoint::Version, Endpoint::Enroll], ..with_features(&["gzip"]) };
    let (host, manager, running) = enrolled(embedding).await;
    // What was asked for before there was a document was answered 404: that is over when the hour is.
    host.clock.advance(HOUR_MS + 60_000).await;
    manager.set_desired(Some(document(43)));
    let before = manager.requests().len();
    on_time(&host, &manager, &running, 1).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.43"));
    on_time(&host, &manager, &running, 5).await;
    let after = manager.requests().split_off(before);
    assert!(after.iter().all(|request| request.path.ends_with("/heartbeat") || request.path.ends_with("/version")));
    assert_eq!(running.now().desired.way, DesiredFetch::Embedded);
    // A wrong one costs itself, and nothing of the heartbeat.
    manager.set_reply(|reply| reply["desired_state"] = json!({"epoch": "b0f4", "revision": 44, "gpus": 7}));
    on_time(&host, &manager, &running, 2).await;
    assert_eq!((in_force(&running).as_deref(), refused(&running)), (Some("b0f4.43"), Some("document_invalid")));
    running.stop().await;
}

/// A host at a manager behind a front that answers each request for desired state with this.
async fn behind_a_front(answer: impl Fn() -> Scripted + Send + Sync + 'static) -> (Host, Manager, Running) {
    let mut host = Host::new();
    let manager = host.manager(with_features(&["gzip", "long_poll"])).await;
    manager.set_gate(move |endpoint, _| (endpoint == Endpoint::DesiredState).then(&answer));
    host.unattended(&[&manager], TOKEN);
    // No request is held here: time passes only when each has its answer.
    host.clock.let_hang(&[]);
    let running = host.start().await;
    (host, manager, running)
}

#[tokio::test]
async fn t13_two_answers_304_at_once_end_the_long_polls_and_hints_are_used() {
    let (host, manager, running) = behind_a_front(|| Scripted::status(304)).await;
    host.clock.advance(1000).await;
    let asked = fetches(&manager);
    assert!(asked[..2].iter().all(|request| request.query["wait"] == "55"));
    on_time(&host, &manager, &running, 5).await;
    let after = fetches(&manager);
    assert!(after[2..].iter().all(|request| request.query["wait"] == "0"));
    assert_eq!((after.len() - asked.len(), running.now().desired.way), (5, DesiredFetch::Interval));
    manager.set_desired(Some(document(1)));
    manager.reset_gate();
    on_time(&host, &manager, &running, 1).await;
    let before = fetches(&manager).len();
    assert_eq!((in_force(&running).as_deref(), running.now().desired.way), (Some("b0f4.1"), DesiredFetch::Hint));
    on_time(&host, &manager, &running, 10).await;
    assert_eq!(fetches(&manager).len(), before);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_manager_that_always_answers_200_is_asked_once_in_5_s_and_ever_more_rarely_and_its_etag_is_not_believed() {
    let lie = || Scripted::json(200, &document(43)).header("etag", "\"b0f4.99\"");
    let (host, manager, running) = behind_a_front(lie).await;
    on_time(&host, &manager, &running, 10).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.43"));
    let asked = fetches(&manager);
    assert!(asked[1..].iter().all(|request| request.headers["if-none-match"] == "\"b0f4.43\""));
    let gaps: Vec<_> = asked.windows(2).map(|w| w[1].received_at - w[0].received_at).collect();
    assert_eq!(gaps[..5], [500, 5000, 10_000, 20_000, 30_000], "{gaps:?}");
    assert!(gaps[5..].iter().all(|gap| *gap == 30_000), "{gaps:?}");
    running.stop().await;
}

#[tokio::test]
async fn t14_a_refused_document_is_fetched_once_while_its_hint_stays_and_a_new_epoch_is_accepted() {
    let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
    let mut before = fetches(&manager).len();
    for (given, held, why) in [
        (document(43), "b0f4.43", None),
        (document(42), "b0f4.43", Some("stale_revision")),
        (json!({"epoch": "c1", "revision": 1, "issued_at": "2026-03-31T13:13:13Z"}), "c1.1", None),
        (document(99), "c1.1", Some("stale_epoch")),
    ] {
        manager.set_desired(Some(given.clone()));
        on_time(&host, &manager, &running, 20).await;
        assert_eq!((in_force(&running).as_deref(), refused(&running)), (Some(held), why), "{given}");
        let asked = fetches(&manager).len();
        assert_eq!(asked - before, 1, "{given}");
        before = asked;
    }
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t15_a_document_that_requires_what_this_agent_cannot_do_is_fetched_once_and_refused_as_a_whole() {
    let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
    let mut given = document(1);
    given["requires"] = json!(["host.v1", "teleport.v9"]);
    manager.set_desired(Some(given));
    let before = fetches(&manager).len();
    on_time(&host, &manager, &running, 10).await;
    assert_eq!((in_force(&running), refused(&running)), (None, Some("unsupported_feature")));
    assert_eq!(fetches(&manager).len() - before, 1);
    let agent = manager.heartbeats().into_iter().find_map(|beat| beat.body.get("agent").cloned()).unwrap();
    assert_eq!(
        agent["capabilities"],
        json!(["host.v1", "gpu.v1", "passthrough.v1", "mig.v1", "nvidia.v1", "image.v1", "workspace.v1"])
    );
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t16_a_document_outlives_a_crash_right_behind_its_acceptance_and_is_not_fetched_again() {
    let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
    manager.set_desired(Some(document(43)));
    let reached = host.clock.rest().await;
    host.clock.advance_to(reached).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.43"));
    running.kill().await;
    let before = fetches(&manager).len();
    let running = host.start().await;
    on_time(&host, &manager, &running, 3).await;
    assert_eq!((in_force(&running).as_deref(), fetches(&manager).len()), (Some("b0f4.43"), before));
    assert_eq!(manager.heartbeats().last().unwrap().body["observed"]["revision"], 43);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t16_a_heartbeat_that_is_due_at_once_behind_a_start_reports_the_document_that_is_in_force() {
    let mut host = Host::new();
    let manager = host.manager(with_features(&["gzip"])).await;
    host.unattended(&[&manager], TOKEN);
    let is_first = |id: &String| stable_hash(id).is_multiple_of(START_SPREAD_MS);
    let ids = (0_u32..).map(|n| format!("5f2ae64e-fdb7-40c7-a94e-{n:012x}"));
    host.settings.server_id = ids.into_iter().find(is_first);
    let running = host.start().await;
    manager.set_desired(Some(document(43)));
    on_time(&host, &manager, &running, 1).await;
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.43"));
    running.kill().await;
    let before = manager.heartbeats().len();
    let running = host.start_only().await;
    let first = manager.heartbeats().into_iter().nth(before).expect("a heartbeat without waiting");
    assert_eq!((&first.body["observed"]["epoch"], &first.body["observed"]["revision"]), (&json!("b0f4"), &json!(43)));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t38_a_long_poll_that_is_cut_is_opened_behind_the_next_accepted_heartbeat_and_not_before() {
    let asked = AtomicUsize::new(0);
    let answer = move || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Scripted::cut(),
        1 => Scripted::json(200, &document(1)).cut_after(20),
        2 => Scripted::page(504),
        _ => Scripted::json(200, &document(2)),
    };
    let (host, manager, running) = behind_a_front(answer).await;
    assert!(running.now().desired.last_error.is_some());
    for _ in 0..4 {
        assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()));
        host.clock.advance(30_000).await;
    }
    assert_eq!(in_force(&running).as_deref(), Some("b0f4.2"));
    // Each behind a heartbeat of its own: the one before it broke.
    let beats: Vec<_> = manager.heartbeats().iter().map(|beat| beat.received_at).collect();
    let opened: Vec<_> = fetches(&manager).iter().map(|request| request.received_at).collect();
    assert_eq!(opened[..4], beats[..4], "{opened:?}");
    running.stop().await;
}

#[tokio::test]
async fn t38_another_manager_is_asked_behind_its_own_heartbeat_and_the_old_one_no_more() {
    let mut host = Host::new();
    let first = host.manager(with_features(&["gzip", "long_poll"])).await;
    let options = Options { fleet: Some(first.fleet()), ..with_features(&["gzip", "long_poll"]) };
    let second = host.manager(options).await;
    host.unattended(&[&first, &second], TOKEN);
    let running = host.start().await;
    let slot = host.clock.rest().await;
    first.set_down(true);
    host.clock.advance_to(slot).await;
    second.set_desired(Some(document(8)));
    eventually("the document of the other manager", || in_force(&running).as_deref() == Some("b0f4.8")).await;
    assert!(!second.heartbeats().is_empty());
    let asked = fetches(&second);
    assert!(asked[0].at >= second.heartbeats()[0].at, "asked before a heartbeat was accepted there");
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_never_ends_and_one_that_hangs_hold_up_no_heartbeat() {
    let slow = Scripted::json(200, &document(2)).after(Duration::from_secs(3600));
    for answer in [Scripted::hang(), slow] {
        let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
        manager.script(Endpoint::DesiredState, vec![answer; 3]);
        host.clock.let_hang(&["desired_state"]);
        on_time(&host, &manager, &running, 20).await;
        let before = running.now().accepted;
        running.reload(host.settings.clone()).await;
        assert_eq!(running.now().accepted, before);
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn a_manager_without_the_path_is_asked_once_an_hour() {
    let without = Options { optional_paths: vec![Endpoint::Enroll], ..with_token() };
    let (host, manager, running) = enrolled(without).await;
    let asked =
        |manager: &Manager| manager.requests().iter().filter(|one| one.path.ends_with("/desired_state")).count();
    assert_eq!((asked(&manager), running.now().desired.way), (1, DesiredFetch::Off));
    let until = running.now().desired.off_until.unwrap();
    let left = until.0 - host.clock.wall_now().0;
    assert!((1..=3_600_000).contains(&left), "{left}");
    on_time(&host, &manager, &running, 115).await;
    assert_eq!(asked(&manager), 1);
    on_time(&host, &manager, &running, 10).await;
    assert_eq!(asked(&manager), 2);
    assert_eq!(running.conditions(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_no_document_is_not_taken_and_the_heartbeats_go_on() {
    let huge = format!("{{\"epoch\": \"e\", \"revision\": 1, \"x\": \"{}\"}}", "x".repeat(17 << 20));
    let bomb = Scripted::raw(200, "application/json", &[0x1f, 0x8b, 8, 0]).header("content-encoding", "gzip");
    for (what, answer) in [
        ("17 MiB", Scripted::raw(200, "application/json", huge.as_bytes())),
        ("compressed", bomb),
        ("a page", Scripted::page(200)),
        ("nothing", Scripted::raw(200, "application/json", b"")),
        ("elsewhere", Scripted::status(302).header("location", "https://127.0.0.1:1/")),
    ] {
        let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
        manager.set_desired(Some(document(43)));
        manager.script(Endpoint::DesiredState, vec![answer]);
        on_time(&host, &manager, &running, 1).await;
        assert_eq!((in_force(&running), refused(&running)), (None, None), "{what}");
        assert!(running.now().desired.last_error.is_some(), "{what}");
        on_time(&host, &manager, &running, 2).await;
        assert_eq!(in_force(&running).as_deref(), Some("b0f4.43"), "{what}: not asked again");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn what_a_manager_answers_to_a_request_for_desired_state_decides_nothing_about_the_host() {
    use manager::Code;
    let codes = [
        Code::InvalidToken,
        Code::NotApproved,
        Code::DuplicateAgent,
        Code::AgentDeleted,
        Code::UpgradeRequired,
        Code::RateLimited,
        Code::ManagerDisabled,
        Code::UnknownAgent,
        Code::Internal,
    ];
    for long_poll in [true, false] {
        let features: &[&str] = if long_poll { &["long_poll"] } else { &[] };
        let (host, manager, running) = enrolled(with_features(features)).await;
        for code in codes {
            let status = Scripted::refusal(code, "no").status;
            manager.script(Endpoint::DesiredState, vec![Scripted::refusal(code, "no")]);
            on_time(&host, &manager, &running, 3).await;
            assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()), "{status}");
        }
        manager.set_desired(Some(document(1)));
        // So many refusals in a row have made the pause between two requests minutes long.
        for _ in 0..40 {
            on_time(&host, &manager, &running, 1).await;
            if comes(|| in_force(&running).is_some()).await {
                break;
            }
        }
        assert!(in_force(&running).is_some(), "the document has not come");
        running.stop().await;
        no_violations(&manager);
    }
}

/// Whether it happens within two seconds: where the machine is slower, the caller asks again.
async fn comes(has_happened: impl Fn() -> bool) -> bool {
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
    while !has_happened() && tokio::time::Instant::now() < patience {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    has_happened()
}

#[tokio::test]
async fn leaving_and_stopping_end_a_long_poll_at_once() {
    let (_host, manager, running) = enrolled(with_features(&["gzip", "long_poll"])).await;
    running.port.leave().await.unwrap();
    manager.set_desired(Some(document(1)));
    assert_eq!((in_force(&running), running.now().desired.way), (None, DesiredFetch::None));
    running.stop().await;
    let (_host, _manager, running) = enrolled(with_features(&["gzip", "long_poll"])).await;
    running.stop().await;
}

/// Some seconds behind the host's own slot, so that the next one does not come into what is looked at.
async fn behind_a_slot(host: &Host) {
    let slot = host.clock.rest().await;
    host.clock.advance_to(slot).await;
    host.clock.advance(3000).await;
}

#[tokio::test]
async fn t40_another_applied_revision_and_other_unmet_items_are_reported_early_and_once() {
    let (host, manager, running) = enrolled(with_features(&["gzip"])).await;
    manager.set_desired(Some(document(43)));
    on_time(&host, &manager, &running, 1).await;
    behind_a_slot(&host).await;
    let before = manager.heartbeats().len();
    let item = |path: &str, message: &str| Shown {
        path: ItemPath::new(path),
        source: WishSource::Manager,
        state: "refused",
        why: Some(Why::new("not_found", message)),
        since: UnixMillis(0),
        retry_at: None,
    };
    let unmet = vec![item("gpus[1]", "no such GPU"), item("agent.zone", "m")];
    let turns = [
        Reconciled { applied: None, items: unmet.clone(), ..Reconciled::default() },
        Reconciled {
            applied: None,
            items: vec![item("gpus[1]", "other words"), unmet[1].clone()],
            ..Reconciled::default()
        },
        Reconciled { applied: Some(id("b0f4", 43)), ..Reconciled::default() },
    ];
    for (turn, wanted) in turns.into_iter().zip([1, 1, 2]) {
        host.clock.wake_by(|| running.reconciler.send_replace(Arc::new(turn))).await;
        host.clock.advance(3000).await;
        assert_eq!(manager.heartbeats().len() - before, wanted);
    }
    let beats = manager.heartbeats().split_off(before);
    let (first, second) = (&beats[0].body["observed"], &beats[1].body["observed"]);
    assert_eq!((&first["applied_revision"], &first["unmet_total"]), (&json!(0), &json!(2)));
    assert_eq!(first["unmet"][0]["path"], "agent.zone", "not in the order of paths");
    assert_eq!((&second["applied_revision"], &second["unmet"]), (&json!(43), &json!([])));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn what_the_desired_state_sets_is_in_effect_in_an_early_heartbeat_and_its_interval_without_another_start() {
    let mut host = Host::new();
    let manager = host.manager(with_features(&["gzip"])).await;
    // What a reply asks for would win.
    manager.set_reply(|reply| {
        reply.as_object_mut().unwrap().remove("next_heartbeat_s");
    });
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(30_000).await;
    behind_a_slot(&host).await;
    let before = manager.heartbeats().len();
    let mut settings = (**running.configured.borrow()).clone();
    settings.desired.enabled = Some(false);
    settings.desired.draining = Some(true);
    settings.desired.zone = Some("west".into());
    settings.desired.labels = Some([("rack".to_owned(), "r7".to_owned())].into());
    host.clock.wake_by(|| running.configured.send_replace(Arc::new(settings))).await;
    host.clock.advance(3000).await;
    let beats = manager.heartbeats().split_off(before);
    assert_eq!(beats.len(), 1, "not one early heartbeat");
    let effective = json!({"labels": {"rack": "r7"}, "zone": "west", "pool": null, "enabled": false, "draining": true});
    assert_eq!((&beats[0].body["effective"], &beats[0].body["status"]), (&effective, &json!("disabled")));
    let mut settings = (**running.configured.borrow()).clone();
    settings.desired.heartbeat_interval_s = Some(10);
    host.clock.wake_by(|| running.configured.send_replace(Arc::new(settings))).await;
    let before = manager.heartbeats().len();
    host.clock.advance(100_000).await;
    let beats = manager.heartbeats().split_off(before);
    assert_eq!((beats.len(), running.now().interval_s), (10, 10));
    assert!(beats.windows(2).all(|w| w[1].received_at - w[0].received_at == 10_000));
    assert!(beats.iter().all(|beat| beat.body.get("inventory").is_none()), "it began as after a start");
    running.stop().await;
    no_violations(&manager);
}

/// A middlebox that resets the connection under a long-poll, or lets an answer through a byte at a time.
#[tokio::test]
async fn t38_a_long_poll_that_is_reset_or_trickles_makes_no_heartbeat_late_and_the_next_one_brings_the_document() {
    for later in [Later::Reset, Later::Trickle] {
        let mut host = Host::new();
        let manager = host.manager(with_features(&["gzip", "long_poll"])).await;
        let relay = Relay::before(manager.addr()).await;
        host.unattended(&[&manager], TOKEN);
        host.settings.urls = vec![relay.url()];
        let arrived = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&arrived);
        manager.set_gate(move |endpoint, _| {
            if endpoint == Endpoint::DesiredState {
                count.fetch_add(1, Ordering::SeqCst);
            }
            None
        });
        let running = host.start().await;
        eventually("a long-poll at the manager", || arrived.load(Ordering::SeqCst) > 0).await;
        eventually("its status", || running.now().desired.way == DesiredFetch::LongPoll).await;
        relay.set(later);
        if later == Later::Reset {
            eventually("its end", || running.now().desired.last_error.is_some()).await;
        } else {
            manager.set_desired(Some(document(1)));
        }
        on_time(&host, &manager, &running, 8).await;
        assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()), "{later:?}");
        relay.set(Later::Pass);
        manager.set_desired(Some(document(2)));
        host.clock.advance(60_000).await;
        eventually("the document", || in_force(&running).as_deref() == Some("b0f4.2")).await;
        running.stop().await;
        no_violations(&manager);
    }
}
