//! The readiness call over real TLS: verbatim, once in a boot, retried, stopped, never with its token in sight, through every crash.

use crate::clock::VirtualClock;
use crate::world::{Host, assert_not_in_files, bare_host, eventually};
use engine::publish::Publisher;
use gpuhostd::readiness::{ReadinessParts, run};
use manager::{Endpoint, Manager, Options, Request, Scripted, Tls};
use model::observation::HostObservation;
use model::readiness::{GateName, ReadinessState, ReadinessStatus};
use model::settings::{ReadinessSettings, Settings};
use model::{Absence, Reading};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A canary with the form of a token: `{"alg":"HS256","typ":"JWT"}.{"sub":"gpu-7","exp":1767225600}.…`.
const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJncHUtNyIsImV4cCI6MTc2NzIyNTYwMH0.Y2FuYXJ5LXMxZ24_-w";
/// What the contract has, to the byte.
const BODY: &str = r#"{"status":"running","status_message":"Initialization Complete","status_progress":"100"}"#;

struct Running {
    clock: Arc<VirtualClock>,
    publisher: Arc<Publisher>,
    settings: watch::Sender<Arc<Settings>>,
    task: JoinHandle<()>,
    cancel: CancellationToken,
}

impl Running {
    fn status(&self) -> ReadinessStatus {
        (**self.publisher.readiness().borrow()).clone()
    }

    fn condition(&self, kind: &str) -> Option<String> {
        let shown = self.publisher.shown();
        let shown = shown.borrow();
        shown.conditions.iter().find(|one| one.kind == kind).map(|one| format!("{}: {}", one.reason, one.message))
    }

    /// Everything that anybody is shown of it.
    fn all_shown(&self) -> String {
        format!("{:?} {:?}", self.status(), self.publisher.shown().borrow().conditions)
    }

    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn settings(host: &Host, manager: &Manager, gates: &[GateName]) -> Settings {
    let readiness = ReadinessSettings {
        upstream: Some(manager.url()),
        jwt_file: Some(host.state.path().join("jwt").display().to_string()),
        ca_file: Some(host.file("upstream-ca.pem", &manager.ca_pem())),
        gates: gates.to_vec(),
        ..ReadinessSettings::default()
    };
    Settings { readiness, ..Settings::default() }
}

fn put_jwt(host: &Host, token: &str) {
    let path = host.file("jwt", token);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn start(host: &Host, settings: Settings, seen: HostObservation) -> Running {
    let running = start_only(host, settings, seen);
    let _ = host.clock.rest().await;
    running
}

fn start_only(host: &Host, settings: Settings, seen: HostObservation) -> Running {
    let publisher = Arc::new(Publisher::new(seen));
    let (sender, configured) = watch::channel(Arc::new(settings));
    let parts = ReadinessParts {
        state: host.state.path().to_owned(),
        credentials: None,
        clock: Arc::clone(&host.clock),
        publisher: Arc::clone(&publisher),
        settings: configured,
        desired: watch::Sender::default().subscribe(),
        checkin: watch::Sender::default().subscribe(),
        reconciled: watch::Sender::default().subscribe(),
    };
    let cancel = CancellationToken::new();
    let task = tokio::spawn(run(parts, cancel.clone()));
    Running { clock: Arc::clone(&host.clock), publisher, settings: sender, task, cancel }
}

fn calls(manager: &Manager) -> Vec<Request> {
    manager.requests().into_iter().filter(|request| request.endpoint == Some(Endpoint::SetServerStatus)).collect()
}

#[tokio::test]
async fn t01_the_call_is_made_verbatim_once_in_a_boot_and_again_in_the_next() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    put_jwt(&host, &format!("{JWT}\n"));
    let running = start(&host, settings(&host, &manager, &[]), bare_host()).await;
    let made = calls(&manager);
    assert_eq!(made.len(), 1);
    let call = &made[0];
    assert_eq!((call.method.as_str(), call.path.as_str(), call.status), ("POST", "/api/set_server_status", 200));
    assert_eq!(call.query.get("token").map(String::as_str), Some(JWT));
    assert_eq!(call.body, serde_json::from_str::<serde_json::Value>(BODY).unwrap());
    assert_eq!(wire::manager::readiness::READY_BODY, BODY, "to the byte");
    let header = |name: &str| call.headers.get(name).cloned();
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("content-length"), Some(BODY.len().to_string()));
    assert_eq!(running.status().state, ReadinessState::Reported);
    running.clock.advance(3_600_000).await;
    running.stop().await;
    let again = start(&host, settings(&host, &manager, &[]), bare_host()).await;
    assert_eq!(
        (calls(&manager).len(), again.status().state),
        (1, ReadinessState::Reported),
        "a restart repeats nothing"
    );
    again.stop().await;
    let mut rebooted = bare_host();
    rebooted.host.boot_id = Reading::Known("0b1c5f3e-0000-4ede-ba60-c5c4215467a6".into());
    start(&host, settings(&host, &manager, &[]), rebooted).await.stop().await;
    assert_eq!(calls(&manager).len(), 2);
    assert!(manager.violations().is_empty(), "{:#?}", manager.violations());
    assert_not_in_files(host.state.path(), "Y2FuYXJ5", &["jwt"]);
}

#[tokio::test]
async fn t01_a_crash_between_the_answer_and_the_record_repeats_the_call_and_forgets_nothing() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    put_jwt(&host, JWT);
    // The manager has it, and the host is killed before it has the answer.
    manager.script(Endpoint::SetServerStatus, vec![Scripted::hang()]);
    let first = start_only(&host, settings(&host, &manager, &[]), bare_host());
    eventually("the first call", || manager.scripted_left(Endpoint::SetServerStatus) == 0).await;
    first.kill().await;
    assert!(!host.state.path().join("readiness.json").exists());
    let second = start(&host, settings(&host, &manager, &[]), bare_host()).await;
    assert_eq!((calls(&manager).len(), second.status().state), (2, ReadinessState::Reported));
    second.kill().await;
    // A record that is damaged costs one more call, and no record is ever taken for one of this boot.
    for damaged in ["", "{\"schema\":1,\"boot_id\":\"f23a", "[]"] {
        host.file("readiness.json", damaged);
        let before = calls(&manager).len();
        start(&host, settings(&host, &manager, &[]), bare_host()).await.kill().await;
        assert_eq!(calls(&manager).len(), before + 1, "{damaged:?}");
    }
}

#[tokio::test]
async fn t01_it_waits_for_its_gates_says_which_and_long_waiting_is_a_condition() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    put_jwt(&host, JWT);
    let running = start(&host, settings(&host, &manager, &[GateName::Docker]), bare_host()).await;
    let status = running.status();
    assert_eq!(status.state, ReadinessState::Waiting);
    assert!(status.detail.unwrap().starts_with("docker: Docker does not answer"), "{}", running.all_shown());
    running.clock.advance(599_000).await;
    assert_eq!((running.condition("readiness_waiting"), calls(&manager).len()), (None, 0));
    running.clock.advance(2_000).await;
    let told = running.condition("readiness_waiting").unwrap();
    assert!(told.starts_with("docker: ") && told.contains("readiness.gates"), "{told}");
    let mut up = bare_host();
    (up.sequence, up.docker) = (2, Ok(model::docker::DockerFacts::default()));
    running.clock.wake_by(|| running.publisher.publish(up)).await;
    eventually("the call", || running.status().state == ReadinessState::Reported).await;
    assert_eq!((calls(&manager).len(), running.condition("readiness_waiting")), (1, None));
    running.stop().await;
}

#[tokio::test]
async fn t01_a_gate_that_was_taken_from_the_list_is_named_no_longer() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    put_jwt(&host, JWT);
    let waits_for = |gates: &[GateName]| {
        let mut waits = settings(&host, &manager, gates);
        waits.nvidia.deployment.deploy_driver = true;
        waits
    };
    let running = start(&host, waits_for(&[GateName::Docker, GateName::Driver]), bare_host()).await;
    running.clock.advance(601_000).await;
    assert!(running.condition("readiness_waiting").unwrap().starts_with("docker: "), "{}", running.all_shown());
    running.settings.send_replace(Arc::new(waits_for(&[GateName::Driver])));
    let is_named = || running.status().detail.is_some_and(|detail| detail.contains("docker: "));
    eventually("the other gate alone", || !is_named()).await;
    assert_eq!(running.condition("readiness_waiting"), None, "{}", running.all_shown());
    running.clock.advance(601_000).await;
    assert!(running.condition("readiness_waiting").unwrap().starts_with("driver: "), "{}", running.all_shown());
    running.stop().await;
}

#[tokio::test]
async fn t01_a_host_that_does_not_know_its_boot_yet_waits() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    put_jwt(&host, JWT);
    let mut unseen = bare_host();
    unseen.host.boot_id = Reading::Absent(Absence::NotReported);
    let running = start(&host, settings(&host, &manager, &[]), unseen).await;
    assert_eq!((running.status().state, calls(&manager).len()), (ReadinessState::Waiting, 0));
    running.stop().await;
}

#[tokio::test]
async fn t01_401_403_and_404_stop_it_and_a_new_token_begins_again() {
    for (status, words) in [(401, "the token expired"), (403, "the token expired"), (404, "readiness.path")] {
        let host = Host::new();
        let manager = host.manager(Options::default()).await;
        put_jwt(&host, JWT);
        manager.script(Endpoint::SetServerStatus, vec![Scripted::status(status)]);
        let running = start(&host, settings(&host, &manager, &[]), bare_host()).await;
        running.clock.advance(3_600_000).await;
        assert_eq!((calls(&manager).len(), running.status().state), (1, ReadinessState::Failed), "{status}");
        let told = running.condition("readiness_not_reported").unwrap();
        assert!(told.starts_with("refused: ") && told.contains(&status.to_string()) && told.contains(words), "{told}");
        put_jwt(&host, "a.new.token");
        running.clock.advance(61_000).await;
        eventually("the second call", || calls(&manager).len() == 2).await;
        running.clock.advance(1_000).await;
        assert_eq!(
            (running.status().state, running.condition("readiness_not_reported")),
            (ReadinessState::Reported, None)
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn t01_faults_are_retried_for_ten_minutes_and_a_page_of_a_front_is_no_acceptance() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    put_jwt(&host, JWT);
    let faults = vec![
        Scripted::status(502),
        Scripted::raw(200, "text/html", b"<html>Sign in</html>"),
        Scripted::json(200, &serde_json::json!({"error_message": "no such server"})),
        Scripted::status(302),
        Scripted::status(400),
        Scripted::cut(),
    ];
    let number = faults.len();
    manager.script(Endpoint::SetServerStatus, faults);
    let running = start(&host, settings(&host, &manager, &[]), bare_host()).await;
    for _ in 0..300 {
        running.clock.advance(1_000).await;
        if running.status().state == ReadinessState::Reported {
            break;
        }
    }
    assert_eq!((running.status().state, calls(&manager).len()), (ReadinessState::Reported, number + 1));
    running.stop().await;
    // Nobody there at all: given up after ten minutes, and a reload with another upstream begins again.
    let other = Host::new();
    put_jwt(&other, JWT);
    let mut nowhere = settings(&other, &manager, &[]);
    nowhere.readiness.upstream = Some("https://127.0.0.1:1".to_owned());
    let running = start(&other, nowhere, bare_host()).await;
    assert_eq!(running.status().state, ReadinessState::Reporting);
    running.clock.advance(700_000).await;
    let told = running.condition("readiness_not_reported").unwrap();
    assert!(told.starts_with("given_up: ") && told.contains("10 minutes"), "{told}");
    running.settings.send_replace(Arc::new(settings(&other, &manager, &[])));
    eventually("the call", || running.status().state == ReadinessState::Reported).await;
    running.stop().await;
}

#[tokio::test]
async fn t01_without_an_upstream_or_a_token_nothing_is_sent() {
    let host = Host::new();
    let manager = host.manager(Options::default()).await;
    let mut half = settings(&host, &manager, &[]);
    half.readiness.jwt_file = None;
    let running = start(&host, half, bare_host()).await;
    let status = running.status();
    assert_eq!(status.state, ReadinessState::Off);
    assert!(status.detail.unwrap().contains("readiness.jwt_file"));
    running.stop().await;
    let running = start(&host, Settings::default(), bare_host()).await;
    assert_eq!(running.status(), ReadinessStatus::default());
    running.stop().await;
    // A token that is not there yet is waited for: cloud-init may write it later.
    let running = start(&host, settings(&host, &manager, &[]), bare_host()).await;
    assert_eq!((running.status().state, calls(&manager).len()), (ReadinessState::Reporting, 0));
    put_jwt(&host, JWT);
    running.clock.advance(10_000).await;
    eventually("the call", || calls(&manager).len() == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn t01_the_token_is_in_no_message_whatever_the_other_side_or_tls_says() {
    let host = Host::new();
    let echo =
        serde_json::json!({ "error_message": format!("bad token {JWT} for /api/set_server_status?token={JWT}") });
    for (tls, code) in
        [(Tls::OwnCa, 500), (Tls::OwnCa, 401), (Tls::Expired, 200), (Tls::WrongName, 200), (Tls::Untrusted, 200)]
    {
        let manager = host.manager(Options { identity: tls, ..Options::default() }).await;
        put_jwt(&host, JWT);
        manager.script(Endpoint::SetServerStatus, vec![Scripted::json(code, &echo); 4]);
        let running = start(&host, settings(&host, &manager, &[]), bare_host()).await;
        running.clock.advance(5_000).await;
        let shown = running.all_shown();
        assert!(
            running.status().detail.is_some() && JWT.split('.').all(|part| !shown.contains(part)),
            "{tls:?} {shown}"
        );
        assert!(tls == Tls::OwnCa || calls(&manager).is_empty(), "sent to {tls:?}");
        running.stop().await;
    }
}
