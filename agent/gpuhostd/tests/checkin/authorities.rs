//! Authorities that a manager adds: they count beside those of this host, and never beside a pin or the system's.

use crate::world::{Host, Running, TOKEN, spec, with_token};
use manager::{Endpoint, Manager, Mode, Options, Scripted};
use model::checkin::Pins;
use model::enrol::{CheckinState, EnrolSpec};
use serde_json::json;

/// A manager of another authority that takes whatever comes, and one that moves its hosts there and adds `bundle`.
async fn moving(host: &Host, bundle: impl Fn(&str) -> String) -> (Manager, Manager) {
    let options = Options { mode: Mode::Secrets, ..with_token() };
    let (old, new) = (host.manager(options.clone()).await, host.manager(options).await);
    new.set_gate(|endpoint, _| {
        (endpoint == Endpoint::Heartbeat).then(|| Scripted::json(200, &json!({"next_heartbeat_s": 30})))
    });
    let added = bundle(&new.ca_pem());
    old.set_issue(move |reply| reply["ca_bundle_pem"] = added.as_str().into());
    let list = json!([{"hostname": "127.0.0.1", "port": new.addr().port()}]);
    old.set_reply(move |reply| reply["managers"] = list.clone());
    (old, new)
}

fn is_with(running: &Running, manager: &Manager) -> bool {
    running.state() == CheckinState::Ok && running.now().manager == Some(manager.addr().to_string())
}

#[tokio::test]
async fn an_authority_that_a_manager_adds_at_enrolment_counts_beside_the_given_one() {
    for unattended in [false, true] {
        let mut host = Host::new();
        let (old, new) = moving(&host, str::to_owned).await;
        if unattended {
            host.unattended(&[&old], TOKEN);
            // What the configuration names it keeps to; the list that moves it comes by a manager that nothing names.
            host.settings.urls.clear();
        }
        let running = host.start().await;
        if unattended {
            running.enrol_as(EnrolSpec { ca_pem: None, ..spec(&old, TOKEN) }).await.unwrap();
        } else {
            running.enrol(&old, TOKEN).await.unwrap();
        }
        host.clock.advance(65_000).await;
        assert!(is_with(&running, &new), "{unattended}: {:?}", running.now());
        // The old one is trusted as before, also after a restart.
        running.stop().await;
        new.set_down(true);
        host.clock.jump(60_000);
        let running = host.start().await;
        assert!(is_with(&running, &old), "{unattended}: {:?}", running.now());
        running.stop().await;
    }
}

#[tokio::test]
async fn what_was_added_beside_the_configured_file_goes_when_somebody_changes_that_file() {
    let mut host = Host::new();
    let options = || Options { mode: Mode::Secrets, ..with_token() };
    let (old, new) = (host.manager(options()).await, host.manager(options()).await);
    new.set_gate(|endpoint, _| {
        (endpoint == Endpoint::Heartbeat).then(|| Scripted::json(200, &json!({"next_heartbeat_s": 30})))
    });
    let added = new.ca_pem();
    old.set_issue(move |reply| reply["ca_bundle_pem"] = added.as_str().into());
    host.unattended(&[&old, &new], TOKEN);
    let running = host.start().await;
    assert!(is_with(&running, &old), "{:?}", running.now());
    old.set_busy(true);
    host.clock.advance(61_000).await;
    assert!(is_with(&running, &new), "{:?}", running.now());
    let other = host.manager(Options::default()).await;
    std::fs::write(host.settings.ca_file.as_ref().unwrap(), other.ca_pem()).unwrap();
    host.clock.advance(61_000).await;
    assert_eq!(running.state(), CheckinState::Unreachable, "{:?}", running.now());
    running.stop().await;
}

#[tokio::test]
async fn an_authority_that_comes_with_a_renewal_counts_and_one_that_cannot_be_read_costs_nothing() {
    let host = Host::new();
    let (old, new) = moving(&host, |_| "no certificate".to_owned()).await;
    let running = host.start().await;
    running.enrol(&old, TOKEN).await.unwrap();
    host.clock.advance(65_000).await;
    assert!(is_with(&running, &old), "{:?}", running.now());
    let added = new.ca_pem();
    old.set_issue(move |reply| reply["ca_bundle_pem"] = added.as_str().into());
    let list = json!([{"hostname": "127.0.0.1", "port": new.addr().port()}]);
    old.set_reply(move |reply| {
        reply["rotate_credential"] = "now".into();
        reply["managers"] = list.clone();
    });
    // The list has just failed; it is tried again ten minutes later.
    host.clock.advance(1_300_000).await;
    assert!(host.kept()["trust"]["added_ca_pem"].is_string());
    running.stop().await;
    old.set_down(true);
    host.clock.jump(60_000);
    let running = host.start().await;
    assert!(is_with(&running, &new), "{:?}", running.now());
    running.stop().await;
}

#[tokio::test]
async fn a_pinned_host_takes_no_authority_from_anybody() {
    let host = Host::new();
    let (old, new) = moving(&host, str::to_owned).await;
    let running = host.start().await;
    let pins = Pins::given(vec![old.fingerprint_sha256().to_owned()]);
    running.enrol_as(EnrolSpec { ca_pem: None, pins, ..spec(&old, TOKEN) }).await.unwrap();
    host.clock.advance(65_000).await;
    assert!(is_with(&running, &old), "{:?}", running.now());
    assert!(host.kept()["trust"].get("added_ca_pem").is_none_or(serde_json::Value::is_null));
    assert!(new.requests().is_empty());
    running.stop().await;
}
