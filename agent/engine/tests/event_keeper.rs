//! The task that keeps events, on a simulated disk and in virtual time: what is published becomes events, and a crash at any write loses
//! none that was on disk and reports nothing twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use engine::event_keeper::{EventKeeper, EventKeeperParts};
use engine::event_port::EventTaker;
use engine::publish::Publisher;
use engine::start::EngineParts;
use model::Reading;
use model::enrol::CheckinStatus;
use model::event::{EventKind, EventQuery, EventSeverity, EventSpool, HostEvent, Occurrence, SPOOL_MOST, SpoolWrite};
use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
use model::ports::Clock;
use model::roster::{Card, Sight};
use model::settings::Settings;
use model::time::{BootMillis, UnixMillis};
use sim::{SimEventLog, SimHost};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Time of the runtime, which goes on by itself where everybody waits.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(1_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }

    async fn sleep_until(&self, when: BootMillis) {
        sleep(Duration::from_millis(when.since(self.boot_now()))).await;
    }
}

static IDS: AtomicU64 = AtomicU64::new(0);

/// One run of the keeper.
struct Run {
    publisher: Arc<Publisher>,
    settings: watch::Sender<Arc<Settings>>,
    checkin: watch::Sender<Arc<CheckinStatus>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn host() -> HostObservation {
    let sim = SimHost::new(sim::load("hgx-h100").unwrap()).unwrap();
    let first = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
    let mut seen = judge(sim.asked(), first, None);
    seen.host.boot_id = Reading::Known("boot-1".to_owned());
    seen
}

fn sight(seen: &HostObservation) -> Sight {
    let card = |gpu: &model::observation::Gpu| Card {
        address: gpu.pci.address,
        id: gpu.pci.id,
        name: None,
        uuid: None,
        serial: None,
        removable: false,
    };
    Sight { at: UnixMillis(1), cards: seen.gpus.iter().map(card).collect(), unreadable: Vec::new() }
}

impl Run {
    /// Starts on that disk, with so many of the host's GPUs.
    fn start(disk: &SimEventLog, gpus: usize) -> Self {
        let publisher = EngineParts::default().publisher();
        let (settings, checkin) = (watch::Sender::default(), watch::Sender::default());
        let cancel = CancellationToken::new();
        let keeper = EventKeeper::new(EventKeeperParts {
            log: Arc::new(disk.clone()),
            clock: Arc::new(VirtualClock(Instant::now())),
            publisher: Arc::clone(&publisher),
            jobs: watch::channel(Arc::default()).1,
            settings: settings.subscribe(),
            checkin: checkin.subscribe(),
            version: "0.1.0".to_owned(),
            new_id: || format!("id-{}", IDS.fetch_add(1, Ordering::Relaxed)),
        });
        let run = Self { publisher, settings, checkin, cancel: cancel.clone(), task: tokio::spawn(keeper.run(cancel)) };
        run.show(gpus);
        run
    }

    fn show(&self, gpus: usize) {
        let mut seen = host();
        seen.gpus.truncate(gpus);
        self.publisher.saw(sight(&seen));
        self.publisher.publish(seen);
    }

    fn happens(&self, message: &str) {
        self.publisher.occur(Occurrence::new(EventKind::DiskReserve, "", EventSeverity::Warning, message));
    }

    async fn kept(&self) -> Vec<HostEvent> {
        let query = EventQuery { after: 0, since: None, most: 500 };
        self.publisher.events().page(query).await.map(|page| page.events).unwrap_or_default()
    }

    async fn until(&self, what: impl Fn(&[HostEvent]) -> bool) -> Vec<HostEvent> {
        for _ in 0..2000 {
            let kept = self.kept().await;
            if what(&kept) {
                return kept;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("it never comes: {:#?}", self.kept().await)
    }

    fn condition(&self, kind: &str) -> Option<String> {
        let shown = self.publisher.shown().borrow().conditions.clone();
        shown.iter().find(|held| held.kind == kind).map(|held| held.message.clone())
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }

    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn names(events: &[HostEvent]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", event.what.kind.name(), event.what.subject).trim().to_owned()).collect()
}

fn count(events: &[HostEvent], kind: EventKind) -> usize {
    events.iter().filter(|event| event.what.kind == kind).count()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_becomes_events_and_a_restart_reports_what_changed_meanwhile() {
    let disk = SimEventLog::default();
    let run = Run::start(&disk, 8);
    run.happens("by hand");
    let kept =
        run.until(|kept| count(kept, EventKind::DiskReserve) == 1 && count(kept, EventKind::GpuAdded) == 8).await;
    assert!(names(&kept).contains(&"agent.started".to_owned()));
    let mut settings = Settings::default();
    settings.agent.sample_interval_s = 7;
    run.settings.send_replace(Arc::new(settings));
    run.until(|kept| count(kept, EventKind::AgentConfigChanged) == 1).await;
    run.stop().await;
    let run = Run::start(&disk, 7);
    let kept = run.until(|kept| count(kept, EventKind::AgentStarted) == 2).await;
    let kept = run.until(|now| now.len() >= kept.len() && count(now, EventKind::GpuRemoved) == 1).await;
    assert_eq!(count(&kept, EventKind::GpuAdded), 8);
    assert_eq!(count(&kept, EventKind::AgentStopping), 1);
    assert!(kept.windows(2).all(|two| two[0].seq < two[1].seq));
    assert!(kept.iter().all(|event| event.boot_id == "boot-1"));
    run.stop().await;
}

/// Each of them is a look, and so a write, of its own.
async fn happen(run: &Run) {
    for message in ["one", "two", "three"] {
        run.happens(message);
        sleep(Duration::from_millis(600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_loses_no_event_that_was_on_disk_and_reports_no_gpu_twice() {
    // As many writes as there are without a crash.
    let writes = {
        let disk = SimEventLog::default();
        let run = Run::start(&disk, 8);
        happen(&run).await;
        run.kill().await;
        disk.disk(|disk| disk.begun)
    };
    assert!(writes >= 3, "{writes} writes");
    for at in 1..=writes {
        for cut in [0, 1, 30, 200, usize::MAX] {
            let disk = SimEventLog::default();
            disk.disk(|disk| disk.crash = Some((at, cut)));
            let run = Run::start(&disk, 8);
            happen(&run).await;
            assert_eq!(disk.disk(|disk| disk.begun), at, "the write in which it is killed is never reached");
            let before = disk.disk(|disk| disk.content.clone());
            run.kill().await;
            disk.disk(|disk| disk.crash = None);
            let run = Run::start(&disk, 8);
            let kept = run.until(|kept| count(kept, EventKind::AgentStarted) >= 1).await;
            assert_eq!(count(&kept, EventKind::GpuAdded), 8, "write {at} cut at {cut}: {:?}", names(&kept));
            let text = before.and_then(Result::ok).map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default();
            for message in ["one", "two", "three"] {
                let whole = text.split_inclusive('\n').any(|line| line.ends_with('\n') && line.contains(message));
                let is_kept = kept.iter().any(|event| event.what.message == message);
                assert!(is_kept || !whole, "write {at} cut at {cut}: {message} was on disk");
            }
            let seqs: Vec<u64> = kept.iter().map(|event| event.seq).collect();
            assert!(seqs.windows(2).all(|two| two[0] < two[1]), "{seqs:?}");
            run.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_written_events_are_kept_in_memory_and_written_when_it_can() {
    let disk = SimEventLog::default();
    disk.disk(|disk| disk.refuses = Some("No space left on device".to_owned()));
    let run = Run::start(&disk, 8);
    run.checkin.send_replace(Arc::new(CheckinStatus { server_id: Some("a".to_owned()), ..CheckinStatus::default() }));
    run.happens("one");
    run.until(|kept| count(kept, EventKind::DiskReserve) == 1).await;
    sleep(Duration::from_secs(60)).await;
    let message = run.condition("events_not_stored").expect("the condition");
    assert!(message.contains("the simulated spool") && message.contains("No space left"), "{message}");
    assert!(!run.publisher.events().batch("a", 500, None).await.events.is_empty(), "they are delivered from memory");
    let begun = disk.disk(|disk| disk.begun);
    assert!(begun < 6, "{begun} tries within a minute");
    disk.disk(|disk| disk.refuses = None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(run.condition("events_not_stored"), None);
    run.kill().await;
    let run = Run::start(&disk, 8);
    run.until(|kept| count(kept, EventKind::DiskReserve) == 1 && count(kept, EventKind::AgentStarted) == 2).await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_cannot_be_read_is_not_written_over_and_read_when_it_can() {
    let disk = SimEventLog::default();
    let run = Run::start(&disk, 8);
    run.happens("before");
    run.until(|kept| count(kept, EventKind::DiskReserve) == 1).await;
    run.stop().await;
    let content = disk.disk(|disk| disk.content.replace(Err("Input/output error".to_owned())));
    let run = Run::start(&disk, 8);
    run.happens("meanwhile");
    let kept = run.until(|kept| count(kept, EventKind::DiskReserve) == 1).await;
    assert_eq!(count(&kept, EventKind::GpuAdded), 0, "what was seen before is not known, so that nothing is new");
    assert!(run.condition("events_not_stored").unwrap().contains("Input/output error"));
    disk.disk(|disk| disk.content = content);
    let kept = run.until(|kept| count(kept, EventKind::DiskReserve) == 2).await;
    assert_eq!(kept.last().unwrap().what.message, "meanwhile");
    assert_eq!(run.condition("events_not_stored"), None);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_later_version_wrote_is_never_written_over() {
    let disk = SimEventLog::default();
    let file = b"dfccb1c3 {\"head\":{\"schema\":9}}\n".to_vec();
    disk.disk(|disk| disk.content = Some(Ok(file.clone())));
    let run = Run::start(&disk, 8);
    run.happens("one");
    run.until(|kept| count(kept, EventKind::DiskReserve) == 1).await;
    sleep(Duration::from_secs(120)).await;
    assert!(run.condition("events_not_stored").unwrap().contains("its schema is 9"));
    run.stop().await;
    assert_eq!(disk.disk(|disk| disk.content.clone()), Some(Ok(file)));
}

/// A disk with as many events as are kept, none of which the manager has.
fn full() -> SimEventLog {
    let mut spool = EventSpool::empty(0);
    spool.own("a");
    let old = Occurrence::new(EventKind::DiskReserve, "", EventSeverity::Warning, "old");
    spool.turn((UnixMillis(1), false), vec![old; SPOOL_MOST], None, || "id".to_owned());
    let Some(SpoolWrite::Whole(file)) = spool.next_write() else { panic!("a whole file") };
    let disk = SimEventLog::default();
    disk.disk(|disk| disk.content = Some(Ok(file)));
    disk
}

#[tokio::test(start_paused = true)]
async fn events_count_as_dropped_only_while_a_manager_that_takes_them_is_behind() {
    let run = Run::start(&full(), 8);
    run.checkin.send_replace(Arc::new(CheckinStatus { server_id: Some("a".to_owned()), ..CheckinStatus::default() }));
    let events = run.publisher.events();
    let happens_to = async |taker: EventTaker, message: &str| {
        events.note_taker(taker);
        sleep(Duration::from_secs(1)).await;
        run.happens(message);
        sleep(Duration::from_secs(1)).await;
        let after = events.shown().borrow().newest - 1;
        let page = events.page(EventQuery { after, since: None, most: 1 }).await.unwrap();
        assert_eq!(page.events[0].what.message, message, "it is shown");
        (run.condition("events_dropped").is_some(), events.shown().borrow().deliverable.is_some())
    };
    sleep(Duration::from_secs(60)).await;
    assert_eq!(happens_to(EventTaker::Unknown, "one").await, (false, true), "it is not known whether it takes events");
    assert_eq!(happens_to(EventTaker::Takes, "two").await, (true, true));
    assert_eq!(happens_to(EventTaker::TakesNone, "three").await, (false, true));
    assert_eq!(happens_to(EventTaker::NoManager, "four").await, (false, true), "the check-in is enrolled");
    run.checkin.send_replace(Arc::default());
    assert_eq!(happens_to(EventTaker::NoManager, "five").await, (false, false));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_bounded_in_writes_and_in_memory() {
    let disk = SimEventLog::default();
    let run = Run::start(&disk, 8);
    run.until(|kept| count(kept, EventKind::GpuAdded) == 8).await;
    let before = disk.disk(|disk| disk.begun);
    for turn in 0..100 {
        run.show(if turn % 2 == 0 { 7 } else { 8 });
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(2)).await;
    let writes = disk.disk(|disk| disk.begun) - before;
    assert!(writes <= 6, "{writes} writes within a second");
    let answered = timeout(Duration::from_secs(1), run.kept()).await;
    assert!(answered.is_ok());
    run.stop().await;
}
