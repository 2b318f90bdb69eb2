//! The observer against a host that hangs, changes and breaks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{ManualClock, NoChanges, NoManager, PATIENCE, TestChanges, TestHost, gpu};
use engine::change::ChangePorts;
use engine::command::{Authorized, Command, Verdict};
use engine::handle::Handle;
use engine::start::{EngineParts, EnginePorts, Pulse};
use model::absence::{Absence, Reading};
use model::health::HealthState;
use model::health::kernel_log::KernelLogUnavailable;
use model::observation::HostObservation;
use model::pci::RuntimeStatus;
use model::ports::KernelLogPort;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

struct Bench {
    host: Arc<TestHost>,
    clock: Arc<ManualClock>,
    handle: Handle,
    pulse: Pulse,
    changes: mpsc::UnboundedSender<()>,
    cancel: CancellationToken,
    run: tokio::task::JoinHandle<()>,
}

const SAMPLE_MS: u64 = 30_000;

async fn start(host: Arc<TestHost>) -> Bench {
    start_with(host, EngineParts::default()).await
}

async fn start_with(host: Arc<TestHost>, parts: EngineParts) -> Bench {
    let (clock, cancel) = (ManualClock::new(), CancellationToken::new());
    let (changes, announced) = mpsc::unbounded_channel();
    let nothing = Arc::new(NoChanges);
    let change = ChangePorts {
        act: Arc::clone(&nothing),
        journal: nothing,
        clock: Arc::clone(&clock),
        boot_id: "boot".to_owned(),
    };
    let ports = EnginePorts {
        host: Arc::clone(&host),
        announced: TestChanges(announced),
        manager: Arc::new(NoManager),
        settings: watch::channel(Arc::default()).1,
        policy: watch::channel(Arc::default()).1,
        change,
    };
    let engine = parts.engine(ports, cancel.clone()).await;
    let run = tokio::spawn(engine.run);
    Bench { host, clock, handle: engine.handle, pulse: engine.pulse, changes, cancel, run }
}

impl Bench {
    async fn until(&self, what: &str, is: impl Fn(&HostObservation) -> bool) -> Arc<HostObservation> {
        let mut seen = self.handle.observation.clone();
        let found = tokio::time::timeout(PATIENCE, seen.wait_for(|o| is(o))).await;
        Arc::clone(&found.unwrap_or_else(|_| panic!("never saw: {what}")).unwrap())
    }

    async fn until_idle(&self) {
        self.until("driver and Docker", |o| o.driver_version.is_some() && o.docker.is_ok()).await;
    }

    async fn submit(&self, command: Command) -> model::JobId {
        self.handle.submit(Authorized::by_local_user(Verdict::Allowed, command, Some(0)).unwrap()).await.unwrap()
    }

    async fn job_end(&self, id: model::JobId) -> engine::job::Job {
        tokio::time::timeout(PATIENCE, self.handle.end_of(id)).await.expect("in time").unwrap()
    }
}

#[tokio::test]
async fn the_first_observation_needs_no_driver() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))]);
    *host.driver_hangs.lock().unwrap() = Some(Arc::new(Notify::new()));
    let bench = start(host).await;
    let first = bench.until("a GPU", |o| o.gpus.len() == 1).await;
    assert!(first.driver_version.is_none());
    let with_docker = bench.until("Docker beside the hung driver", |o| o.docker.is_ok()).await;
    assert!(with_docker.driver_version.is_none());
    assert!(bench.pulse.turned().await, "the loop turns while the driver hangs");
}

#[tokio::test]
async fn the_bus_is_scanned_on_change_and_not_on_time() {
    let bench = start(TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))])).await;
    bench.until_idle().await;
    let probes = bench.host.probes.load(Ordering::SeqCst);
    for _ in 0..5 {
        let before = bench.host.probes.load(Ordering::SeqCst);
        bench.clock.advance(SAMPLE_MS);
        while bench.host.probes.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(bench.host.scans.load(Ordering::SeqCst), 1);
    assert!(bench.host.probes.load(Ordering::SeqCst) >= probes + 5);
}

#[tokio::test]
async fn a_gpu_that_has_fallen_asleep_is_not_asked_and_keeps_its_facts() {
    let mut lazy = gpu("0000:41:00.0", Some("nvidia"));
    lazy.state.may_sleep = Reading::Known(true);
    let bench = start(TestHost::with(vec![lazy.clone()])).await;
    bench.until_idle().await;
    let probes = bench.host.probes.load(Ordering::SeqCst);
    lazy.state.runtime = Reading::Known(RuntimeStatus::Suspended);
    *bench.host.gpus.lock().unwrap() = vec![lazy.clone()];
    bench.clock.advance(SAMPLE_MS);
    let seen =
        bench.until("that it sleeps, which nobody announced", |o| o.gpus.iter().any(|g| g.pci.is_asleep())).await;
    assert_eq!(seen.gpus[0].driver.as_ref().unwrap().metrics.temperature_c, Reading::Absent(Absence::GpuAsleep));
    let scans = bench.host.scans.load(Ordering::SeqCst);
    for _ in 0..3 {
        let before = bench.host.scans.load(Ordering::SeqCst);
        bench.clock.advance(SAMPLE_MS);
        while bench.host.scans.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
    }
    bench.until("the last of these scans", |o| o.sequence > seen.sequence).await;
    assert_eq!(bench.host.probes.load(Ordering::SeqCst), probes, "after {scans} scans nobody has woken it");
    lazy.state.runtime = Reading::Known(RuntimeStatus::Active);
    *bench.host.gpus.lock().unwrap() = vec![lazy];
    bench.clock.advance(SAMPLE_MS);
    bench.until("that it is asked again", |o| o.gpus.iter().all(|g| !g.pci.is_asleep()) && !o.probes.is_empty()).await;
}

#[tokio::test]
async fn a_gpu_that_sleeps_from_the_start_is_asked_once_for_its_identity() {
    let mut lazy = gpu("0000:41:00.0", Some("nvidia"));
    lazy.state.may_sleep = Reading::Known(true);
    lazy.state.runtime = Reading::Known(RuntimeStatus::Suspended);
    let bench = start(TestHost::with(vec![lazy])).await;
    bench.until("its facts", |o| o.gpus.iter().any(|g| g.driver.is_some())).await;
    assert_eq!(bench.host.probes.load(Ordering::SeqCst), 1);
    for _ in 0..3 {
        let before = bench.host.scans.load(Ordering::SeqCst);
        bench.clock.advance(SAMPLE_MS);
        while bench.host.scans.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
    }
    assert!(bench.pulse.turned().await);
    assert_eq!(bench.host.probes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_storm_of_changes_costs_two_scans() {
    let bench = start(TestHost::with(vec![])).await;
    bench.until("the first scan", |o| o.sequence > 0).await;
    bench.host.gpus.lock().unwrap().push(gpu("0000:41:00.0", None));
    for _ in 0..50 {
        bench.changes.send(()).unwrap();
    }
    bench.until("the first change at once", |o| o.gpus.len() == 1).await;
    bench.host.gpus.lock().unwrap().push(gpu("0000:42:00.0", None));
    bench.changes.send(()).unwrap();
    assert!(bench.pulse.turned().await);
    let scans = bench.host.scans.load(Ordering::SeqCst);
    assert!(scans <= 2, "followers wait: {scans} scans");
    bench.clock.advance(engine::observer::DEBOUNCE_MS);
    bench.until("the followers, together", |o| o.gpus.len() == 2).await;
    assert!(bench.host.scans.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn a_new_binding_asks_the_driver_anew() {
    let bench = start(TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))])).await;
    bench.until_idle().await;
    let before = bench.host.probes.load(Ordering::SeqCst);
    *bench.host.gpus.lock().unwrap() = vec![gpu("0000:41:00.0", Some("nvidia")), gpu("0000:42:00.0", Some("nvidia"))];
    bench.changes.send(()).unwrap();
    bench
        .until("driver facts of the new one", |o| o.gpus.len() == 2 && o.gpus.iter().all(|g| g.driver.is_some()))
        .await;
    assert!(bench.host.probes.load(Ordering::SeqCst) > before);
}

#[tokio::test]
async fn a_broken_scan_costs_itself_and_the_next_one_works() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", None)]);
    host.scan_panics.store(1, Ordering::SeqCst);
    let bench = start(host).await;
    bench.until("Docker", |o| o.docker.is_ok()).await;
    bench.changes.send(()).unwrap();
    bench.until("the GPU", |o| o.gpus.len() == 1).await;
}

#[tokio::test]
async fn a_rescan_is_a_job_that_ends_when_everything_was_asked_anew() {
    let bench = start(TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))])).await;
    bench.until_idle().await;
    let (scans, probes) = (bench.host.scans.load(Ordering::SeqCst), bench.host.probes.load(Ordering::SeqCst));
    let id = bench.submit(Command::Rescan).await;
    let job = bench.job_end(id).await;
    assert_eq!((job.operation.as_str(), job.result), ("rescan", Some(Ok(engine::job::JobOutcome::Done))));
    assert!(bench.host.scans.load(Ordering::SeqCst) > scans && bench.host.probes.load(Ordering::SeqCst) > probes);
}

#[tokio::test]
async fn a_refused_job_keeps_its_reason_and_finished_jobs_are_forgotten_in_time() {
    let bench = start(TestHost::with(vec![])).await;
    let spec = model::enrol::EnrolSpec {
        urls: vec![],
        token: model::enrol::Secret::new("t"),
        shared: false,
        ca_pem: None,
        pins: model::checkin::Pins::default(),
        named: model::settings::HostNaming::default(),
        unless_enrolled: false,
    };
    let id = bench.submit(Command::Enrol(Box::new(spec))).await;
    let job = bench.job_end(id).await;
    assert_eq!(job.result.unwrap().unwrap_err().code(), "unavailable");
    bench.clock.advance(engine::jobs::JOB_LINGER_MS);
    let mut jobs = bench.handle.jobs.clone();
    tokio::time::timeout(PATIENCE, jobs.wait_for(|jobs| jobs.is_empty())).await.expect("forgotten").unwrap();
}

#[tokio::test]
async fn at_most_so_many_finished_jobs_are_kept_and_numbers_never_come_twice() {
    let bench = start(TestHost::with(vec![])).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..engine::jobs::JOBS_KEPT + 10 {
        let id = bench.submit(Command::Leave).await;
        bench.job_end(id).await;
        assert!(ids.insert(id));
    }
    assert_eq!(bench.handle.jobs.borrow().len(), engine::jobs::JOBS_KEPT);
}

#[tokio::test]
async fn it_ends_when_it_is_cancelled_even_with_a_hung_driver() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))]);
    *host.driver_hangs.lock().unwrap() = Some(Arc::new(Notify::new()));
    let bench = start(host).await;
    bench.until("a GPU", |o| o.gpus.len() == 1).await;
    bench.cancel.cancel();
    tokio::time::timeout(PATIENCE, bench.run).await.expect("ended").unwrap();
    let late = Authorized::by_local_user(Verdict::Allowed, Command::Rescan, None).unwrap();
    assert_eq!(bench.handle.submit(late).await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn a_watcher_gets_values_of_the_last_second_and_a_crowd_asks_the_host_once() {
    let bench = start(TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))])).await;
    bench.until_idle().await;
    for round in 1..=3 {
        bench.clock.advance(engine::observer::WATCH_MS);
        let before = (bench.host.probes.load(Ordering::SeqCst), bench.handle.observation.borrow().sequence);
        for _ in 0..50 {
            bench.handle.sample(PATIENCE).await;
        }
        let after = bench.host.probes.load(Ordering::SeqCst);
        assert_eq!(after, before.0 + 1, "round {round}: one probe a second, however many ask");
        assert!(
            bench.handle.observation.borrow().sequence > before.1,
            "round {round}: it was published before the answer"
        );
    }
    assert_eq!(bench.host.scans.load(Ordering::SeqCst), 1, "the bus is read on change only");
}

#[tokio::test]
async fn a_hung_driver_keeps_a_watcher_no_longer_than_its_deadline_and_is_not_asked_twice() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))]);
    let hang = Arc::new(Notify::new());
    *host.driver_hangs.lock().unwrap() = Some(Arc::clone(&hang));
    let bench = start(host).await;
    bench.until("a GPU", |o| o.gpus.len() == 1).await;
    for _ in 0..3 {
        bench.clock.advance(engine::observer::WATCH_MS);
        let sampled = bench.handle.sample(Duration::from_millis(50));
        tokio::time::timeout(PATIENCE, sampled).await.expect("it waits no longer than it was told to");
    }
    assert_eq!(bench.host.probes.load(Ordering::SeqCst), 1, "nothing queues up behind the hung one");
    assert!(bench.pulse.turned().await);
    *bench.host.driver_hangs.lock().unwrap() = None;
    hang.notify_one();
    bench.until("the driver", |o| o.driver_version.is_some()).await;
}

#[tokio::test]
async fn more_watchers_than_can_wait_get_what_is_there() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))]);
    *host.driver_hangs.lock().unwrap() = Some(Arc::new(Notify::new()));
    let bench = start(host).await;
    bench.until("a GPU", |o| o.gpus.len() == 1).await;
    let mut watchers = Vec::new();
    for _ in 0..engine::observer::WATCHERS {
        let handle = bench.handle.clone();
        watchers.push(tokio::spawn(async move { handle.sample(Duration::from_secs(600)).await }));
        // The watcher has asked, and the loop has heard it.
        tokio::task::yield_now().await;
        assert!(bench.pulse.turned().await);
    }
    assert!(watchers.iter().all(|watcher| !watcher.is_finished()), "these wait");
    let late = tokio::time::timeout(PATIENCE, bench.handle.sample(Duration::from_secs(600))).await;
    assert!(late.is_ok(), "who comes then is not kept");
}

/// A kernel log that the test writes.
struct TestLog(mpsc::UnboundedReceiver<Result<Vec<String>, KernelLogUnavailable>>);

impl KernelLogPort for TestLog {
    async fn next_lines(&mut self) -> Result<Vec<String>, KernelLogUnavailable> {
        match self.0.recv().await {
            Some(lines) => lines,
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn a_line_of_the_kernel_log_is_shown_without_another_scan_or_probe() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))]);
    let (write, log) = mpsc::unbounded_channel();
    let (heard, kernel_log) = watch::channel(Arc::default());
    let bench = start_with(host, EngineParts::default().with_kernel_log(kernel_log)).await;
    let following =
        tokio::spawn(engine::kernel_log::follow(TestLog(log), Arc::clone(&bench.clock), heard, bench.cancel.clone()));
    write.send(Ok(vec!["6,1,1000000,-;eth0: link up".to_owned()])).unwrap();
    bench.until_idle().await;
    let (scans, probes) = (bench.host.scans.load(Ordering::SeqCst), bench.host.probes.load(Ordering::SeqCst));
    write
        .send(Ok(vec!["3,2,999000000,-;NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.".to_owned()]))
        .unwrap();
    let seen = bench.until("the Xid", |o| o.gpus.first().is_some_and(|gpu| gpu.health.xid_last == Some(79))).await;
    assert_eq!(seen.gpus[0].health.state, HealthState::Failed);
    assert_eq!(seen.gpus[0].health.reasons[0].since.0, 1_700_000_000_000 - 1000, "a second before it was seen");
    assert_eq!((scans, probes), (bench.host.scans.load(Ordering::SeqCst), bench.host.probes.load(Ordering::SeqCst)));
    write.send(Err(KernelLogUnavailable { said: "it ended".to_owned() })).unwrap();
    let lost = |o: &HostObservation| o.conditions.iter().any(|held| held.kind == "kernel_log_unavailable");
    bench.until("that the log has ended", lost).await;
    following.await.unwrap();
    bench.changes.send(()).unwrap();
    bench.clock.advance(SAMPLE_MS);
    let after = bench.until("a later observation", |o| o.sequence > seen.sequence + 1).await;
    assert_eq!(after.gpus[0].health.state, HealthState::Failed, "what was heard stands");
}

#[tokio::test]
async fn only_an_answer_that_was_asked_for_later_takes_a_finding_back() {
    let host = TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))]);
    let (write, log) = mpsc::unbounded_channel();
    let (heard, kernel_log) = watch::channel(Arc::default());
    let bench = start_with(host, EngineParts::default().with_kernel_log(kernel_log)).await;
    let clock = Arc::clone(&bench.clock);
    let _following = tokio::spawn(engine::kernel_log::follow(TestLog(log), clock, heard, bench.cancel.clone()));
    bench.until_idle().await;
    bench.clock.advance(1000);
    // The clock of the records is behind: that must not matter.
    write
        .send(Ok(vec!["3,2,5000000,-;NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x22:0x56:667)".to_owned()]))
        .unwrap();
    let has = |o: &HostObservation, state| o.gpus.first().is_some_and(|gpu| gpu.health.state == state);
    let failed = bench.until("the fault", |o| has(o, HealthState::Failed)).await;
    bench.changes.send(()).unwrap();
    let scanned = bench.until("another look", |o| o.sequence > failed.sequence).await;
    assert!(has(&scanned, HealthState::Failed), "the driver was asked before");
    bench.clock.advance(SAMPLE_MS);
    bench.until("the driver's answer", |o| has(o, HealthState::Ok)).await;
}
