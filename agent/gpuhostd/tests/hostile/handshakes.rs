//! What is at the manager's address and no manager, or one that this host must not trust: the token never leaves, and the message
//! names the cause.

use crate::world::{Host, TOKEN, no_violations, spec, with_token};
use manager::{Manager, Mode, Options, Tls};
use model::checkin::Pins;
use model::enrol::{CheckinState, EnrolSpec, Secret};
use model::ports::Clock;
use model::refusal::Refusal;
use model::settings::HostNaming;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What an enrolment answers a person.
async fn refused(host: &Host, spec: EnrolSpec) -> String {
    let running = host.start().await;
    let refusal = running.enrol_as(spec).await.unwrap_err();
    assert_ne!(running.state(), CheckinState::Ok);
    running.stop().await;
    let Refusal::Unavailable { what, why } = &refusal else { panic!("{refusal:?}") };
    let message = format!("{what}: {why}");
    println!("{message}");
    assert!(!message.contains(TOKEN) && !message.contains("docs.rs") && message.len() < 1024, "{message}");
    message
}

/// Answers the first bytes of each connection with these, and remembers all that came.
async fn impostor(answer: Vec<u8>, stays: bool) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let came = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, all) = (answer.clone(), Arc::clone(&all));
            tokio::spawn(async move {
                let mut bytes = [0; 16 * 1024];
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                all.lock().unwrap().extend_from_slice(&bytes[..count]);
                let _ = stream.write_all(&answer).await;
                if stays {
                    while let Ok(count) = stream.read(&mut bytes).await
                        && count > 0
                    {
                        all.lock().unwrap().extend_from_slice(&bytes[..count]);
                    }
                }
            });
        }
    });
    (url, came)
}

/// What a person is answered where this is at the manager's address; the token is in nothing that was sent.
async fn instead_of_tls(answer: &[u8], stays: bool) -> String {
    let host = Host::new();
    let (url, came) = impostor(answer.to_vec(), stays).await;
    let given = EnrolSpec {
        urls: vec![url],
        token: Secret::new(TOKEN),
        shared: false,
        ca_pem: None,
        pins: Pins::default(),
        named: HostNaming::default(),
        unless_enrolled: false,
    };
    let message = refused(&host, given).await;
    let came = came.lock().unwrap().clone();
    assert!(!came.is_empty() && !came.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()), "the token was sent");
    message
}

/// A ServerHello of this version, in a record of it.
fn server_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![version[0], version[1]];
    hello.extend([7; 32]);
    // No session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0, 0xc0, 0x13, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, version[0], version[1], 0, length + 4, 2, 0, 0, length];
    record.extend(hello);
    record
}

#[tokio::test]
async fn tls_1_1_and_older_are_refused() {
    for (name, version) in [("TLS 1.1", [3, 2]), ("TLS 1.0", [3, 1]), ("SSL 3", [3, 0])] {
        let message = instead_of_tls(&server_hello(version), true).await;
        assert!(message.contains("TLS 1.2"), "{name}: {message}");
    }
    // An old server that knows our versions and refuses them.
    let message = instead_of_tls(&[21, 3, 1, 0, 2, 2, 70], false).await;
    assert!(message.contains("TLS 1.2"), "{message}");
}

#[tokio::test]
async fn what_does_not_speak_tls_is_named_and_hears_nothing() {
    for (what, answer) in [
        ("plain HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a banner", b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec()),
        ("zeros", vec![0; 1000]),
        ("a record without end", [&[22, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat()),
        ("alerts", [21, 3, 3, 0, 2, 1, 90].repeat(1000)),
        ("nothing", Vec::new()),
    ] {
        let message = instead_of_tls(&answer, false).await;
        assert!(
            message.contains("TLS") || message.contains("closed") || message.contains("corrupt"),
            "{what}: {message}"
        );
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let message = instead_of_tls(&[], true).await;
    assert!(message.contains("deadline"), "{message}");
}

/// Seen from a host whose clock is years behind or ahead, every certificate is too young or has expired.
#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_or_any_more_is_refused_and_the_clock_is_named() {
    for (identity, word) in [(Tls::NotYetValid, "not valid yet"), (Tls::Expired, "expired")] {
        let host = Host::new();
        let manager = host.manager(Options { identity, ..with_token() }).await;
        let message = refused(&host, spec(&manager, TOKEN)).await;
        assert!(message.contains(word) && message.contains("clock"), "{message}");
        assert!(manager.requests().is_empty(), "the token was sent");
    }
}

/// The authority of the system, a pin of another certificate, a bundle of another authority: none of them helps another one.
#[tokio::test]
async fn a_given_authority_is_the_only_one_that_counts() {
    let host = Host::new();
    let (manager, other) = (host.manager(with_token()).await, host.manager(with_token()).await);
    let foreign = EnrolSpec { ca_pem: Some(other.ca_pem()), ..spec(&manager, TOKEN) };
    // It has the name of the right one, as one that was made again has.
    let message = refused(&host, foreign).await;
    assert!(message.contains("give the manager's authority"), "{message}");
    let pinned = EnrolSpec {
        pins: Pins::given(vec![other.fingerprint_sha256().to_owned()]),
        ca_pem: None,
        ..spec(&manager, TOKEN)
    };
    assert!(refused(&host, pinned).await.contains("is pinned"));
    assert!(manager.requests().is_empty(), "the token was sent");
}

/// A front that lets nobody in without a certificate cannot be enrolled at: the message names it, and another manager takes the host.
#[tokio::test]
async fn a_client_certificate_that_is_required_at_enrolment_is_named() {
    let host = Host::new();
    let closed = host.manager(Options { demands_certificate: true, ..with_token() }).await;
    let message = refused(&host, spec(&closed, TOKEN)).await;
    assert!(message.contains("requires a client certificate"), "{message}");
    assert!(closed.requests().is_empty());
    let open = host.manager(Options { fleet: Some(closed.fleet()), ..Options::default() }).await;
    let running = host.start().await;
    let both = EnrolSpec { urls: vec![closed.url(), open.url()], ..spec(&closed, TOKEN) };
    running.enrol_as(both).await.unwrap();
    assert_eq!(running.state(), CheckinState::Ok);
    // With its certificate it is let in there too.
    open.set_down(true);
    host.clock.advance(61_000).await;
    assert_eq!(running.state(), CheckinState::Ok, "{:?}", running.now());
    assert!(!closed.heartbeats().is_empty());
    running.stop().await;
    no_violations(&closed);
}

/// The clock of the host is off by years: heartbeats with a secret go on, and the skew is a condition.
#[tokio::test]
async fn a_clock_that_is_years_off_stops_no_heartbeat() {
    const YEARS: i64 = 10 * 365 * 86_400_000;
    for off in [-YEARS, YEARS] {
        let mut host = Host::new();
        let (clock, truth) = (Arc::clone(&host.clock), host.clock.wall_now_minus_boot());
        let right: manager::Clock = Arc::new(move || clock.boot_millis() + truth);
        let life = Duration::from_secs(100 * 365 * 86_400);
        let options = Options { clock: Some(right), mode: Mode::Secrets, credential_life: life, ..with_token() };
        let manager: Manager = host.manager(options).await;
        host.unattended(&[&manager], TOKEN);
        host.clock.step_wall(off);
        let running = host.start().await;
        host.clock.advance(300_000).await;
        assert_eq!(running.state(), CheckinState::Ok, "{off}: {:?}", running.now());
        assert_eq!(running.conditions(), ["clock_skew"], "{off}");
        assert!(manager.heartbeats().len() >= 10 && manager.heartbeats().iter().all(|beat| beat.accepted), "{off}");
        assert!(host.clock.wall_now().0 > 0);
        running.stop().await;
        no_violations(&manager);
    }
}
