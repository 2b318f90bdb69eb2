//! Shared tokens: next token, edited file, restart, and no secret where none belongs.

use crate::world::{Host, TOKEN, assert_not_in_files, eventually, no_violations, spec, with_token};
use manager::{Auth, Manager, Mode, Options};
use model::enrol::{CheckinState, EnrolSpec};
use model::ports::Clock;
use model::refusal::Refusal;

async fn shared(host: &mut Host, token: &str) -> Manager {
    let manager = host.manager(Options { mode: Mode::SharedToken("first".into()), ..Options::default() }).await;
    host.settings.urls = vec![manager.url()];
    host.settings.ca_file = Some(host.file("ca.pem", &manager.ca_pem()));
    host.settings.shared_token_file = Some(host.file("shared", token));
    manager
}

fn last_bearer(manager: &Manager) -> String {
    match manager.heartbeats().pop().unwrap().auth {
        Auth::Bearer(token) => token,
        other @ (Auth::Certificate { .. } | Auth::Nothing) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn t10_a_next_token_is_kept_tried_once_on_401_and_persisted() {
    let mut host = Host::new();
    let manager = shared(&mut host, "first").await;
    manager.set_reply(|reply| reply["next_token"] = "second".into());
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 2);
    manager.reset_reply();
    host.clock.advance(60_000).await;
    assert_eq!(last_bearer(&manager), "first");
    manager.set_shared_tokens(&["second"]);
    host.clock.advance(30_000).await;
    let beats = manager.heartbeats();
    let [.., refused, accepted] = &beats[..] else { panic!("{}", beats.len()) };
    assert_eq!((refused.status, accepted.status), (401, 200));
    assert_eq!(refused.received_at, accepted.received_at, "the next token was not tried at once");
    assert_eq!(host.kept()["credentials"], serde_json::json!([{"kind": "shared_token", "token": "second"}]));
    running.stop().await;
    host.clock.jump(1000);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    // The old token still stands in the file: that is no reason to go back to it for good.
    assert_eq!(last_bearer(&manager), "second");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t10_an_edit_of_the_token_file_is_tried_within_a_second() {
    let mut host = Host::new();
    let manager = shared(&mut host, "wrong").await;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Unauthenticated);
    assert_eq!(running.conditions(), ["unauthenticated"]);
    let slow = manager.heartbeats().len();
    host.clock.advance(60_000).await;
    let tries = manager.heartbeats().len() - slow;
    assert!((2..=8).contains(&tries), "{tries} tries in a minute");
    std::fs::write(host.settings.shared_token_file.as_ref().unwrap(), "first\n").unwrap();
    let edited = host.clock.wall_now().0;
    host.clock.advance(1000).await;
    let beat = manager.heartbeats().pop().unwrap();
    assert!(beat.accepted && beat.received_at - edited < 1000);
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t10_an_edit_while_all_is_well_is_tried_within_a_second_too() {
    let mut host = Host::new();
    let manager = shared(&mut host, "first").await;
    let running = host.start().await;
    host.clock.advance(1000).await;
    manager.set_shared_tokens(&["first", "third"]);
    std::fs::write(host.settings.shared_token_file.as_ref().unwrap(), "third").unwrap();
    // Nothing but the edit makes it beat: time stands.
    eventually("the edit is tried", || last_bearer(&manager) == "third").await;
    assert!(manager.heartbeats().iter().all(|b| b.accepted));
    // The same content is no edit, and the file that cannot be read for a while is none either.
    let edits = [Some("third\n"), None, Some("third")];
    for edit in edits {
        let before = manager.heartbeats().len();
        let file = host.settings.shared_token_file.as_ref().unwrap();
        edit.map_or_else(|| std::fs::remove_file(file), |text| std::fs::write(file, text)).unwrap();
        host.clock.advance(60_000).await;
        assert_eq!(manager.heartbeats().len(), before + 2, "{edit:?}");
    }
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn a_shared_token_by_hand_is_kept_only_where_it_works() {
    let host = Host::new();
    let manager = host.manager(Options { mode: Mode::SharedToken("first".into()), ..Options::default() }).await;
    let running = host.start().await;
    let by_hand = |token: &str| EnrolSpec { shared: true, ..spec(&manager, token) };
    let no = running.enrol_as(by_hand("wrong")).await.unwrap_err();
    assert!(matches!(no, Refusal::Conflict { .. }), "{no}");
    assert!(!host.identity().exists());
    host.clock.advance(1000).await;
    running.enrol_as(by_hand("first")).await.unwrap();
    host.clock.advance(1000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(host.identity().exists());
    running.stop().await;
}

#[tokio::test]
async fn t25_a_secret_stands_only_in_the_identity_folder() {
    let mut host = Host::new();
    let manager = host.manager(Options { mode: Mode::Secrets, ..with_token() }).await;
    host.settings.urls = vec![manager.url()];
    host.settings.ca_file = Some(host.file("ca.pem", &manager.ca_pem()));
    let running = host.start().await;
    running.enrol(&manager, TOKEN).await.unwrap();
    let Auth::Bearer(secret) = manager.heartbeats()[0].auth.clone() else { panic!("no secret") };
    manager.set_down(true);
    host.clock.advance(31_000).await;
    for canary in [TOKEN, secret.as_str()] {
        assert!(!format!("{:?}", running.now()).contains(canary));
        assert_not_in_files(host.state.path(), canary, &["identity/identity.json"]);
        assert!(manager.heartbeats().iter().all(|b| !b.body.to_string().contains(canary)));
    }
    assert_not_in_files(host.state.path(), TOKEN, &[]);
    running.stop().await;
}
