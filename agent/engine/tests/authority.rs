//! Whose wish a command is decides what holds it: policy, rate and the lock on what comes from remote. What the host shows decides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod change_bench;
mod common;

use change_bench::{Bench, Disk, GPU, OTHER, at, bind, bind_on_trial, dgx, release, start};
use engine::change::RETRY_UNDO_MS;
use engine::command::{Authorized, Command, Origin};
use engine::job::{Job, JobOutcome, JobOutcome::Done};
use model::change::Change;
use model::policy::{Policy, read};
use model::refusal::Refusal;
use std::sync::Arc;

const MANAGED: &str = "[manager]\npassthrough = true\nchanges_per_minute = 2";

async fn under(policy: &str) -> (Bench, Policy) {
    let bench = start(dgx(), Disk::default(), "boot").await;
    let policy = read("policy.toml", policy).unwrap();
    bench.set_policy.send_replace(Arc::new(policy.clone()));
    (bench, policy)
}

/// What the manager's document wishes, as far as the gate lets it.
async fn manager(bench: &Bench, policy: &Policy, locked: bool, change: Change) -> Result<JobOutcome, Refusal> {
    bench.run(Authorized::by_manager(policy, locked, Command::Change(change))?).await
}

/// What a local file wishes.
async fn file(bench: &Bench, policy: &Policy, change: Change) -> Result<JobOutcome, Refusal> {
    bench.run(Authorized::by_local_file(policy, Command::Change(change))?).await
}

fn code(result: Result<JobOutcome, Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.code(), |_| "done")
}

#[tokio::test]
async fn a_managers_document_is_held_by_policy_lock_and_its_own_rate() {
    let (bench, policy) = under(MANAGED).await;
    assert_eq!(code(manager(&bench, &policy, true, bind(GPU)).await), "remote_locked");
    assert_eq!(code(manager(&bench, &Policy::default(), false, bind(GPU)).await), "denied_by_policy");
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"), "nothing of it was done");
    assert_eq!(manager(&bench, &policy, false, bind(GPU)).await, Ok(Done));
    assert_eq!(manager(&bench, &policy, false, release(GPU)).await, Ok(Done));
    assert_eq!(code(manager(&bench, &policy, false, bind(GPU)).await), "rate_limited");
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done), "people of this host have more of it");
}

#[tokio::test]
async fn a_policy_that_became_stricter_holds_what_has_passed_the_gate() {
    let (bench, policy) = under(MANAGED).await;
    let passed = Authorized::by_manager(&policy, false, Command::Change(bind(GPU))).unwrap();
    bench.set_policy.send_replace(Arc::new(Policy::default()));
    assert_eq!(code(bench.run(passed).await), "denied_by_policy");
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
}

#[tokio::test]
async fn a_local_file_is_held_by_the_ceiling_and_its_rate_and_not_by_the_lock() {
    let (bench, closed) = under(&format!("[host.passthrough]\nnever = ['{GPU}']\nchanges_per_minute = 2")).await;
    assert_eq!(code(file(&bench, &closed, bind(GPU)).await), "denied_by_policy");
    assert_eq!(bench.driver(GPU).as_deref(), Some("nvidia"));
    assert_eq!(file(&bench, &closed, bind(OTHER)).await, Ok(Done));
    assert_eq!(file(&bench, &closed, release(OTHER)).await, Ok(Done));
    assert_eq!(code(file(&bench, &closed, bind(OTHER)).await), "rate_limited");
    let job = bench.handle.jobs.borrow()[0].clone();
    assert_eq!((job.started_by.origin, job.started_by.uid), (Origin::LocalFile, None));
}

#[tokio::test]
async fn what_is_on_trial_for_longer_than_a_day_is_refused_to_everybody() {
    let (bench, policy) = under(MANAGED).await;
    let most = 86_400_000;
    for (millis, wanted) in [(most + 1, "invalid_argument"), (u64::MAX, "invalid_argument"), (most, "done")] {
        assert_eq!(code(manager(&bench, &policy, false, bind_on_trial(GPU, millis)).await), wanted, "{millis}");
    }
    assert_eq!(code(file(&bench, &policy, bind_on_trial(OTHER, most + 1)).await), "invalid_argument");
    assert_eq!(code(bench.make(bind_on_trial(OTHER, most + 1)).await), "invalid_argument");
    assert_eq!(bench.driver(OTHER).as_deref(), Some("nvidia"));
}

#[tokio::test]
async fn what_the_daemon_takes_back_is_never_put_off_and_counts() {
    let (bench, _) = under("[host.passthrough]\nchanges_per_minute = 1").await;
    assert_eq!(bench.make(bind_on_trial(GPU, 30_000)).await, Ok(Done));
    assert_eq!(code(bench.make(release(GPU)).await), "rate_limited", "the minute is full");
    bench.set_policy.send_replace(Arc::new(Policy::strictest()));
    bench.clock.advance(30_000);
    bench.until_driver(GPU, Some("nvidia")).await;
    let is_over = |jobs: &Arc<Vec<Job>>| {
        jobs.iter().any(|job| job.started_by.origin == Origin::Daemon && job.result == Some(Ok(Done)))
    };
    bench.handle.jobs.clone().wait_for(is_over).await.unwrap();
    bench.set_policy.send_replace(Arc::new(read("p", "[host.passthrough]\nchanges_per_minute = 1").unwrap()));
    bench.clock.advance(30_000);
    assert_eq!(code(bench.make(bind(GPU)).await), "rate_limited", "the undo half a minute ago counts");
    assert!(bench.records.borrow().given(at(GPU)).is_none());
    bench.clock.advance(RETRY_UNDO_MS);
    assert_eq!(bench.make(bind(GPU)).await, Ok(Done));
}
