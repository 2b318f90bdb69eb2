//! Children that behave, and children that do not.

use super::*;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// How long a test waits for what must come: it says that something is wrong, never how fast it is.
const PATIENCE: Duration = Duration::from_secs(60);
/// A deadline that no child reaches which does what it should, in milliseconds.
const LONG_MS: u64 = 600_000;
/// A deadline after which a child is ended that hangs, in milliseconds: a shell has said who it is long before.
const SHORT_MS: u64 = 3_000;

fn shell(script: &str, deadline_ms: u64) -> Program {
    let args = ["-c", script].map(OsString::from);
    Program { grace: Duration::from_millis(200), ..Program::new("/bin/sh", args, Duration::from_millis(deadline_ms)) }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} has not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pid_in(file: &Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Alive, and no zombie.
fn runs(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

#[tokio::test(flavor = "current_thread")]
async fn output_error_and_status_come_back() {
    let finished = Supervisor::default().run("t", shell("echo out; echo err >&2; exit 7", LONG_MS)).await.unwrap();
    assert_eq!((finished.stdout.as_slice(), finished.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(finished.status.code(), Some(7));
}

#[tokio::test(flavor = "current_thread")]
async fn the_environment_is_ours_and_the_group_its_own() {
    let script = "read line || echo closed; env | grep -v '^_=\\|^SHLVL=\\|^PWD=' | sort; ps -o pgid= -p $$";
    let program = Program { env: vec![("EXTRA".to_owned(), "1".into())], ..shell(script, LONG_MS) };
    let finished = Supervisor::default().run("t", program).await.unwrap();
    let text = String::from_utf8(finished.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[..4], ["closed", "EXTRA=1", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    assert_ne!(lines[4], nix::unistd::getpgrp().to_string());
}

#[tokio::test(flavor = "current_thread")]
async fn where_memory_runs_out_a_child_is_ended_before_others() {
    let script = "until grep -qx 1000 /proc/self/oom_score_adj; do :; done; echo done";
    let finished = Supervisor::default().run("t", shell(script, LONG_MS)).await.unwrap();
    assert_eq!(finished.stdout, b"done\n");
}

#[tokio::test(flavor = "current_thread")]
async fn a_program_that_is_not_there_is_named() {
    let fault = Supervisor::default().run("t", Program::new("/no/such", [], Duration::from_secs(1))).await.unwrap_err();
    assert!(fault.to_string().contains("/no/such"), "{fault}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_child_that_ignores_sigterm_is_killed_after_its_grace() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 100; done", file.display());
    let start = Instant::now();
    let fault = Supervisor::default().run("t", shell(&script, SHORT_MS)).await.unwrap_err();
    assert!(matches!(fault, RunError::Timeout { .. }), "{fault:?}");
    assert!(start.elapsed() >= Duration::from_millis(SHORT_MS + 200), "the grace was cut short");
    let pid = pid_in(&file).unwrap();
    until("its death", || !runs(pid)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_child_that_obeys_sigterm_needs_no_grace() {
    let program = Program { grace: PATIENCE * 10, ..shell("exec sleep 1000", 100) };
    let supervisor = Supervisor::default();
    let fault = tokio::time::timeout(PATIENCE, supervisor.run("t", program)).await.expect("no grace").unwrap_err();
    assert!(matches!(fault, RunError::Timeout { .. }));
}

#[tokio::test(flavor = "current_thread")]
async fn endless_output_ends_the_child() {
    let fault = Supervisor::default().run("t", shell("exec yes", LONG_MS)).await.unwrap_err();
    assert!(matches!(fault, RunError::TooMuch { stream: "output", .. }), "{fault:?}");
    let fault = Supervisor::default().run("t", shell("exec yes >&2", LONG_MS)).await.unwrap_err();
    assert!(matches!(fault, RunError::TooMuch { stream: "error", max_bytes: STDERR_MAX_BYTES }), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_grandchild_that_holds_the_pipe_is_ended_with_the_group() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; echo done", file.display());
    let finished = Supervisor::default().run("t", shell(&script, LONG_MS)).await.unwrap();
    assert_eq!(finished.stdout, b"done\n");
    let pid = pid_in(&file).unwrap();
    until("the grandchild's death", || !runs(pid)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_grandchild_that_fled_the_group_delays_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let script = format!(
        "setsid sh -c 'echo $$ > {0}; exec sleep 1000' & while ! test -s {0}; do :; done; echo done",
        file.display()
    );
    let supervisor = Supervisor::default();
    let finished =
        tokio::time::timeout(PATIENCE, supervisor.run("t", shell(&script, LONG_MS))).await.expect("a delay").unwrap();
    assert_eq!(finished.stdout, b"done\n");
    nix::sys::signal::kill(Pid::from_raw(pid_in(&file).unwrap()), Signal::SIGKILL).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_caller_that_goes_away_takes_the_child_with_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let supervisor = Supervisor::default();
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let call = supervisor.run("t", shell(&script, LONG_MS));
    let waited = async { until("the start", || pid_in(&file).is_some()).await };
    tokio::select! { _ = call => panic!("it ended"), () = waited => {} }
    let pid = pid_in(&file).unwrap();
    until("its death", || !runs(pid)).await;
    // The purpose is free again.
    assert!(supervisor.run("t", shell("exit 0", LONG_MS)).await.unwrap().status.success());
}

#[test]
fn a_runtime_that_goes_down_takes_the_child_with_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let supervisor = Supervisor::default();
    runtime.spawn(async move { supervisor.run("t", shell(&script, LONG_MS)).await });
    runtime.block_on(until("the start", || pid_in(&file).is_some()));
    drop(runtime);
    let pid = pid_in(&file).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while runs(pid) {
        assert!(Instant::now() < deadline, "the child outlived its supervisor");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn one_child_at_a_time_for_one_purpose() {
    let folder = TempDir::new().unwrap();
    let lock = folder.path().join("lock");
    let script = format!("mkdir {0} || exit 9; sleep 0.1; rmdir {0}", lock.display());
    let supervisor = Supervisor::default();
    let run = || supervisor.run("t", shell(&script, LONG_MS));
    let (one, two) = tokio::join!(run(), run());
    assert_eq!((one.unwrap().status.code(), two.unwrap().status.code()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "current_thread")]
async fn a_crash_is_seen_as_its_signal() {
    use std::os::unix::process::ExitStatusExt;
    let finished = Supervisor::default().run("t", shell("kill -SEGV $$", LONG_MS)).await.unwrap();
    assert_eq!(finished.status.signal(), Some(11));
}

/// A child that no signal ends, as one in uninterruptible sleep: it is reported, not doubled, and forgotten when it ends.
#[tokio::test(flavor = "current_thread")]
async fn a_child_that_does_not_die_is_never_doubled() {
    let folder = TempDir::new().unwrap();
    let (file, starts) = (folder.path().join("pid"), folder.path().join("starts"));
    let supervisor = Supervisor { end_group: |_, _| {}, ..Supervisor::default() };
    let script = format!("echo $$ > {}; echo x >> {}; exec sleep 1000", file.display(), starts.display());
    let first = supervisor.run("t", shell(&script, SHORT_MS)).await.unwrap_err();
    let pid = pid_in(&file).unwrap();
    assert!(matches!(first, RunError::Stuck { pid: it } if i32::try_from(it) == Ok(pid)), "{first:?}");
    let second = tokio::time::timeout(PATIENCE, supervisor.run("t", shell(&script, LONG_MS)));
    let second = second.await.expect("the answer must not wait for the child").unwrap_err();
    assert!(matches!(second, RunError::Stuck { .. }), "{second:?}");
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "x\n");
    assert_eq!(supervisor.stuck().len(), 1);
    assert!(supervisor.run("another", shell("exit 0", LONG_MS)).await.is_ok(), "other purposes go on");
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("the end of the report", || supervisor.stuck().is_empty()).await;
    assert!(supervisor.run("t", shell("exit 0", LONG_MS)).await.unwrap().status.success());
}
