//! The installed programs of a toolkit: scripts of the test that answer, fail, hang, are missing or could be changed by others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use acts::toolkit_programs::ToolkitPrograms;
use model::ports::ActError;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// No machine is so busy that a shell needs longer.
const LONG: Duration = Duration::from_secs(60);

fn install(folder: &Path, name: &str, body: &str, mode: u32) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn said(answer: Result<(), ActError>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn programs_that_answer_are_installed_and_others_are_named_with_their_words() {
    let folder = TempDir::new().unwrap();
    let programs = ToolkitPrograms::new(folder.path(), LONG);
    let missing = said(programs.answer().await);
    assert!(
        missing.contains("nvidia-container-runtime") && missing.contains("the toolkit container installs it"),
        "{missing}"
    );

    // Only `--version` is asked.
    let answers = r#"[ "$*" = --version ] && echo 'NVIDIA Container Runtime version 1.17.8'"#;
    install(folder.path(), "nvidia-container-runtime", answers, 0o755);
    assert_eq!(programs.answer().await, Ok(()), "the other program is asked if it is installed");
    install(folder.path(), "nvidia-ctk", answers, 0o755);
    assert_eq!(programs.answer().await, Ok(()));

    install(folder.path(), "nvidia-ctk", "echo 'exec format error' >&2; exit 126", 0o755);
    let broken = said(programs.answer().await);
    assert!(broken.contains("nvidia-ctk --version") && broken.contains("exec format error"), "{broken}");
}

#[tokio::test]
async fn one_that_hangs_is_given_up() {
    let folder = TempDir::new().unwrap();
    install(folder.path(), "nvidia-container-runtime", "exec sleep 600", 0o755);
    let hung = said(ToolkitPrograms::new(folder.path(), Duration::from_millis(200)).answer().await);
    assert!(hung.contains("nvidia-container-runtime --version"), "{hung}");
}

#[tokio::test]
async fn root_does_not_start_what_others_may_change() {
    let folder = TempDir::new().unwrap();
    install(folder.path(), "nvidia-container-runtime", "touch \"$0.ran\"", 0o777);
    let answer = ToolkitPrograms::new(folder.path(), LONG).answer().await;
    let ran = folder.path().join("nvidia-container-runtime.ran").exists();
    match nix::unistd::geteuid().is_root() {
        true => assert!(said(answer).contains("root does not start it") && !ran),
        false => assert!(answer.is_ok() && ran),
    }
}
