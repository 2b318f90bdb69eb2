//! A credential that a manager gives: tried on, on disk, on probation; and the old one, which is used until the new one has worked.

use crate::world::{Host, Running, TOKEN, eventually, no_violations, times, with_token};
use manager::{Auth, Endpoint, Manager, Mode, Options, Scripted};
use model::enrol::CheckinState;
use model::event::EventKind;
use serde_json::{Value, json};
use std::time::Duration;

/// Credentials that live so short that a test sees their end.
fn short(mode: Mode) -> Options {
    Options { mode, credential_life: Duration::from_secs(36_000), ..with_token() }
}

async fn enrolled(host: &mut Host, options: Options) -> (Manager, Running) {
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    (manager, running)
}

fn renewals(manager: &Manager) -> Vec<manager::Request> {
    manager.requests().into_iter().filter(|request| request.endpoint == Some(Endpoint::Credentials)).collect()
}

/// Asks for a new credential with the next heartbeat, which comes within the interval behind it.
async fn rotate(host: &Host, manager: &Manager) {
    manager.set_reply(|reply| reply["rotate_credential"] = "now".into());
    host.clock.advance(30_000).await;
    manager.reset_reply();
    host.clock.advance(31_000).await;
}

/// What is wrong, how agents authenticate themselves, and what makes it wrong.
type Garbled = (&'static str, Mode, fn(&mut Value));

/// What makes an answer of enrolment or renewal garbled; the whole list for both modes.
fn garbled() -> Vec<Garbled> {
    let other = |reply: &mut Value| reply["server_id"] = "00000000-0000-4000-8000-000000000000".into();
    vec![
        ("a chain that is no PEM", Mode::Certificates, |reply| reply["cert_chain_pem"] = "CHAIN".into()),
        ("a page as a chain", Mode::Certificates, |reply| reply["cert_chain_pem"] = "<html>login</html>".into()),
        ("a chain that is cut", Mode::Certificates, |reply| {
            let chain = reply["cert_chain_pem"].as_str().unwrap();
            reply["cert_chain_pem"] = chain.split_at(chain.len() / 2).0.to_owned().into();
        }),
        ("the authority instead of the certificate", Mode::Certificates, |reply| {
            reply["cert_chain_pem"] = reply["ca_bundle_pem"].clone();
        }),
        ("no credential at all", Mode::Certificates, |reply| reply["cert_chain_pem"] = Value::Null),
        ("an end that has passed", Mode::Certificates, |reply| reply["not_after"] = "2020-01-01T00:00:00Z".into()),
        ("no end", Mode::Certificates, |reply| reply["not_after"] = Value::Null),
        ("an end that is none", Mode::Certificates, |reply| reply["not_after"] = "soon".into()),
        ("an id that is none", Mode::Certificates, |reply| reply["server_id"] = "../../etc".into()),
        ("another host's id", Mode::Certificates, other),
        ("a secret with a line break", Mode::Secrets, |reply| reply["secret"] = "two\nlines".into()),
        ("a secret with a line break behind it", Mode::Secrets, |reply| reply["secret"] = "word\n".into()),
        ("a secret with a header in it", Mode::Secrets, |reply| reply["secret"] = "a\r\nX-Evil: 1".into()),
        ("an empty secret", Mode::Secrets, |reply| reply["secret"] = "".into()),
        ("a secret that is no text", Mode::Secrets, |reply| reply["secret"] = json!({"a": 1})),
        ("a secret of a megabyte", Mode::Secrets, |reply| reply["secret"] = "x".repeat(1 << 20).into()),
        ("a secret beyond ASCII", Mode::Secrets, |reply| reply["secret"] = "schlüssel".into()),
    ]
}

#[tokio::test]
async fn t32_a_garbled_credential_of_a_renewal_is_not_adopted_and_asked_for_again() {
    for (what, mode, garble) in garbled() {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host, short(mode)).await;
        let before = host.kept()["credentials"].clone();
        manager.set_issue(garble);
        rotate(&host, &manager).await;
        host.clock.advance(600_000).await;
        let asked = renewals(&manager);
        assert!((4..=11).contains(&asked.len()), "{what}: asked {} times", asked.len());
        let key = |request: &manager::Request| request.headers["idempotency-key"].clone();
        assert!(asked.iter().all(|request| key(request) == key(&asked[0]) && request.body == asked[0].body), "{what}");
        assert_eq!(host.kept()["credentials"], before, "{what} was adopted");
        assert!(manager.heartbeats().iter().all(|beat| beat.accepted), "{what}: the host is off");
        assert_eq!(running.state(), CheckinState::Ok, "{what}");
        manager.reset_issue();
        host.clock.advance(120_000).await;
        let now = host.kept()["credentials"].clone();
        assert!(now != before && now.as_array().unwrap().len() == 1, "{what}: it does not ask again");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn t32_a_garbled_identity_of_an_enrolment_is_not_adopted_and_the_next_manager_is_asked() {
    for (what, mode, garble) in garbled() {
        if what == "another host's id" {
            continue;
        }
        let mut host = Host::new();
        let bad = host.manager(short(mode.clone())).await;
        bad.set_issue(garble);
        let good = host.manager(Options { fleet: Some(bad.fleet()), ..short(mode) }).await;
        host.unattended(&[&bad, &good], TOKEN);
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::Ok, "{what}: {:?}", running.now());
        assert!(
            good.requests().iter().any(|request| request.endpoint == Some(Endpoint::Enroll) && request.status == 200)
        );
        running.stop().await;
        no_violations(&good);

        // By hand, with one manager: it is said, and nothing is kept.
        let host = Host::new();
        let manager = host.manager(short(Mode::Certificates)).await;
        manager.set_issue(|reply| reply["cert_chain_pem"] = "CHAIN".into());
        let running = host.start().await;
        let no = running.enrol(&manager, TOKEN).await.unwrap_err().to_string();
        assert!(no.contains("cert_chain_pem") && !host.identity().exists(), "{no}");
        running.stop().await;
    }
}

#[tokio::test]
async fn t32_a_front_that_does_not_trust_a_new_certificate_yet_leaves_the_host_on_with_the_old_one() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    manager.set_front_is_behind(true);
    rotate(&host, &manager).await;
    assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 2, "both are on disk");
    host.clock.advance(1_500_000).await;
    let beats = manager.heartbeats();
    assert!(beats.iter().all(|beat| beat.accepted));
    assert!(times(&beats)[3..].windows(2).all(|w| w[1] - w[0] <= 31_000), "the host was off: {:?}", times(&beats));
    let alerts = manager.failed_handshakes().len();
    assert!((2..=4).contains(&alerts), "the new one was tried {alerts} times in 25 minutes");
    assert_eq!((running.state(), running.conditions()), (CheckinState::Ok, Vec::<String>::new()));
    manager.set_front_is_behind(false);
    host.clock.advance(630_000).await;
    assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1, "the new one is not in use");
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted));
    running.stop().await;
    no_violations(&manager);
}

/// The certificate by which heartbeats are made, where a front knows only some.
fn is(auth: &Auth, certificates: &[String]) -> bool {
    matches!(auth, Auth::Certificate { fingerprint } if certificates.contains(fingerprint))
}

#[tokio::test]
async fn t32_whatever_a_front_says_of_the_new_certificate_the_old_one_is_used_at_once() {
    // A front of nginx answers a certificate that it does not know with a page.
    for answer in [
        Scripted::page(400),
        Scripted::status(401),
        Scripted::page(403),
        Scripted::page(496),
        Scripted::cut(),
        Scripted::page(502),
    ] {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host, with_token()).await;
        let known: Vec<_> = manager.enrolled()[0].certificates.clone();
        let said = answer.clone();
        manager.set_gate(move |endpoint, auth| {
            (endpoint == Endpoint::Heartbeat && !is(auth, &known)).then(|| said.clone())
        });
        rotate(&host, &manager).await;
        host.clock.advance(120_000).await;
        let beats = manager.heartbeats();
        let refused: Vec<_> =
            beats.iter().enumerate().filter(|(_, beat)| !beat.accepted || beat.status != 200).collect();
        let behind_each = |at: usize| {
            beats.get(at + 1).is_some_and(|next| next.accepted && next.received_at - beats[at].received_at <= 1000)
        };
        assert!(refused.iter().all(|(at, _)| behind_each(*at)), "{answer:?}: {:?}", times(&beats));
        assert_eq!(running.state(), CheckinState::Ok, "{answer:?}");
        manager.reset_gate();
        host.clock.advance(630_000).await;
        assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1, "{answer:?}");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn a_renewal_that_hangs_makes_no_heartbeat_late() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    manager.script(Endpoint::Credentials, vec![Scripted::hang(); 9]);
    host.clock.let_hang(&["renewal"]);
    rotate(&host, &manager).await;
    eventually("a renewal", || renewals(&manager).len() == 1).await;
    host.clock.advance(600_000).await;
    assert!(
        times(&manager.heartbeats())[3..].windows(2).all(|w| w[1] - w[0] == 30_000),
        "{:?}",
        times(&manager.heartbeats())
    );
    assert_eq!(running.state(), CheckinState::Ok);
    running.stop().await;
}

#[tokio::test]
async fn a_renewal_is_asked_for_with_the_same_key_and_request_also_over_a_restart() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    // The manager gives the certificate, and its answers are lost in all ways.
    let lost = [Scripted::cut().handled(), Scripted::page(502).handled(), Scripted::json(200, &json!({})).handled()];
    manager.script(Endpoint::Credentials, lost.to_vec());
    rotate(&host, &manager).await;
    host.clock.advance(100_000).await;
    running.stop().await;
    let asked_before = renewals(&manager).len();
    assert!(asked_before >= 2);
    host.clock.jump(60_000);
    let running = host.start().await;
    manager.set_reply(|reply| reply["rotate_credential"] = "now".into());
    host.clock.advance(300_000).await;
    let asked = renewals(&manager);
    let key = |request: &manager::Request| request.headers["idempotency-key"].clone();
    let of_the_wish: Vec<_> = asked.iter().filter(|request| key(request) == key(&asked[0])).collect();
    assert!(of_the_wish.len() > asked_before, "after the restart it is another wish");
    assert!(of_the_wish.iter().all(|request| request.body == asked[0].body));
    assert_eq!(of_the_wish.last().unwrap().status, 200);
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted));
    running.stop().await;
    no_violations(&manager);
}

/// A host that dies at any point of a renewal comes back by itself with the identity that it had.
#[tokio::test]
async fn a_crash_at_any_step_of_a_renewal_leaves_a_credential_that_works() {
    for (step, scripts, behind) in [
        ("before the request is answered", vec![Scripted::hang()], false),
        ("the manager has given it and the answer is lost", vec![Scripted::hang().handled()], false),
        ("on disk, and the front does not know it yet", Vec::new(), true),
        ("in use", Vec::new(), false),
    ] {
        let mut host = Host::new();
        let (manager, running) = enrolled(&mut host, with_token()).await;
        let id = running.now().server_id.clone();
        manager.script(Endpoint::Credentials, scripts);
        manager.set_front_is_behind(behind);
        host.clock.let_hang(&["renewal"]);
        rotate(&host, &manager).await;
        eventually("a renewal", || !renewals(&manager).is_empty()).await;
        running.kill().await;
        host.clock.let_hang(&[]);
        host.clock.jump(5_000);
        let running = host.start().await;
        assert_eq!((running.state(), running.now().server_id.clone()), (CheckinState::Ok, id), "{step}");
        manager.set_front_is_behind(false);
        manager.set_reply(|reply| reply["rotate_credential"] = "now".into());
        host.clock.advance(700_000).await;
        manager.reset_reply();
        host.clock.advance(60_000).await;
        assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1, "{step}");
        assert!(manager.heartbeats().iter().all(|beat| beat.accepted), "{step}");
        running.stop().await;
        no_violations(&manager);
    }
}

#[tokio::test]
async fn a_disk_that_takes_nothing_keeps_the_new_credential_out_of_use_and_the_old_one_in() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    // Whatever is written goes into a folder: one that is a file takes nothing.
    let folder = host.state.path().join("identity");
    let aside = host.state.path().join("aside");
    manager.set_reply(|reply| reply["rotate_credential"] = "now".into());
    host.clock.advance(30_000).await;
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    host.clock.advance(300_000).await;
    manager.reset_reply();
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(running.conditions(), ["identity_not_kept"]);
    assert!(manager.heartbeats().iter().all(|beat| beat.accepted));
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    host.clock.advance(120_000).await;
    assert!(running.conditions().is_empty(), "{:?}", running.conditions());
    assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1);
    assert_eq!(renewals(&manager).iter().filter(|request| request.status == 200).count(), 1);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t32_what_one_manager_garbles_is_asked_for_at_the_next_one_at_once_with_the_same_key() {
    for of_no_use in [None, Some(Scripted::page(502)), Some(Scripted::cut())] {
        let mut host = Host::new();
        let first = host.manager(with_token()).await;
        let second = host.manager(Options { fleet: Some(first.fleet()), ..Options::default() }).await;
        host.unattended(&[&first, &second], TOKEN);
        let mut running = host.start().await;
        assert_eq!(running.now().manager, Some(first.addr().to_string()));
        match of_no_use.clone() {
            None => first.set_issue(|reply| reply["cert_chain_pem"] = "CHAIN".into()),
            Some(answer) => first.script(Endpoint::Credentials, vec![answer; 9]),
        }
        rotate(&host, &first).await;
        host.clock.advance(60_000).await;
        let (asked, then) = (renewals(&first), renewals(&second));
        assert_eq!((asked.len(), then.len(), then[0].status), (1, 1, 200), "{of_no_use:?}");
        assert_eq!(then[0].received_at, asked[0].received_at, "{of_no_use:?}: not at once");
        assert_eq!(then[0].headers["idempotency-key"], asked[0].headers["idempotency-key"]);
        assert_eq!(then[0].body, asked[0].body);
        assert_eq!(running.now().manager, Some(first.addr().to_string()), "the manager that works was left");
        assert_eq!(host.kept()["credentials"].as_array().unwrap().len(), 1);
        let event = running.occurred.try_recv().expect("the event of it");
        assert_eq!((event.kind, event.data["kind"].as_str()), (EventKind::CredentialRotated, "certificate"));
        assert!(running.occurred.try_recv().is_err(), "it is reported once");
        running.stop().await;
    }
}
