//! Hands as real child processes: this test's own executable, started again in the part of a hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which may"
)]

mod common;

use common::{acts, assert_alive, eventually, facts, limits, request};
use hands::local::Launch;
use hands::peers::Peers;
use hands::{Client, HandFault, spawn_local};
use model::driver::{DriverSource, ProbeFault};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, geteuid};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::hand::{Ask, HandRole, Said};

const LONG: Duration = Duration::from_secs(10);

fn this_executable(part: &str) -> Launch {
    let args = [part, "--exact", "--ignored", "--nocapture", "--test-threads=1"];
    Launch { exe: std::env::current_exe().unwrap(), args: args.map(OsString::from).to_vec() }
}

#[test]
#[ignore = "a child process of the other tests"]
fn part_of_a_hand() {
    let mut acts = acts();
    acts.powerless = Box::new(|| Some(std::process::id().to_string()));
    let code = hands::entry::main(HandRole::Containers, acts);
    std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 1 });
}

#[test]
#[ignore = "a child process of the other tests"]
fn part_of_a_hand_that_ends_at_once() {
    std::process::exit(3);
}

#[test]
#[ignore = "a child process of the other tests"]
fn part_of_a_stranger() {
    let mut stream = std::os::unix::net::UnixStream::connect(std::env::var_os("SOCKET").unwrap()).unwrap();
    drop(stream.write_all(&request(1, Ask::Hello)));
    let mut heard = Vec::new();
    drop(stream.read_to_end(&mut heard));
    std::process::exit(i32::try_from(heard.len()).unwrap());
}

async fn pid(client: &Client) -> Result<Pid, HandFault> {
    let pid = client.hello(LONG).await?.powerless.unwrap().parse().unwrap();
    Ok(Pid::from_raw(pid))
}

async fn pid_of_the_next(client: &Client, last: Pid) -> Pid {
    let start = Instant::now();
    loop {
        match pid(client).await {
            Ok(pid) if pid != last => return pid,
            Ok(_) | Err(_) => assert!(start.elapsed() < LONG, "no new hand was started"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_running(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[tokio::test]
async fn a_kept_hand_answers_and_leaves_with_its_last_client() {
    let client = spawn_local(HandRole::Containers, this_executable("part_of_a_hand"));
    let second = client.clone();
    assert!(matches!(client.ask(Ask::DockerFacts, LONG).await, Ok(Said::Docker(Ok(told))) if told == facts()));
    let hand = pid(&second).await.unwrap();
    drop(client);
    assert!(is_running(hand) && pid(&second).await.is_ok());
    drop(second);
    eventually("the hand has left", || !is_running(hand)).await;
}

#[tokio::test]
async fn a_killed_hand_is_named_and_started_again() {
    let client = spawn_local(HandRole::Containers, this_executable("part_of_a_hand"));
    let first = pid(&client).await.unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    eventually("the hand is gone", || !is_running(first)).await;
    let fault = pid(&client).await.unwrap_err();
    assert!(matches!(fault, HandFault::Closed { .. } | HandFault::Down { .. }), "{fault:?}");
    let second = pid_of_the_next(&client, first).await;
    assert!(is_running(second));
}

#[tokio::test]
async fn a_hand_told_to_stop_stops_in_time_and_well() {
    let client = spawn_local(HandRole::Containers, this_executable("part_of_a_hand"));
    let first = pid(&client).await.unwrap();
    let hung = tokio::spawn({
        let client = client.clone();
        async move { client.ask(Ask::ProbeDriver(DriverSource::SmiInDriverContainer), LONG).await }
    });
    let start = Instant::now();
    kill(first, Signal::SIGTERM).unwrap();
    eventually("the hand has ended", || !is_running(first)).await;
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    drop(hung.await);
    pid_of_the_next(&client, first).await;
}

#[tokio::test]
async fn a_hand_that_ends_at_once_is_said_with_its_status_and_not_started_in_a_rush() {
    let client = spawn_local(HandRole::Containers, this_executable("part_of_a_hand_that_ends_at_once"));
    let start = Instant::now();
    let mut said = Vec::new();
    while start.elapsed() < Duration::from_millis(1500) {
        let fault = client.ask(Ask::DockerFacts, LONG).await.unwrap_err();
        said.push(fault.into_probe_fault().to_string());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let downs: Vec<_> = said.iter().filter(|text| text.contains("exit status: 3")).collect();
    assert!(!downs.is_empty() && downs[0].contains("started again in"), "{said:?}");
    // Each start that fails answers once with "closed"; pauses of 250, 500 and 1000 ms allow three of them.
    let starts = said.iter().filter(|text| text.contains("closed the connection")).count();
    assert!(starts <= 4, "{starts} starts in 1.5 s");
}

#[tokio::test]
async fn an_executable_that_is_not_there_is_named() {
    let launch = Launch { exe: PathBuf::from("/nonexistent/hand"), args: Vec::new() };
    let client = spawn_local(HandRole::Host, launch);
    let fault = client.ask(Ask::Hello, LONG).await.unwrap_err();
    assert!(matches!(&fault, HandFault::Down { why, .. } if why.contains("/nonexistent/hand")), "{fault:?}");
}

#[tokio::test]
async fn a_request_that_was_given_up_disturbs_no_other() {
    let client = spawn_local(HandRole::Containers, this_executable("part_of_a_hand"));
    let before = pid(&client).await.unwrap();
    for _ in 0..20 {
        let given_up = client.ask(Ask::DockerFacts, Duration::from_nanos(1)).await;
        assert!(matches!(given_up, Err(HandFault::Timeout { .. })), "{given_up:?}");
        assert!(matches!(client.ask(Ask::DockerFacts, LONG).await, Ok(Said::Docker(Ok(_)))));
    }
    assert_eq!(pid(&client).await.unwrap(), before);
    let absent = client.ask(Ask::ProbeDriver(DriverSource::SmiInDriverContainer), LONG).await.unwrap();
    assert!(matches!(absent, Said::Driver(told) if matches!(*told, Err(ProbeFault::Absent { .. }))));
}

/// Runs the stranger as nobody where we may, else as ourselves, and gives the number of bytes that it heard.
fn bytes_heard_by_a_stranger(socket: &Path) -> i32 {
    let launch = this_executable("part_of_a_stranger");
    let mut command = std::process::Command::new(launch.exe);
    command.args(launch.args).env("SOCKET", socket);
    if geteuid().is_root() {
        command.uid(65534);
    }
    command.output().unwrap().status.code().unwrap()
}

#[tokio::test]
async fn a_process_of_another_user_hears_nothing() {
    let us = geteuid();
    let peers = if us.is_root() { Peers::parent() } else { Peers::of(&[Uid::from_raw(0).as_raw()]) };
    let served = common::Served::with(HandRole::Host, peers, acts(), limits());
    // Let nothing but the hand's own check stand in the way.
    let mode = |path: &Path, bits| std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
    let socket = served.folder().join("host.sock");
    mode(served.folder(), 0o755);
    mode(&socket, 0o666);
    let heard = tokio::task::spawn_blocking(move || bytes_heard_by_a_stranger(&socket)).await.unwrap();
    assert_eq!(heard, 0, "a stranger was answered, or could not run");
    if us.is_root() {
        assert_alive(&served).await;
    }
}
