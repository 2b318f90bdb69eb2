//! What an administrator changes of an enrolment: trust, never to the point where the manager is lost, and the token.

use crate::world::{Host, Running, TOKEN, no_violations, spec, with_token};
use manager::{Auth, Endpoint, EnrolToken, Mode, Options, Scripted, Tls};
use model::checkin::Pins;
use model::enrol::EnrolmentEdit;
use model::enrol::{CheckinState, EnrolSpec, Secret};
use model::manager_trust::{TrustChange, TrustKind, TrustSource};
use model::refusal::Refusal;
use serde_json::{Value, json};

async fn edit(running: &Running, edit: EnrolmentEdit) -> Result<(), Refusal> {
    let done = running.port.edit(edit).await;
    let _ = running.clock.rest().await;
    done
}

async fn trust(running: &Running, change: TrustChange) -> Result<(), Refusal> {
    edit(running, EnrolmentEdit::Trust(change)).await
}

fn digests(running: &Running) -> Vec<String> {
    running.now().trust.iter().filter_map(|one| one.sha256.clone()).collect()
}

#[tokio::test]
async fn a_second_authority_moves_the_host_to_a_manager_of_it_and_the_one_in_use_is_not_lost() {
    let host = Host::new();
    let options = Options { mode: Mode::Secrets, ..with_token() };
    let (old, new) = (host.manager(options.clone()).await, host.manager(options).await);
    new.set_gate(|endpoint, _| {
        (endpoint == Endpoint::Heartbeat).then(|| Scripted::json(200, &json!({"next_heartbeat_s": 30})))
    });
    let running = host.start().await;
    running.enrol(&old, TOKEN).await.unwrap();
    host.clock.advance(1000).await;
    assert_eq!(running.now().trust[0].source, TrustSource::Administrator);
    let first = digests(&running);
    assert!(matches!(trust(&running, TrustChange::Remove(first[0].clone())).await, Err(Refusal::Conflict { .. })));
    trust(&running, TrustChange::AddAuthorities(new.ca_pem())).await.unwrap();
    assert_eq!(digests(&running).len(), 2);
    assert!(host.kept()["trust"]["ca_pem"].as_str().unwrap().contains(new.ca_pem().trim()), "it is not on disk");
    // The one by which the manager in use is trusted stays, and the refusal says what would be.
    let said = trust(&running, TrustChange::Remove(first[0].clone())).await.unwrap_err().to_string();
    assert!(said.contains("would not trust its manager") && said.contains("nothing was changed"), "{said}");
    assert_eq!(digests(&running).len(), 2);
    let list = json!([{"hostname": "127.0.0.1", "port": new.addr().port()}]);
    old.set_reply(move |reply| reply["managers"] = list.clone());
    host.clock.advance(65_000).await;
    assert_eq!(running.now().manager, Some(new.addr().to_string()));
    // While it does not answer, it cannot be known whether it would be lost.
    new.set_down(true);
    let unknown = trust(&running, TrustChange::Remove(first[0].clone())).await.unwrap_err();
    assert_eq!(unknown.code(), "unavailable", "{unknown}");
    let (words, address) = (unknown.to_string(), new.addr().to_string());
    for part in [address.as_str(), "nothing was changed", "try again when it answers", "gpuhostctl leave"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!(digests(&running).len(), 2);
    new.set_down(false);
    trust(&running, TrustChange::Remove(first[0].clone())).await.unwrap();
    assert_eq!(digests(&running).len(), 1);
    running.stop().await;
    host.clock.jump(60_000);
    let running = host.start().await;
    assert_eq!((running.state(), digests(&running).len()), (CheckinState::Ok, 1), "{:?}", running.now());
    running.stop().await;
}

#[tokio::test]
async fn the_next_certificate_is_pinned_before_it_is_shown_and_the_old_pin_goes_after_it() {
    let host = Host::new();
    let options = Options { mode: Mode::Secrets, identity: Tls::SelfSigned, ..with_token() };
    let old = host.manager(options).await;
    let running = host.start().await;
    let pins = Pins::given(vec![old.fingerprint_sha256().to_owned()]);
    running.enrol_as(EnrolSpec { ca_pem: None, pins, ..spec(&old, TOKEN) }).await.unwrap();
    host.clock.advance(1000).await;
    assert_eq!(running.now().trust[0].kind, TrustKind::Pin);
    let renewed = Options { mode: Mode::Secrets, fleet: Some(old.fleet()), ..Options::default() };
    // The certificate that the manager will show is known before: the one that its fleet has.
    let next = host.manager(renewed.clone()).await.fingerprint_sha256().to_owned();
    trust(&running, TrustChange::AddPin(next.clone())).await.unwrap();
    let third = TrustChange::AddPin("ab".repeat(32));
    assert!(matches!(trust(&running, third).await, Err(Refusal::Conflict { .. })), "two pins at most");
    let (addr, shown) = (old.addr(), old.fingerprint_sha256().to_owned());
    old.stop().await;
    let new = host.manager_at(addr, renewed).await;
    host.clock.advance(61_000).await;
    assert_eq!(running.state(), CheckinState::Ok, "{:?}", running.now());
    let lost = trust(&running, TrustChange::Remove(next.clone())).await.unwrap_err().to_string();
    assert!(lost.contains("would not trust its manager"), "{lost}");
    trust(&running, TrustChange::Remove(shown)).await.unwrap();
    assert_eq!(digests(&running), [next]);
    host.clock.advance(61_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    no_violations(&new);
}

#[tokio::test]
async fn the_configuration_and_a_host_without_an_enrolment_have_nothing_to_edit() {
    let mut host = Host::new();
    let running = host.start().await;
    let alone = trust(&running, TrustChange::AddPin("ab".repeat(32))).await.unwrap_err().to_string();
    assert!(alone.contains("not enrolled") && alone.contains("gpuhostctl enroll"), "{alone}");
    assert_eq!(running.now().trust[0].kind, TrustKind::System);
    running.stop().await;
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    assert!(running.now().trust[0].file.as_ref().unwrap().ends_with("ca.pem"));
    let configured = trust(&running, TrustChange::AddPin("ab".repeat(32))).await.unwrap_err().to_string();
    assert!(configured.contains("manager.ca_file"), "{configured}");
    let token = edit(&running, EnrolmentEdit::Token(Secret::new("t"))).await.unwrap_err().to_string();
    assert!(token.contains("a credential of its own"), "{token}");
    running.stop().await;
}

#[tokio::test]
async fn another_token_ends_a_refused_enrolment_and_replaces_a_shared_one() {
    let mut host = Host::new();
    let manager = host.manager(Options::default()).await;
    host.unattended(&[&manager], "spent");
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Unauthenticated);
    manager.add_token(&EnrolToken::new("good"));
    edit(&running, EnrolmentEdit::Token(Secret::new("good"))).await.unwrap();
    host.clock.advance(5000).await;
    assert_eq!(running.state(), CheckinState::Ok, "{:?}", running.now());
    running.stop().await;
    no_violations(&manager);

    let host = Host::new();
    let manager = host.manager(Options { mode: Mode::SharedToken("first".into()), ..Options::default() }).await;
    let running = host.start().await;
    running.enrol_as(EnrolSpec { shared: true, ..spec(&manager, "first") }).await.unwrap();
    manager.set_shared_tokens(&["second"]);
    host.clock.advance(61_000).await;
    assert_eq!(running.state(), CheckinState::Unauthenticated);
    edit(&running, EnrolmentEdit::Token(Secret::new("second"))).await.unwrap();
    host.clock.advance(1000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(host.kept()["credentials"], json!([{"kind": "shared_token", "token": "second"}]));
    assert!(matches!(&manager.heartbeats().pop().unwrap().auth, Auth::Bearer(token) if token == "second"));
    running.stop().await;
}

/// A manager that changes its authority without anyone who logs in: a bundle with both, then one without the old.
#[tokio::test]
async fn an_authority_goes_once_a_bundle_comes_without_it_and_the_manager_is_trusted_by_the_bundle_alone() {
    let host = Host::new();
    let options = Options { mode: Mode::Secrets, ..with_token() };
    let (manager, retired) = (host.manager(options).await, host.manager(Options::default()).await);
    let given = format!("{}{}", retired.ca_pem(), manager.ca_pem());
    let running = host.start().await;
    running.enrol_as(EnrolSpec { ca_pem: Some(given), ..spec(&manager, TOKEN) }).await.unwrap();
    host.clock.advance(1000).await;
    assert_eq!(digests(&running).len(), 2);
    // What an administrator adds is in no bundle, and stays until it is removed.
    let next = host.manager(Options::default()).await;
    trust(&running, TrustChange::AddAuthorities(next.ca_pem())).await.unwrap();
    assert_eq!(digests(&running).len(), 3);
    let renew = async |bundle: String| {
        manager.set_issue(move |reply: &mut Value| reply["ca_bundle_pem"] = bundle.as_str().into());
        manager.set_reply(|reply| reply["rotate_credential"] = "now".into());
        host.clock.advance(60_000).await;
        manager.reset_reply();
        host.clock.advance(660_000).await;
    };
    renew(format!("{}{}", retired.ca_pem(), manager.ca_pem())).await;
    assert_eq!((digests(&running).len(), running.state()), (3, CheckinState::Ok));
    // A bundle by which the manager in use is not trusted takes nothing away.
    renew(retired.ca_pem()).await;
    assert_eq!((digests(&running).len(), running.state()), (3, CheckinState::Ok));
    renew(manager.ca_pem()).await;
    assert_eq!(digests(&running).len(), 2, "{:?}", running.now().trust);
    host.clock.advance(61_000).await;
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
    host.clock.jump(60_000);
    let running = host.start().await;
    assert_eq!((running.state(), digests(&running).len()), (CheckinState::Ok, 2));
    let by_hand: Vec<String> = serde_json::from_value(host.kept()["trust"]["by_hand"].clone()).unwrap();
    assert_eq!(by_hand, digests(&running)[1..]);
    trust(&running, TrustChange::Remove(by_hand[0].clone())).await.unwrap();
    assert_eq!(digests(&running).len(), 1);
    assert!(host.kept()["trust"].get("by_hand").is_none());
    running.stop().await;
    no_violations(&manager);
}
