//! Which managers are trusted: by authority, by pin, never by accident.

use crate::world::{Host, TOKEN, spec, with_token};
use manager::{Auth, Manager, Options, Tls};
use model::checkin::Pins;
use model::enrol::{CheckinState, EnrolSpec};
use model::refusal::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn showing(host: &Host, identity: Tls) -> Manager {
    host.manager(Options { identity, ..with_token() }).await
}

/// What a refused enrolment says. The manager must not have seen the token.
async fn refused(host: &Host, manager: &Manager, spec: EnrolSpec) -> String {
    let running = host.start().await;
    let no = running.enrol_as(spec).await.unwrap_err();
    running.stop().await;
    assert!(manager.requests().is_empty(), "the token was sent to a manager that is not trusted");
    let Refusal::Unavailable { what, why } = no else { panic!("{no:?}") };
    format!("{what}: {why}")
}

#[tokio::test]
async fn t24_self_signed_is_refused_without_a_pin_and_accepted_with_it() {
    let host = Host::new();
    let manager = showing(&host, Tls::SelfSigned).await;
    for ca_pem in [None, Some(manager.ca_pem())] {
        let said = refused(&host, &manager, EnrolSpec { ca_pem, ..spec(&manager, TOKEN) }).await;
        assert!(said.contains("pin"), "{said}");
        assert!(said.contains(manager.fingerprint_sha256()), "the fingerprint is not shown: {said}");
    }
    let running = host.start().await;
    let pinned = EnrolSpec {
        ca_pem: None,
        pins: Pins::given(vec![manager.fingerprint_sha256().to_uppercase()]),
        ..spec(&manager, TOKEN)
    };
    running.enrol_as(pinned).await.unwrap();
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(matches!(manager.heartbeats()[0].auth, Auth::Certificate { .. }), "no client certificate beside a pin");
    running.stop().await;
}

#[tokio::test]
async fn t24_a_wrong_pin_is_refused_and_both_fingerprints_are_named() {
    let host = Host::new();
    let manager = showing(&host, Tls::SelfSigned).await;
    let wrong = "ab".repeat(32);
    let said = refused(
        &host,
        &manager,
        EnrolSpec { ca_pem: None, pins: Pins::given(vec![wrong.clone()]), ..spec(&manager, TOKEN) },
    )
    .await;
    assert!(said.contains(&wrong) && said.contains(manager.fingerprint_sha256()), "{said}");
}

#[tokio::test]
async fn t24_an_expired_certificate_is_named() {
    let host = Host::new();
    let manager = showing(&host, Tls::Expired).await;
    let said = refused(&host, &manager, spec(&manager, TOKEN)).await;
    assert!(said.contains("expired") && said.contains("clock"), "{said}");
}

#[tokio::test]
async fn a_wrong_name_and_a_foreign_authority_are_refused() {
    let host = Host::new();
    let manager = showing(&host, Tls::WrongName).await;
    let said = refused(&host, &manager, spec(&manager, TOKEN)).await;
    assert!(said.contains("wrong.example") || said.contains("name"), "{said}");
    let manager = showing(&host, Tls::Untrusted).await;
    let said = refused(&host, &manager, spec(&manager, TOKEN)).await;
    assert!(said.contains("UnknownIssuer"), "{said}");
}

#[tokio::test]
async fn without_an_authority_the_systems_roots_decide() {
    let host = Host::new();
    let manager = showing(&host, Tls::OwnCa).await;
    let said = refused(&host, &manager, EnrolSpec { ca_pem: None, ..spec(&manager, TOKEN) }).await;
    assert!(said.contains("UnknownIssuer"), "{said}");
}

#[tokio::test]
async fn a_pin_of_the_configuration_that_stops_fitting_stops_the_heartbeats() {
    let mut host = Host::new();
    let manager = showing(&host, Tls::OwnCa).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    running.stop().await;
    host.clock.jump(1000);
    let before = manager.requests().len();
    host.settings.pin_sha256 = Pins::given(vec!["00".repeat(32)]);
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Unreachable);
    assert_eq!(manager.requests().len(), before);
    running.stop().await;
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_read_never_falls_open() {
    let mut host = Host::new();
    let manager = showing(&host, Tls::OwnCa).await;
    host.unattended(&[&manager], TOKEN);
    for content in [None, Some("no PEM at all")] {
        let path = host.settings.ca_file.clone().unwrap();
        match content {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => std::fs::write(&path, text).unwrap(),
        }
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::Unreachable);
        assert!(running.now().last_error.is_some());
        assert!(manager.requests().is_empty());
        running.stop().await;
    }
}

#[tokio::test]
async fn insecure_skip_verify_works_and_is_a_standing_condition() {
    let mut host = Host::new();
    let manager = showing(&host, Tls::SelfSigned).await;
    host.unattended(&[&manager], TOKEN);
    host.settings.ca_file = None;
    host.settings.insecure_skip_verify = true;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert_eq!(running.conditions(), ["insecure_tls"]);
    host.clock.advance(300_000).await;
    assert_eq!(running.conditions(), ["insecure_tls"]);
    running.stop().await;
}

/// Lets one connection after another through to where the client asks for (`CONNECT host:port`), and counts them.
async fn proxy(listener: tokio::net::TcpListener, passed: Arc<AtomicUsize>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let passed = Arc::clone(&passed);
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            assert!(head.starts_with("CONNECT "), "{head}");
            let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
            client.write_all(b"HTTP/1.1 200 ok\r\n\r\n").await.unwrap();
            passed.fetch_add(1, Ordering::SeqCst);
            // Either side may end it at any time.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let passed = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn(proxy(listener, Arc::clone(&passed)));
    // Environment variables belong to a whole process: a test that is shown elsewhere runs once more in one of its own.
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "enrolling::t02_enrolment_by_hand_gives_a_certificate_and_the_first_heartbeat"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("HTTPS_PROXY", &url)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert!(passed.load(Ordering::SeqCst) >= 1, "nothing went through the proxy");
    serving.abort();
}
