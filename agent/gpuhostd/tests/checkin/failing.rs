//! Managers that refuse, are down, or say strange things.

use crate::world::{Host, TOKEN, no_violations, times, with_token};
use manager::{Code, Endpoint, Manager, Options, Scripted};
use model::enrol::CheckinState;
use model::ports::Clock;
use serde_json::json;

async fn enrolled(host: &mut Host) -> (Manager, crate::world::Running) {
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    (manager, running)
}

fn refuse(manager: &Manager, code: Code, times: usize) {
    manager.script(Endpoint::Heartbeat, vec![Scripted::refusal(code, "because"); times]);
}

#[tokio::test]
async fn t08_retries_in_the_own_slot_through_ten_minutes_and_is_back_within_an_interval() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    host.clock.advance(60_000).await;
    manager.set_busy(true);
    let from = host.clock.wall_now().0;
    host.clock.advance(600_000).await;
    assert_eq!(running.state(), CheckinState::Unreachable);
    assert_eq!(running.conditions(), ["manager_unreachable"]);
    let during = manager.requests().iter().filter(|r| r.received_at >= from).count();
    assert!((19..=21).contains(&during), "{during} requests in 600 s");
    manager.set_busy(false);
    let back = host.clock.wall_now().0;
    host.clock.advance(33_000).await;
    let accepted: Vec<_> = manager.heartbeats().into_iter().filter(|b| b.accepted && b.received_at >= back).collect();
    assert!(!accepted.is_empty() && accepted[0].received_at - back <= 33_000);
    let phase = times(&manager.heartbeats())[2].rem_euclid(30_000);
    assert!(times(&manager.heartbeats())[2..].iter().all(|t| t.rem_euclid(30_000) == phase));
    assert!(running.conditions().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn t08_a_manager_that_refuses_connections_is_the_same() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    manager.set_down(true);
    host.clock.advance(600_000).await;
    assert_eq!(running.state(), CheckinState::Unreachable);
    assert!((19..=22).contains(&running.now().failed), "{}", running.now().failed);
    assert!(running.condition("manager_unreachable").contains(&manager.addr().to_string()));
    manager.set_down(false);
    host.clock.advance(33_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t09_retry_after_in_seconds_or_as_a_date_is_kept_to_and_followed_by_the_own_slot() {
    for (code, as_date) in [
        (Code::RateLimited, false),
        (Code::RateLimited, true),
        (Code::ManagerDisabled, false),
        (Code::ManagerDisabled, true),
    ] {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host).await;
        host.clock.advance(30_000).await;
        let slot = host.clock.rest().await;
        let until = host.clock.wall_now().0 + i64::try_from(slot.since(host.clock.boot_now())).unwrap() + 97_000;
        let date = jiff::Timestamp::from_millisecond(until).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let retry_after = if as_date { &date } else { "97" };
        let before = manager.heartbeats().len();
        manager.script(Endpoint::Heartbeat, vec![Scripted::refusal(code, "slow").header("retry-after", retry_after)]);
        host.clock.advance_to(slot).await;
        let waits = running.now().wait_until.unwrap().0 - host.clock.wall_now().0;
        assert!((96_000..=98_000).contains(&waits), "{code:?}: it says that it waits for {waits} ms");
        host.clock.advance(119_999).await;
        assert_eq!(manager.heartbeats().len(), before + 1, "{code:?} {retry_after}");
        host.clock.advance(1).await;
        assert_eq!(manager.heartbeats().len(), before + 2, "{code:?}: not in the own slot behind the pause");
        assert_eq!(running.now().wait_until, None);
        running.stop().await;
    }
}

#[tokio::test]
async fn t11_the_next_manager_at_once_is_kept_and_the_list_survives_a_restart() {
    let mut host = Host::new();
    let first = host.manager(with_token()).await;
    let second = host.manager(Options { fleet: Some(first.fleet()), ..Options::default() }).await;
    host.unattended(&[&first], TOKEN);
    let list = json!([{"hostname": "127.0.0.1", "port": first.addr().port(), "priority": 1},
                      {"hostname": "127.0.0.1", "port": second.addr().port(), "priority": 2}]);
    first.set_reply(move |reply| reply["managers"] = list.clone());
    let running = host.start().await;
    host.clock.advance(60_000).await;
    assert_eq!(host.kept()["managers"].as_array().unwrap().len(), 2);
    assert!(second.heartbeats().is_empty());
    first.set_busy(true);
    host.clock.advance(30_000).await;
    let last = second.heartbeats().pop().unwrap();
    let refused = first.heartbeats().pop().unwrap();
    assert!(last.accepted && last.received_at == refused.received_at, "not at once");
    assert_eq!(running.now().manager.as_deref(), Some(second.addr().to_string().as_str()));
    first.set_busy(false);
    let before = first.heartbeats().len();
    host.clock.advance(300_000).await;
    assert_eq!(first.heartbeats().len(), before, "not sticky");
    running.stop().await;

    first.set_down(true);
    host.clock.jump(1000);
    let before = second.heartbeats().len();
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok, "the list did not survive");
    assert!(second.heartbeats().len() > before);
    running.stop().await;
}

#[tokio::test]
async fn t17_a_deleted_host_is_forgotten_only_after_two_answers_and_its_credentials_go_after_a_week() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let id = running.now().server_id.clone().unwrap();
    assert!(manager.forget(&id));
    host.clock.advance(31_000).await;
    assert_ne!(running.state(), CheckinState::Forgotten);
    assert!(host.identity().exists());
    host.clock.advance(120_000).await;
    assert_eq!(running.state(), CheckinState::Forgotten);
    let aside = host.state.path().join("identity/forgotten.json");
    assert!(!host.identity().exists() && aside.exists());
    let before = manager.requests().len();
    host.clock.advance(6 * 86_400_000).await;
    assert!(aside.exists() && manager.requests().len() == before);
    running.stop().await;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Forgotten);
    host.clock.advance(86_400_000 + 1000).await;
    assert!(!aside.exists());
    running.stop().await;
}

#[tokio::test]
async fn t18_upgrade_required_goes_on_in_its_slot_and_recovers() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    refuse(&manager, Code::UpgradeRequired, 3);
    host.clock.advance(60_000).await;
    assert_eq!(running.state(), CheckinState::UpgradeRequired);
    assert_eq!(running.conditions(), ["upgrade_required"]);
    host.clock.advance(90_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
}

#[tokio::test]
async fn t19_too_large_is_slimmed_step_by_step() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    refuse(&manager, Code::TooLarge, 3);
    host.clock.advance(36_000).await;
    let slim = manager.heartbeats().pop().unwrap();
    assert!(slim.accepted && slim.body.get("gpu_metrics").is_none());
    assert_eq!(slim.body["conditions"][0]["type"], "rejected_report", "conditions go with every heartbeat");
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(running.conditions(), ["rejected_report"]);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t20_an_error_message_inside_a_200_is_a_failure() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let lie = Scripted::json(200, &json!({"error_message": "no database", "server_time": "2026-01-01T00:00:00Z"}));
    manager.script(Endpoint::Heartbeat, vec![lie]);
    let accepted = running.now().accepted;
    let slot = host.clock.rest().await;
    host.clock.advance(slot.since(host.clock.boot_now())).await;
    assert_eq!(running.now().accepted, accepted);
    assert_eq!(running.state(), CheckinState::Unreachable);
    assert!(running.now().last_error.as_ref().unwrap().contains("no database"));
    host.clock.advance(30_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
}

#[tokio::test]
async fn a_duplicate_and_a_wrong_report_are_said_and_recover() {
    for (code, state, condition) in [
        (Code::DuplicateAgent, CheckinState::DuplicateIdentity, "duplicate_identity"),
        (Code::BadRequest, CheckinState::Ok, "rejected_report"),
        (Code::NotApproved, CheckinState::PendingApproval, "pending_approval"),
    ] {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host).await;
        refuse(&manager, code, 1);
        let slot = host.clock.rest().await;
        host.clock.advance(slot.since(host.clock.boot_now())).await;
        assert_eq!((running.state(), running.conditions()), (state, vec![condition.to_owned()]));
        host.clock.advance(30_000).await;
        assert_eq!(running.state(), CheckinState::Ok);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_manager_that_lost_the_host_gets_it_again_while_the_token_is_good() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let id = running.now().server_id.clone().unwrap();
    assert!(manager.lose(&id));
    let fresh = manager.issue_token();
    std::fs::write(host.settings.enrolment_token_file.as_ref().unwrap(), fresh).unwrap();
    host.clock.advance(31_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(running.now().server_id, Some(id), "it came back as another host");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_and_named() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let mut valid = json!({"server_time": "2026-01-01T00:00:00Z"}).to_string().into_bytes();
    valid.resize(5 * 1024 * 1024, b' ');
    manager.script(Endpoint::Heartbeat, vec![Scripted::raw(200, "application/json", &valid)]);
    let slot = host.clock.rest().await;
    host.clock.advance(slot.since(host.clock.boot_now())).await;
    assert!(running.now().last_error.as_ref().unwrap().contains("larger than 2 MiB"), "{:?}", running.now());
    running.stop().await;
}

#[tokio::test]
async fn a_manager_that_does_not_answer_costs_fifteen_seconds_of_real_time_and_no_more() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host).await;
    let late = Scripted::status(200).after(std::time::Duration::from_secs(60));
    manager.script(Endpoint::Heartbeat, vec![late]);
    let began = std::time::Instant::now();
    let slot = host.clock.rest().await;
    host.clock.advance(slot.since(host.clock.boot_now())).await;
    let took = began.elapsed().as_secs();
    // It would have answered after sixty.
    assert!((14..=45).contains(&took), "{took} s");
    assert_eq!(running.state(), CheckinState::Unreachable);
    running.stop().await;
}

#[tokio::test]
async fn strange_answers_are_survived() {
    let strange = [
        Scripted::raw(200, "text/html", b"<html>login</html>"),
        Scripted::raw(200, "application/json", b"[1,2"),
        Scripted::raw(200, "application/json", "[".repeat(100_000).as_bytes()),
        Scripted::raw(200, "application/json", &vec![b' '; 5 * 1024 * 1024]),
        Scripted::status(302).header("location", "http://127.0.0.1:1/"),
        Scripted::status(204),
        Scripted::status(418),
        Scripted::status(410),
    ];
    for answer in strange {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host).await;
        manager.script(Endpoint::Heartbeat, vec![answer.clone()]);
        let slot = host.clock.rest().await;
        host.clock.advance(slot.since(host.clock.boot_now())).await;
        assert_eq!(running.state(), CheckinState::Unreachable, "{} {:?}", answer.status, answer.headers);
        host.clock.advance(30_000).await;
        assert_eq!(running.state(), CheckinState::Ok);
        running.stop().await;
    }
}
