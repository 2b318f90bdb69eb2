//! What outlives a manager: the same fleet behind two managers, after a restart, and in a directory.

use crate::agent::{Agent, TOKEN, TestClock, assert_refused, start, start_default};
use manager::{Fleet, Options, Standing};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

fn with(fleet: Fleet, bind: Option<SocketAddr>) -> Options {
    let options = Options { fleet: Some(fleet), ..TestClock::new().options() };
    Options { bind: bind.unwrap_or(options.bind), ..options }
}

#[tokio::test]
async fn an_agent_of_one_manager_is_one_of_the_other() {
    let one = start_default().await;
    let two = start(with(one.fleet(), None)).await;
    let mut agent = Agent::enrolled(&one, TOKEN).await;
    agent.url = two.url();
    assert_eq!(agent.send_beat(1).await.0, 200);
    assert_eq!((one.heartbeats().len(), two.heartbeats().len()), (0, 1));
    assert_eq!(one.fingerprint_sha256(), two.fingerprint_sha256());
}

#[tokio::test]
async fn a_stopped_manager_starts_again_on_its_port() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    assert_eq!(agent.send_beat(1).await.0, 200);
    let (addr, fleet) = (manager.addr(), manager.fleet());
    manager.stop().await;
    TcpStream::connect(addr).unwrap_err();
    let again = start(with(fleet, Some(addr))).await;
    assert_eq!(agent.send_beat(2).await.0, 200);
    assert_refused(&agent.send_beat(2).await, 409, "duplicate_agent");
    assert_eq!(again.heartbeats().len(), 2);
}

#[tokio::test]
async fn a_directory_keeps_authority_certificate_and_agents() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let first = start(with(Fleet::open(&state).unwrap(), None)).await;
    let agent = Agent::enrolled(&first, TOKEN).await;
    let (addr, pin) = (first.addr(), first.fingerprint_sha256().to_owned());
    first.stop().await;
    let second = start(with(Fleet::open(&state).unwrap(), Some(addr))).await;
    assert_eq!(second.fingerprint_sha256(), pin);
    assert_eq!(second.enrolled()[0].standing, Standing::Approved);
    assert_eq!(agent.send_beat(1).await.0, 200);
    assert_refused(&Agent::new(&second).enroll(TOKEN, None).await, 409, "enrol_used");
}

#[tokio::test]
async fn no_token_and_no_secret_is_in_the_directory_and_nobody_else_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let options = Options { mode: manager::Mode::Secrets, ..with(Fleet::open(&state).unwrap(), None) };
    let manager = start(options).await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for entry in std::fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(TOKEN) && !text.contains(&agent.bearer.clone().unwrap()), "{}", path.display());
    }
}

#[test]
fn a_directory_that_is_no_fleet_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    Fleet::open(dir.path()).unwrap();
    std::fs::write(dir.path().join("fleet.json"), "{").unwrap();
    let error = format!("{:#}", Fleet::open(dir.path()).unwrap_err());
    assert!(error.contains("fleet.json"), "{error}");
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = format!("{:#}", Fleet::open(dir.path()).unwrap_err());
    assert!(error.contains("ca.key"), "{error}");
}
