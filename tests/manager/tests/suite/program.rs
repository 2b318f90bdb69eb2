//! The program: what it prints, what it keeps, and how it ends.

use crate::agent::{Agent, START_MS, builder};
use manager::Endpoint;
use rcgen::KeyPair;
use reqwest::Certificate;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
    fingerprint: String,
}

impl Program {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let file = |name: &str| dir.join(name).into_os_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_reference-manager"))
            .args(["--listen", "127.0.0.1:0"])
            .args(
                [("--state", file("state")), ("--token-file", file("token")), ("--ca-file", file("ca.pem"))]
                    .map(|p| p.0.to_owned() + "=" + p.1.to_str().unwrap()),
            )
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        let (url, fingerprint) = ready.strip_prefix("listening on ").unwrap().split_once(" fingerprint=").unwrap();
        Self { child, url: url.to_owned(), fingerprint: fingerprint.to_owned(), lines }
    }

    fn agent(&self, dir: &Path) -> Agent {
        let ca_pem = fs::read_to_string(dir.join("ca.pem")).unwrap();
        let client = builder().tls_certs_only([Certificate::from_pem(ca_pem.as_bytes()).unwrap()]).build().unwrap();
        let key = KeyPair::generate().unwrap();
        Agent { url: self.url.clone(), key, client, ca_pem, server_id: String::new(), bearer: None }
    }

    /// SIGTERM, and how long it took to end.
    fn terminate(mut self) -> Duration {
        let begin = Instant::now();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        begin.elapsed()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(dir: &Path) -> String {
    fs::read_to_string(dir.join("token")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn it_tells_of_each_heartbeat_and_keeps_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let last = dir.path().join("last.json");
    let mut program = Program::start(dir.path(), &["--dump-last", last.to_str().unwrap()]);
    let mut agent = program.agent(dir.path());
    let (_, body) = agent.enroll(&token(dir.path()), None).await;
    agent.adopt(&body);
    agent.send_beat(1).await;
    let bytes = agent.beat(1).to_string().len();
    let id = agent.server_id.clone();
    assert_eq!(
        program.lines.next().unwrap().unwrap(),
        format!("heartbeat accepted host=gpu-01 server_id={id} seq=1 gpus=1 bytes={bytes} gzip=no inventory=yes")
    );
    agent.send_beat(1).await;
    let refused = program.lines.next().unwrap().unwrap();
    assert!(refused.starts_with("heartbeat refused host=gpu-01"), "{refused}");
    assert!(refused.contains("status=409"), "{refused}");
    let kept: Value = serde_json::from_str(&fs::read_to_string(last).unwrap()).unwrap();
    assert_eq!(kept, agent.beat(1));
}

#[tokio::test]
async fn a_restart_keeps_the_agents_and_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let first = Program::start(dir.path(), &["--quiet"]);
    let mut agent = first.agent(dir.path());
    let (_, body) = agent.enroll(&token(dir.path()), None).await;
    agent.adopt(&body);
    let (pin, used) = (first.fingerprint.clone(), token(dir.path()));
    drop(first);
    let second = Program::start(dir.path(), &["--quiet"]);
    assert_eq!(second.fingerprint, pin);
    assert_ne!(token(dir.path()), used, "each start writes a fresh token");
    agent.url.clone_from(&second.url);
    assert_eq!(agent.send_beat(1).await.0, 200);
}

#[tokio::test]
async fn a_shared_token_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = Program::start(dir.path(), &["--mode", "shared"]);
    let shared = token(dir.path());
    drop(first);
    let mut second = Program::start(dir.path(), &["--mode", "shared"]);
    assert_eq!(token(dir.path()), shared);
    let mut agent = second.agent(dir.path());
    agent.server_id = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7".to_owned();
    agent.bearer = Some(shared);
    assert_eq!(agent.send_beat(1).await.0, 200);
    assert!(second.lines.next().unwrap().unwrap().starts_with("heartbeat accepted"));
}

#[tokio::test]
async fn sigterm_ends_it_at_once_with_a_connection_open() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]);
    let agent = program.agent(dir.path());
    let version = agent.get(Endpoint::Version, "").send().await.unwrap();
    let now: jiff::Timestamp = version.json::<Value>().await.unwrap()["server_time"].as_str().unwrap().parse().unwrap();
    assert!(now.as_millisecond() > START_MS - 366 * 24 * 3_600_000, "the machine's own clock");
    let took = program.terminate();
    // It does not wait for the peer to close, which would be for ever.
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_command_line_that_is_wrong_is_explained() {
    let run =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_reference-manager")).args(arguments).output().unwrap();
    let bad = run(&["--state", "d", "--listen", "0.0.0.0:0"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("--i-know"));
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--dump-last"));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let no_dir = run(&["--state", dir.path().join("file/state").to_str().unwrap()]);
    assert_eq!(no_dir.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_dir.stderr).contains("file/state"));
}

#[tokio::test]
async fn it_answers_by_the_script_first_and_gives_the_authorities_of_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let (script, bundle) = (dir.path().join("script.json"), dir.path().join("bundle.pem"));
    fs::write(&bundle, "the old and the next authority").unwrap();
    fs::write(&script, r#"[{"endpoint": "version", "status": 511, "text": "<html>login"}]"#).unwrap();
    let more = ["--script", script.to_str().unwrap(), "--ca-bundle", bundle.to_str().unwrap()];
    let program = Program::start(dir.path(), &more);
    let agent = program.agent(dir.path());
    let version =
        || async { agent.client.get(format!("{}{}", program.url, Endpoint::Version.path())).send().await.unwrap() };
    // It is taken up as soon as it is seen, and each answer is given once.
    let mut statuses = Vec::new();
    let until_scripted = async {
        while statuses.last() != Some(&511) {
            statuses.push(version().await.status().as_u16());
        }
    };
    tokio::time::timeout(Duration::from_secs(60), until_scripted).await.unwrap();
    assert_eq!(version().await.status(), 200);
    assert!(statuses.iter().all(|status| [200, 511].contains(status)), "{statuses:?}");
    let (_, body) = program.agent(dir.path()).enroll(&token(dir.path()), None).await;
    assert_eq!(body["ca_bundle_pem"], "the old and the next authority");
}
