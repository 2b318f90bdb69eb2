//! An enrolment by a start script: what a template gives goes with it and stays, and the script may run again.

use crate::world::{Host, TOKEN, no_violations, spec, with_token};
use manager::{Auth, Endpoint, EnrolToken, Manager, Mode, Options};
use model::enrol::{CheckinState, EnrolSpec, Secret};
use model::refusal::Refusal;
use model::settings::{HostNaming, of_template};

const ID: &str = "7b0f42a1-58a4-4b13-9f3d-0a1b2c3d4e5f";

fn unattended(manager: &Manager, token: &str, server_id: &str) -> EnrolSpec {
    let named = HostNaming::given(of_template(server_id), Some("aws"), Some("gpu-7.example")).unwrap();
    EnrolSpec { named, unless_enrolled: true, token: Secret::new(token), ..spec(manager, token) }
}

fn enrolments(manager: &Manager) -> Vec<serde_json::Value> {
    let all = manager.requests().into_iter().filter(|request| request.endpoint == Some(Endpoint::Enroll));
    all.map(|request| request.body).collect()
}

#[tokio::test]
async fn what_the_autoscaler_gives_is_in_the_enrolment_and_in_every_heartbeat_also_after_a_restart() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    running.enrol_as(unattended(&manager, TOKEN, ID)).await.unwrap();
    assert_eq!(running.now().server_id.as_deref(), Some(ID));
    let asked = enrolments(&manager);
    assert_eq!((&asked[0]["server_id"], &asked[0]["provider"]), (&ID.into(), &"aws".into()));
    assert_eq!(asked[0]["public_hostname"], "gpu-7.example");
    running.stop().await;
    host.clock.jump(1000);
    let running = host.start().await;
    let beats = manager.heartbeats();
    assert!(beats.len() >= 2 && beats.iter().all(|beat| beat.accepted));
    for beat in &beats {
        assert_eq!((&beat.body["server_id"], &beat.body["provider"]), (&ID.into(), &"aws".into()));
        assert_eq!(beat.body["public_hostname"], "gpu-7.example");
    }
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn the_line_runs_twice_and_there_is_one_host() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    for _ in 0..3 {
        // A one-use token is used up by the first run.
        running.enrol_as(unattended(&manager, TOKEN, ID)).await.unwrap();
    }
    assert_eq!((enrolments(&manager).len(), manager.enrolled().len()), (1, 1));
    running.enrol_as(unattended(&manager, TOKEN, "None")).await.unwrap();
    let other_id = unattended(&manager, TOKEN, "00000000-58a4-4b13-9f3d-0a1b2c3d4e5f");
    let no = running.enrol_as(other_id).await.unwrap_err();
    assert!(matches!(&no, Refusal::Conflict { why } if why.contains(ID) && why.contains("leave")), "{no}");
    let elsewhere = host.manager(with_token()).await;
    let no = running.enrol_as(unattended(&elsewhere, TOKEN, ID)).await.unwrap_err();
    assert!(matches!(&no, Refusal::Conflict { why } if why.contains("another manager")), "{no}");
    let by_hand = running.enrol(&manager, TOKEN).await.unwrap_err();
    assert!(matches!(by_hand, Refusal::Conflict { .. }), "a person is not left in the belief that anything was done");
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
}

#[tokio::test]
async fn tokens_with_every_printable_character_arrive_as_they_are() {
    for token in ["a/b&c+d=e==", "!\"#$%'()*,-.:;<>?@[]^_`{|}~", "x"] {
        let host = Host::new();
        let manager = host.manager(Options { enrol_tokens: vec![EnrolToken::new(token)], ..Options::default() }).await;
        let running = host.start().await;
        running.enrol_as(unattended(&manager, &format!("{token}\n"), ID)).await.unwrap();
        assert_eq!(running.state(), CheckinState::Ok, "{token}");
        running.stop().await;
        let shared = Mode::SharedToken(token.to_owned());
        let manager = host.manager(Options { mode: shared, ..Options::default() }).await;
        let fresh = Host::new();
        let running = fresh.start().await;
        running.enrol_as(EnrolSpec { shared: true, ..unattended(&manager, token, ID) }).await.unwrap();
        let beats = manager.heartbeats();
        assert!(matches!(&beats[0].auth, Auth::Bearer(sent) if sent == token), "{token}");
        assert_eq!((&beats[0].body["server_id"], &beats[0].body["provider"]), (&ID.into(), &"aws".into()));
        running.stop().await;
    }
}

#[tokio::test]
async fn a_host_that_waits_for_approval_keeps_its_names_over_a_restart() {
    let host = Host::new();
    let slow = EnrolToken { pending_rounds: 3, ..EnrolToken::new(TOKEN) };
    let manager = host.manager(Options { enrol_tokens: vec![slow], ..Options::default() }).await;
    let running = host.start().await;
    running.enrol_as(unattended(&manager, TOKEN, ID)).await.unwrap();
    assert_eq!(running.state(), CheckinState::PendingApproval);
    running.kill().await;
    host.clock.jump(1000);
    let running = host.start().await;
    host.clock.advance(200_000).await;
    assert_eq!((running.state(), running.now().server_id.as_deref()), (CheckinState::Ok, Some(ID)));
    assert!(enrolments(&manager).iter().all(|asked| asked["server_id"] == ID && asked["provider"] == "aws"));
    assert_eq!(manager.heartbeats()[0].body["public_hostname"], "gpu-7.example");
    running.stop().await;
    no_violations(&manager);
}
