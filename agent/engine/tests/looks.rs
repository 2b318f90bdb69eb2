//! Looks at the host that somebody asks for: only at what they need, shared by all who ask, and never held up by a source that hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{ManualClock, PATIENCE, TestChanges, TestHost, gpu};
use engine::observer::{AFTER_A_CHANGE, ALL, Ask, FOR_A_PLAN, Observer, ObserverSource, nothing_seen};
use engine::publish::Publisher;
use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
use model::settings::Settings;
use model::time::{BootMillis, UnixMillis};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// An observer alone. Until it is started, what is asked of it waits in its queue.
struct Bench {
    host: Arc<TestHost>,
    clock: Arc<ManualClock>,
    asks: mpsc::Sender<Ask>,
    seen: watch::Receiver<Arc<HostObservation>>,
    _changes: mpsc::UnboundedSender<()>,
    _end: DropGuard,
}

/// How often each source was asked, in the order of [`ALL`].
type Counts = [u32; 4];

fn start(host: &Arc<TestHost>) -> Bench {
    let clock = ManualClock::new();
    let nothing = ObservationMeta { sequence: 0, observed_at: UnixMillis(0), observed_boot: BootMillis(0) };
    let publisher = Arc::new(Publisher::new(judge(nothing_seen(), nothing, None)));
    let (asks, asked) = mpsc::channel(64);
    let (_changes, announced) = mpsc::unbounded_channel();
    let settings = watch::channel(Arc::new(Settings::default())).1;
    let seen = publisher.seen();
    let observer = Observer::new(Arc::clone(host), Arc::clone(&clock), settings, publisher, asked);
    let cancel = CancellationToken::new();
    tokio::spawn(observer.run(TestChanges(announced), cancel.clone()));
    Bench { host: Arc::clone(host), clock, asks, seen, _changes, _end: cancel.drop_guard() }
}

impl Bench {
    fn counts(&self) -> Counts {
        let host = &self.host;
        [&host.scans, &host.probes, &host.docker_reads, &host.host_reads].map(|count| count.load(Ordering::SeqCst))
    }

    async fn until(&self, what: &str, is: impl Fn(&HostObservation) -> bool) {
        let found = tokio::time::timeout(PATIENCE, self.seen.clone().wait_for(|o| is(o))).await.map(drop);
        found.unwrap_or_else(|_| panic!("never saw: {what}"));
    }

    /// Everything has been asked once, and nothing is under way.
    async fn until_idle(&self) {
        self.until("driver and Docker", |o| o.driver_version.is_some() && o.docker.is_ok()).await;
        self.turned().await;
    }

    async fn turned(&self) {
        let (reply, answered) = oneshot::channel();
        self.asks.send(Ask::Ping(reply)).await.unwrap();
        answered.await.unwrap();
    }

    fn ask(&self, sources: &'static [ObserverSource]) -> oneshot::Receiver<()> {
        let (done, answered) = oneshot::channel();
        self.asks.try_send(Ask::Look(sources, done)).unwrap();
        answered
    }
}

async fn answered(look: oneshot::Receiver<()>) {
    tokio::time::timeout(PATIENCE, look).await.expect("in time").expect("an answer");
}

fn a_gpu() -> Arc<TestHost> {
    TestHost::with(vec![gpu("0000:41:00.0", Some("nvidia"))])
}

fn since(before: Counts, now: Counts) -> Counts {
    let mut grown = now.into_iter().zip(before).map(|(now, before)| now - before);
    std::array::from_fn(|_| grown.next().unwrap())
}

#[tokio::test]
async fn a_look_asks_only_what_it_is_for() {
    let bench = start(&a_gpu());
    bench.until_idle().await;
    for (sources, expected) in [(AFTER_A_CHANGE, [1, 1, 0, 0]), (FOR_A_PLAN, [1, 1, 0, 1]), (ALL, [1, 1, 1, 1])] {
        let before = bench.counts();
        answered(bench.ask(sources)).await;
        assert_eq!(since(before, bench.counts()), expected, "{sources:?}");
    }
}

#[tokio::test]
async fn all_who_ask_before_a_look_has_begun_share_it() {
    let bench = start(&a_gpu());
    bench.until_idle().await;
    let before = bench.counts();
    let together: Vec<_> = (0..10).map(|_| bench.ask(AFTER_A_CHANGE)).collect();
    for look in together {
        answered(look).await;
    }
    assert_eq!(since(before, bench.counts()), [1, 1, 0, 0], "ten in a row are one look");
}

#[tokio::test]
async fn who_asks_while_a_look_is_under_way_gets_a_later_one_with_all_the_others() {
    let bench = start(&a_gpu());
    bench.until_idle().await;
    let before = bench.counts();
    let hang = Arc::new(Notify::new());
    *bench.host.scan_hangs.lock().unwrap() = Some(Arc::clone(&hang));
    let first = bench.ask(AFTER_A_CHANGE);
    bench.turned().await;
    while since(before, bench.counts())[0] == 0 {
        tokio::task::yield_now().await;
    }
    // What is under way may have read before they wrote.
    let mut late: Vec<_> = (0..10).map(|_| bench.ask(AFTER_A_CHANGE)).collect();
    bench.turned().await;
    *bench.host.scan_hangs.lock().unwrap() = None;
    hang.notify_one();
    answered(first).await;
    for look in late.drain(..) {
        answered(look).await;
    }
    assert_eq!(since(before, bench.counts())[0], 2, "one for the first, one for all the others");
}

#[tokio::test]
async fn the_drivers_are_asked_about_the_bus_that_the_same_look_has_found() {
    let bench = start(&a_gpu());
    bench.until_idle().await;
    let before = bench.counts();
    bench.host.gpus.lock().unwrap().push(gpu("0000:42:00.0", Some("nvidia")));
    answered(bench.ask(AFTER_A_CHANGE)).await;
    let seen = Arc::clone(&bench.seen.borrow());
    assert!(seen.gpus.len() == 2 && seen.gpus.iter().all(|gpu| gpu.driver.is_some()), "{:?}", seen.gpus);
    assert_eq!(since(before, bench.counts()), [1, 1, 0, 0], "asked once, not before the scan and again after it");
}

#[tokio::test]
async fn a_source_that_never_answers_is_named_keeps_nobody_and_is_not_doubled() {
    let host = a_gpu();
    let bench = start(&host);
    bench.until_idle().await;
    let before = bench.counts();
    let hang = Arc::new(Notify::new());
    *host.scan_hangs.lock().unwrap() = Some(Arc::clone(&hang));
    let look = bench.ask(AFTER_A_CHANGE);
    while since(before, bench.counts())[0] == 0 {
        tokio::task::yield_now().await;
    }
    bench.turned().await;
    assert_eq!(since(before, bench.counts())[1], 0, "the drivers wait for the bus");
    bench.clock.advance(20_000);
    answered(look).await;
    let problems = bench.seen.borrow().scan_problems.clone();
    assert!(problems.iter().any(|problem| problem.contains("did not answer within 20 s")), "{problems:?}");
    for _ in 0..3 {
        bench.clock.advance(30_000);
        answered(bench.ask(AFTER_A_CHANGE)).await;
    }
    assert_eq!(since(before, bench.counts())[0], 1, "no second scan is sent after the one that hangs");
    *host.scan_hangs.lock().unwrap() = None;
    hang.notify_one();
    bench.until("the bus again", |o| o.scan_problems.is_empty() && o.gpus.len() == 1).await;
}
