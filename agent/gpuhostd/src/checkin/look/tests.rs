//! The look at managers of each kind: right, wrong, silent and not there.

use super::*;
use crate::checkin::identity::SCHEMA;
use manager::{Manager, Options, Tls, wall_clock};
use model::checkin::Pins;
use model::enrol::Secret;
use std::sync::Arc;

async fn manager(options: Options) -> Manager {
    Manager::start(options).await.unwrap()
}

/// Settings for these managers; the authority of the first one is trusted where that is said.
fn settings(urls: Vec<String>, ca_file: Option<String>) -> ManagerSettings {
    ManagerSettings { urls, ca_file, ..ManagerSettings::default() }
}

/// Looks at one manager, whose authority is trusted.
async fn look_at(manager: &Manager) -> ManagerSeen {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, manager.ca_pem()).unwrap();
    let settings = settings(vec![manager.url()], Some(ca.display().to_string()));
    look(&settings, folder.path()).await.managers.remove(0)
}

async fn refused(identity: Tls) -> TlsError {
    let manager = manager(Options { identity, ..Options::default() }).await;
    let seen = look_at(&manager).await;
    let Reach::Tls { fault, said } = seen.reach else { panic!("{seen:?}") };
    assert!(!said.is_empty());
    fault
}

#[tokio::test]
async fn a_manager_that_answers_shows_its_certificate_and_its_clock() {
    let manager = manager(Options::default()).await;
    let seen = look_at(&manager).await;
    assert_eq!(seen.reach, Reach::Answered { status: 200 });
    let now = wall_clock()();
    assert!(seen.certificate_until.get().is_some_and(|until| until.0 > now), "{seen:?}");
    assert!(seen.skew_ms.get().is_some_and(|skew| skew.abs() < 5_000), "{seen:?}");
    assert!(seen.trust_known);
    let asked = manager.requests();
    assert_eq!(asked.len(), 1, "one question, and no heartbeat: {asked:?}");
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_told_apart() {
    assert_eq!(refused(Tls::Expired).await, TlsError::Expired);
    assert_eq!(refused(Tls::WrongName).await, TlsError::WrongName);
    assert_eq!(refused(Tls::Untrusted).await, TlsError::UnknownIssuer);
    assert_eq!(refused(Tls::SelfSigned).await, TlsError::UnknownIssuer);
}

#[tokio::test]
async fn a_pin_is_held_against_what_is_shown() {
    let manager = manager(Options { identity: Tls::SelfSigned, ..Options::default() }).await;
    let pinned = |pin: &str| ManagerSettings {
        pin_sha256: Pins::given(vec![pin.to_owned()]),
        ..settings(vec![manager.url()], None)
    };
    let nowhere = tempfile::tempdir().unwrap();
    let right = look(&pinned(manager.fingerprint_sha256()), nowhere.path()).await.managers.remove(0);
    assert_eq!(right.reach, Reach::Answered { status: 200 });
    let wrong = look(&pinned(&"ab".repeat(32)), nowhere.path()).await.managers.remove(0);
    assert!(matches!(wrong.reach, Reach::Tls { fault: TlsError::Pin, .. }), "{wrong:?}");
}

#[tokio::test]
async fn a_clock_that_differs_is_measured() {
    let ahead: manager::Clock = Arc::new(|| wall_clock()() + 3_600_000);
    let manager = manager(Options { clock: Some(ahead), ..Options::default() }).await;
    let skew = look_at(&manager).await.skew_ms.get().unwrap();
    assert!((3_590_000..3_610_000).contains(&skew), "{skew}");
}

#[tokio::test]
async fn nobody_there_no_name_and_no_http_are_three_things() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closes = tokio::spawn(async move {
        while let Ok((stream, _)) = silent.accept().await {
            drop(stream);
        }
    });
    let urls = vec![
        format!("https://127.0.0.1:{closed}"),
        "https://no-such-name.invalid".to_owned(),
        format!("https://127.0.0.1:{silent_port}"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let seen = look(&settings(urls, None), folder.path()).await.managers;
    closes.abort();
    assert!(matches!(&seen[0].reach, Reach::NoConnection { address, .. } if address.contains(&closed.to_string())));
    assert!(matches!(&seen[1].reach, Reach::NoName { .. }), "{seen:?}");
    assert!(matches!(&seen[2].reach, Reach::NoConnection { .. } | Reach::NoAnswer { .. }), "{seen:?}");
}

#[tokio::test]
async fn a_kept_identity_brings_its_manager_its_trust_and_its_end() {
    let manager = manager(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let secret = Credential::Secret { secret: Secret::new("s3cr3t"), from: UnixMillis(0), until: Some(UnixMillis(7)) };
    let identity = Identity {
        schema: SCHEMA,
        server_id: "x".to_owned(),
        trust: Trust { ca_pem: Some(manager.ca_pem()), ..Trust::default() },
        managers: vec![manager.url().parse().unwrap()],
        enrolled_with: Vec::new(),
        named: model::settings::HostNaming::default(),
        credentials: vec![secret],
        next_key_pem: None,
        next_request: None,
        key_pem: None,
        token_file_sha256: None,
    };
    IdentityStore::below(folder.path()).keep(&identity).await.unwrap();
    // The same one is configured as well: it is looked at once.
    let looked = look(&settings(vec![manager.url()], None), folder.path()).await;
    assert_eq!(looked.credential_until, Reading::Known(UnixMillis(7)));
    assert_eq!(looked.managers.len(), 1);
    assert_eq!(looked.managers[0].reach, Reach::Answered { status: 200 });
    let sent = format!("{:?}", manager.requests());
    assert!(!sent.contains("s3cr3t"), "the secret was sent: {sent}");
}

#[tokio::test]
async fn a_host_without_a_manager_has_none_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let looked = look(&settings(Vec::new(), None), folder.path()).await;
    assert!(looked.managers.is_empty());
    assert_eq!(looked.credential_until, Reading::Absent(Absence::None));
}

#[tokio::test]
async fn the_end_of_a_certificate_is_read_to_the_second() {
    let manager = manager(Options { identity: Tls::Expired, ..Options::default() }).await;
    let settings = ManagerSettings { insecure_skip_verify: true, ..settings(vec![manager.url()], None) };
    let nowhere = tempfile::tempdir().unwrap();
    let seen = look(&settings, nowhere.path()).await.managers.remove(0);
    let end: jiff::Timestamp = "2020-01-02T00:00:00Z".parse().unwrap();
    assert_eq!(seen.certificate_until, Reading::Known(UnixMillis(end.as_millisecond())));
}
