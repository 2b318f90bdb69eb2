//! What is kept on disk: the first version of each file for ever readable, damage said and left alone.

use crate::world::{Host, TOKEN, spec, with_token};
use model::enrol::CheckinState;
use model::host_facts::HostFacts;
use model::observation::HostObservation;
use std::sync::Arc;

/// The identity file as version 1 writes it. It must stay readable for ever.
const IDENTITY_V1: &str = r#"{
  "schema": 1,
  "server_id": "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7",
  "trust": {"ca_pem": null, "pin_sha256": null},
  "managers": [{"host": "127.0.0.1", "port": PORT, "zone": "z1", "priority": 1}],
  "credentials": [
    {"kind": "shared_token", "token": "first"},
    {"kind": "certificate", "chain_pem": "CHAIN", "key_pem": "KEY", "from": 1, "until": null},
    {"kind": "secret", "secret": "s", "from": 1, "until": 2}
  ],
  "next_key_pem": null
}"#;

fn put(host: &Host, name: &str, content: &str) {
    let dir = host.state.path().join("identity");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(name), content).unwrap();
}

#[tokio::test]
async fn an_identity_of_version_1_is_read() {
    let mut host = Host::new();
    let options = manager::Options { mode: manager::Mode::SharedToken("first".into()), ..Default::default() };
    let manager = host.manager(options).await;
    host.settings.ca_file = Some(host.file("ca.pem", &manager.ca_pem()));
    put(&host, "identity.json", &IDENTITY_V1.replace("PORT", &manager.addr().port().to_string()));
    let running = host.start().await;
    assert_eq!(running.now().server_id.as_deref(), Some("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7"));
    assert_eq!(running.now().manager.as_deref(), Some(manager.addr().to_string().as_str()));
    running.stop().await;
}

#[tokio::test]
async fn damage_and_foreign_versions_are_said_and_left_as_they_are() {
    for (content, said) in [
        ("{\"schema\": 1, \"server_id\"", "damaged"),
        ("", "damaged"),
        ("{\"schema\": 1}", "damaged"),
        ("{\"schema\": 2, \"whatever\": true}", "schema 2"),
    ] {
        let mut host = Host::new();
        let manager = host.manager(with_token()).await;
        host.unattended(&[&manager], TOKEN);
        put(&host, "identity.json", content);
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::NotEnrolled);
        let message = running.condition("credential_unreadable");
        assert!(message.contains(said) && message.contains("identity.json"), "{message}");
        host.clock.advance(120_000).await;
        assert!(manager.requests().is_empty(), "it enrolled over a damaged identity");
        assert_eq!(std::fs::read_to_string(host.identity()).unwrap(), content);
        running.stop().await;
    }
}

#[tokio::test]
async fn an_identity_that_is_mended_removed_or_wiped_is_seen_without_a_restart() {
    for (what, broken) in
        [("cut", "{\"schema\": 1, \"server_id\""), ("zeroed", "\0\0\0\0"), ("of another version", "{\"schema\": 2}")]
    {
        let mut host = Host::new();
        let manager = host.manager(with_token()).await;
        host.unattended(&[&manager], TOKEN);
        host.start().await.stop().await;
        let whole = std::fs::read_to_string(host.identity()).unwrap();

        // Mended.
        std::fs::write(host.identity(), broken).unwrap();
        let running = host.start().await;
        assert_eq!(running.conditions(), ["credential_unreadable"], "{what}");
        std::fs::write(host.identity(), &whole).unwrap();
        host.clock.advance(10_000).await;
        assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()), "{what}: mended");
        running.stop().await;

        // Removed: it begins as a host that never was enrolled.
        std::fs::write(host.identity(), broken).unwrap();
        let fresh = manager.issue_token();
        std::fs::write(host.settings.enrolment_token_file.as_ref().unwrap(), &fresh).unwrap();
        let running = host.start().await;
        std::fs::remove_file(host.identity()).unwrap();
        host.clock.advance(10_000).await;
        assert_eq!(
            (running.state(), running.conditions()),
            (CheckinState::Ok, Vec::<String>::new()),
            "{what}: removed"
        );
        running.stop().await;

        // Wiped by `leave`, as the condition advises, and enrolled again by hand.
        std::fs::write(host.identity(), broken).unwrap();
        let running = host.start().await;
        let no = running.enrol(&manager, "any").await.unwrap_err().to_string();
        assert!(no.contains("identity.json") && no.contains("gpuhostctl leave"), "{no}");
        running.port.leave().await.unwrap();
        assert_eq!(
            (running.state(), running.conditions()),
            (CheckinState::NotEnrolled, Vec::<String>::new()),
            "{what}"
        );
        running.enrol(&manager, &manager.issue_token()).await.unwrap();
        assert_eq!(running.state(), CheckinState::Ok, "{what}: wiped");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_reload_looks_at_a_broken_identity_at_once() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    host.start().await.stop().await;
    let whole = std::fs::read_to_string(host.identity()).unwrap();
    std::fs::write(host.identity(), "").unwrap();
    let running = host.start().await;
    std::fs::write(host.identity(), &whole).unwrap();
    running.reload(host.settings.clone()).await;
    assert!(running.conditions().is_empty(), "{:?}", running.conditions());
    running.stop().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_gives_no_half_enrolment() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    std::fs::write(host.state.path().join("identity"), "not a folder").unwrap();
    let running = host.start().await;
    let no = running.enrol(&manager, TOKEN).await.unwrap_err();
    assert_eq!(no.code(), "host_fault", "{no}");
    assert!(no.to_string().contains("identity"), "{no}");
    assert!(manager.requests().is_empty(), "the token was spent although nothing can be kept");
    running.stop().await;
}

/// A wipe that the host refuses in part: the rest is wiped all the same, and no new enrolment is taken with it later.
#[tokio::test]
async fn what_is_left_of_a_leaving_is_wiped_before_the_next_enrolment() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    let running = host.start().await;
    running.enrol(&manager, TOKEN).await.unwrap();
    host.clock.advance(60_000).await;
    let file = |name: &str| host.state.path().join("identity").join(name);
    assert!(file("last-reply.json").exists());
    // A folder cannot be removed as a file is.
    std::fs::create_dir(file("enrolment.json")).unwrap();
    let refused = running.port.leave().await.unwrap_err().to_string();
    assert!(refused.contains("enrolment.json"), "{refused}");
    assert!(!host.identity().exists() && !file("last-reply.json").exists(), "the wipe ended at the first fault");
    assert!(file("leaving.json").exists());
    let (token, before) = (manager.issue_token(), manager.requests().len());
    let no = running.enrol(&manager, &token).await.unwrap_err();
    assert_eq!(no.code(), "host_fault", "{no}");
    assert!(no.to_string().contains("before it enrols again"), "{no}");
    assert_eq!(manager.requests().len(), before, "the token was spent although it would be wiped");
    std::fs::remove_dir(file("enrolment.json")).unwrap();
    running.enrol(&manager, &token).await.unwrap();
    assert!(!file("leaving.json").exists());
    running.stop().await;
    host.clock.jump(60_000);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok, "{:?}", running.now());
    running.stop().await;
}

#[tokio::test]
async fn a_failed_try_keeps_the_key_but_not_the_token() {
    let host = Host::new();
    let manager = host.manager(with_token()).await;
    manager.set_down(true);
    let running = host.start().await;
    running.enrol_as(spec(&manager, TOKEN)).await.unwrap_err();
    let kept = std::fs::read_to_string(host.state.path().join("identity/enrolment.json")).unwrap();
    assert!(kept.contains("PRIVATE KEY") && !kept.contains(TOKEN));
    running.stop().await;
}

#[tokio::test]
async fn after_a_restart_no_heartbeat_goes_out_before_the_boot_id_is_known() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(60_000).await;
    running.stop().await;
    let before = manager.heartbeats().len();
    let whole = Arc::clone(&host.seen.borrow());
    let scanned = HostObservation { host: HostFacts::default(), ..(*whole).clone() };
    host.seen.send_replace(Arc::new(scanned));
    host.clock.jump(1_000);
    let running = host.start_only().await;
    host.clock.advance(3_999).await;
    assert_eq!(manager.heartbeats().len(), before, "a heartbeat without a boot id went out");
    host.see(|seen| seen.host = whole.host.clone()).await;
    host.clock.advance(60_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(manager.heartbeats().len() > before);
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted && beat.body["boot_id"] != "unknown"));
    running.stop().await;
}
