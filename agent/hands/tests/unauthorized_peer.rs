//! A process of another user at a hand's socket: this test's own executable, started again in the part of a stranger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests, which may")]

mod common;

use common::{assert_alive, hello, host_verbs, limits, ourselves};
use hands::peers::Peers;
use nix::unistd::geteuid;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

#[test]
#[ignore = "a child process of the other tests"]
fn part_of_a_stranger() {
    let mut stream = std::os::unix::net::UnixStream::connect(std::env::var_os("SOCKET").unwrap()).unwrap();
    drop(stream.write_all(&hello(1)));
    let mut heard = Vec::new();
    drop(stream.read_to_end(&mut heard));
    std::process::exit(i32::try_from(heard.len()).unwrap());
}

/// Runs the stranger as nobody where we may, else as ourselves, and gives the number of bytes that it heard.
fn bytes_heard_by_a_stranger(socket: &Path) -> i32 {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(["part_of_a_stranger", "--exact", "--ignored", "--nocapture"]).env("SOCKET", socket);
    if geteuid().is_root() {
        command.uid(65534);
    }
    command.output().unwrap().status.code().unwrap()
}

#[tokio::test]
async fn a_process_of_another_user_hears_nothing() {
    let us = geteuid();
    let peers = if us.is_root() { ourselves() } else { Peers::of(&[0]) };
    let served = common::Served::with(peers, host_verbs().build(), limits());
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
