//! The reference agent against managers: the reference manager and the example keep the contract, and each fault of another one is
//! found and named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where its world is broken")]

use manager::{Endpoint, EnrolToken, Fleet, Manager, Mode, Options, Scripted};
use reference_agent::{Finding, Trial, Verdict, check};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const TOKEN: &str = "one-use-token";

fn trial(url: String, ca_pem: String) -> Trial {
    Trial {
        url,
        token: TOKEN.to_owned(),
        ca_pem: Some(ca_pem),
        host: "dgx-a100".to_owned(),
        beats: 2,
        patience: Duration::from_secs(60),
    }
}

async fn manager(options: Options) -> Manager {
    Manager::start(Options { enrol_tokens: vec![EnrolToken::new(TOKEN)], next_heartbeat_s: 5, ..options })
        .await
        .unwrap()
}

async fn tried(manager: &Manager) -> Vec<Finding> {
    check(&trial(manager.url(), manager.ca_pem())).await.unwrap()
}

fn wrong(findings: &[Finding]) -> Vec<String> {
    findings.iter().filter(|finding| finding.is_wrong()).map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_reference_manager_keeps_the_contract_with_certificates_and_with_secrets() {
    for mode in [Mode::Certificates, Mode::Secrets] {
        let features = ["gzip", "long_poll"].map(str::to_owned).to_vec();
        let manager = manager(Options { mode: mode.clone(), features, ..Options::default() }).await;
        manager.set_desired(Some(json!({"epoch": "e1", "revision": 1, "issued_at": "2026-03-31T13:13:13Z"})));
        let findings = tried(&manager).await;
        assert_eq!(wrong(&findings), Vec::<String>::new(), "{mode:?}");
        let absent = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Absent(_))).count();
        assert!(findings.len() >= 17 && absent == 0, "{mode:?}: {findings:#?}");
        assert!(manager.enrolled().is_empty(), "{mode:?}: the host of the trial stays");
    }
}

#[tokio::test]
async fn a_manager_with_nothing_but_what_is_required_keeps_it_too() {
    let manager =
        manager(Options { mode: Mode::Secrets, optional_paths: vec![Endpoint::Enroll], ..Options::default() }).await;
    let findings = tried(&manager).await;
    assert_eq!(wrong(&findings), Vec::<String>::new());
    let absent = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Absent(_))).count();
    assert_eq!(absent, 4, "version, gzip, desired_state, deregister: {findings:#?}");
}

#[tokio::test]
async fn the_example_manager_keeps_it() {
    let (fleet, folder) = (Fleet::new().unwrap(), tempfile::tempdir().unwrap());
    let file = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    };
    let (tls, tokens) = (file("server.pem", &fleet.server_pem().unwrap()), file("tokens", TOKEN));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manager-api/example_manager.py");
    let mut command = Command::new("python3");
    command
        .arg(example)
        .args(["--listen", "127.0.0.1:0", "--every", "5", "--tls"])
        .arg(tls)
        .arg("--tokens")
        .arg(tokens);
    let mut child =
        command.arg("--state").arg(folder.path().join("state.json")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let url = format!("https://127.0.0.1:{}", first.rsplit(' ').next().unwrap());
    let findings = check(&trial(url, fleet.ca_pem())).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(wrong(&findings), Vec::<String>::new());
}

/// The findings that are wrong hold each of these words.
fn names(findings: &[Finding], words: &[&str]) {
    let wrong = wrong(findings).join("\n");
    for word in words {
        assert!(wrong.contains(word), "{word:?} is not in\n{wrong}");
    }
}

#[tokio::test]
async fn each_fault_of_a_manager_is_named() {
    let slow_clock = manager(Options::default()).await;
    slow_clock.set_reply(|reply| {
        reply["server_time"] = json!("2020-01-01T00:00:00Z");
        reply["next_heartbeat_s"] = json!(1);
        reply["managers"] = json!("none");
    });
    let findings = tried(&slow_clock).await;
    names(&findings, &["off the clock here", "next_heartbeat_s", "managers"]);

    let behind_a_portal = manager(Options::default()).await;
    let page = |endpoint, _: &manager::Auth| (endpoint == Endpoint::Enroll).then(|| Scripted::page(403));
    behind_a_portal.set_gate(page);
    let findings = tried(&behind_a_portal).await;
    names(&findings, &["POST enroll", "403"]);

    let without_version = manager(Options::default()).await;
    without_version.script(Endpoint::Version, vec![Scripted::cut()]);
    let findings = tried(&without_version).await;
    names(&findings, &["GET version", "answer 404 where there is none"]);

    let hasty = manager(Options { features: vec!["long_poll".to_owned()], ..Options::default() }).await;
    hasty.script(Endpoint::DesiredState, vec![Scripted::status(304); 99]);
    let findings = tried(&hasty).await;
    names(&findings, &["GET desired_state", "no host polls for an hour"]);

    let vague = manager(Options { mode: Mode::Secrets, ..Options::default() }).await;
    let no_code = |endpoint: Endpoint, auth: &manager::Auth| {
        (endpoint == Endpoint::Heartbeat && *auth == manager::Auth::Nothing)
            .then(|| Scripted::json(401, &json!({"why": "no"})))
    };
    vague.set_gate(no_code);
    names(&tried(&vague).await, &["without a credential nothing is taken", "error_message", "has the code none"]);
}

#[tokio::test]
async fn what_cannot_be_tried_is_an_error_and_no_finding() {
    let nobody = Trial { host: "no-such-host".to_owned(), ..trial("https://127.0.0.1:9".to_owned(), String::new()) };
    assert!(check(&nobody).await.is_err());
}
