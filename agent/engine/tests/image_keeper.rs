//! The task that keeps images, on a simulated Docker and in virtual time: only what gpuhostd has pulled goes, and never what is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use engine::images::{ImageKeeper, ImageKeeperParts};
use engine::publish::Publisher;
use engine::start::EngineParts;
use model::absence::Reading;
use model::event::{EventKind, Occurrence};
use model::host_facts::DiskUsage;
use model::image_ref::{ImageDigest, ImageRef};
use model::judge::{ObservationMeta, judge};
use model::ports::{Clock, ImagePort};
use model::prune_mode::PruneMode;
use model::registry_login::RegistryLoginsSeen;
use model::settings::{ImagesSettings, Settings};
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::{
    ImageAsk, ImagesRecord, StoredImage, WhyKept, WishedImages, WorkspaceFacts, WorkspacesState,
};
use sim::workspace_docker::{SimEngine, SimWorkspaceRun};
use sim::{SimHost, SimLedger};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3_600);
const GB: u64 = 1_000_000_000;

/// Time of the runtime, on both clocks.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(self.0.elapsed().as_millis().try_into().unwrap())
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(1_790_000_000_000 + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    async fn sleep_until(&self, when: BootMillis) {
        sleep(Duration::from_millis(when.since(self.boot_now()))).await;
    }
}

/// Docker, with a count of the questions that it was asked.
struct Counted {
    host: SimHost,
    lists: AtomicUsize,
}

impl ImagePort for Counted {
    async fn list_stored_images(&self) -> Result<Vec<StoredImage>, String> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.host.list_stored_images().await
    }

    async fn remove_stored_image(&self, id: &ImageDigest) -> Result<(), String> {
        self.host.remove_stored_image(id).await
    }

    async fn read_registry_logins(&self) -> Result<RegistryLoginsSeen, String> {
        self.host.read_registry_logins().await
    }

    async fn read_docker_disk(&self, docker_root: String) -> Reading<DiskUsage> {
        self.host.read_docker_disk(docker_root).await
    }
}

struct Bench {
    port: Arc<Counted>,
    ledger: SimLedger,
    publisher: Arc<Publisher>,
    happened: mpsc::Receiver<Occurrence>,
    settings: watch::Sender<Arc<Settings>>,
    clock: Arc<VirtualClock>,
    cancel: CancellationToken,
}

impl Bench {
    fn new(prune: PruneMode) -> Self {
        let host = SimHost::new(sim::load("hgx-h100").unwrap()).unwrap();
        let images = ImagesSettings { prune, ..ImagesSettings::default() };
        let settings = watch::channel(Arc::new(Settings { images, ..Settings::default() })).0;
        let port = Arc::new(Counted { host, lists: AtomicUsize::new(0) });
        let clock = Arc::new(VirtualClock(Instant::now()));
        Self::with((port, SimLedger::default(), settings, clock))
    }

    fn with(
        (port, ledger, settings, clock): (Arc<Counted>, SimLedger, watch::Sender<Arc<Settings>>, Arc<VirtualClock>),
    ) -> Self {
        let publisher = EngineParts::default().publisher();
        let first = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
        publisher.publish(judge(port.host.asked(), first, None));
        let happened = publisher.take_occurrences().unwrap();
        publisher.images().show_nvidia(BTreeSet::new());
        publisher.images().show_documents(Some(WishedImages::default()));
        let bench = Self { port, ledger, publisher, happened, settings, clock, cancel: CancellationToken::new() };
        let keeper = ImageKeeper::new(ImageKeeperParts {
            port: Arc::clone(&bench.port),
            ledger: Arc::new(bench.ledger.clone()),
            clock: Arc::clone(&bench.clock),
            publisher: Arc::clone(&bench.publisher),
            settings: bench.settings.subscribe(),
        });
        tokio::spawn(keeper.run(bench.cancel.clone()));
        bench
    }

    /// The daemon is started again.
    async fn again(self) -> Self {
        self.cancel.cancel();
        sleep(Duration::from_secs(1)).await;
        Self::with((self.port, self.ledger, self.settings, self.clock))
    }

    /// gpuhostd pulls it.
    async fn pull(&self, letter: &str) -> ImageRef {
        let image = image(letter);
        self.publisher.images().pull_begins(&image);
        sleep(Duration::from_millis(10)).await;
        self.docker(|docker| docker.have(image.digest().unwrap().clone()));
        image
    }

    fn docker<T>(&self, look: impl FnOnce(&mut SimEngine) -> T) -> T {
        self.port.host.workspaces(look)
    }

    fn here(&self) -> Vec<String> {
        let all = self.docker(|docker| docker.stored_images().unwrap());
        let digests = all.into_iter().flat_map(|one| one.digests);
        digests.map(|digest| digest.as_str().chars().last().unwrap().to_string()).collect()
    }

    fn kept(&self) -> ImagesRecord {
        let bytes = self.ledger.disk(|disk| disk.content.clone()).unwrap().unwrap();
        ImagesRecord::decode(&bytes).unwrap()
    }

    fn happened(&mut self) -> Vec<(EventKind, Option<String>)> {
        std::iter::from_fn(|| self.happened.try_recv().ok()).map(|one| (one.kind, one.code)).collect()
    }

    fn is_short(&self) -> bool {
        self.publisher.shown().borrow().conditions.iter().any(|one| one.kind == "disk_reserve")
    }

    async fn why(&self, letter: &str) -> Option<WhyKept> {
        sleep(Duration::from_secs(3)).await;
        let state = self.publisher.images().ask(ImageAsk::Look(None)).await.unwrap().state;
        let of = image(letter);
        let row = state.images.iter().find(|row| row.image.digests.contains(of.digest().unwrap())).unwrap();
        row.kept
    }
}

fn image(letter: &str) -> ImageRef {
    format!("registry.example/lab/of-{letter}@sha256:{}", letter.repeat(64)).parse().unwrap()
}

/// Images that workspaces need.
fn needed(letters: &[&str]) -> WishedImages {
    WishedImages { needed: letters.iter().copied().map(image).collect(), ..WishedImages::default() }
}

#[tokio::test(start_paused = true)]
async fn what_gpuhostd_pulled_goes_a_day_after_it_was_needed_and_nothing_else_ever() {
    let mut bench = Bench::new(PruneMode::Normal);
    bench.docker(|docker| docker.have(image("e").digest().unwrap().clone()));
    for letter in ["a", "b", "c", "d"] {
        bench.pull(letter).await;
    }
    assert_eq!(bench.kept().ours.len(), 4, "a power failure now forgets none");
    bench.publisher.images().show_documents(Some(needed(&["b"])));
    let facts = WorkspaceFacts { name: "x".to_owned(), image: image("c").to_string(), ..WorkspaceFacts::default() };
    bench.docker(|docker| drop(docker.add_stranger(facts, SimWorkspaceRun::Created)));
    bench.docker(|docker| docker.tag_image(image("d").digest().unwrap(), "mine:1"));
    sleep(HOUR / 2).await;
    assert_eq!(bench.why("a").await, Some(WhyKept::PulledJustNow));
    sleep(12 * HOUR).await;
    assert_eq!(bench.why("a").await, Some(WhyKept::NeededRecently));
    assert_eq!(bench.here(), ["a", "b", "c", "d", "e"]);
    sleep(14 * HOUR).await;
    assert_eq!(bench.here(), ["b", "c", "d", "e"]);
    for (letter, why) in
        [("b", WhyKept::Wished), ("c", WhyKept::InUse), ("d", WhyKept::Tagged), ("e", WhyKept::NotOurs)]
    {
        assert_eq!(bench.why(letter).await, Some(why), "{letter}");
    }
    assert_eq!(bench.happened(), [(EventKind::ImagePruned, None)]);
    assert!(!bench.kept().ours.contains_key(&image("a")), "another user may pull it now: it is theirs");

    // A restart remembers.
    let bench = bench.again().await;
    bench.publisher.images().show_documents(Some(WishedImages::default()));
    sleep(30 * HOUR).await;
    assert_eq!(bench.here(), ["c", "d", "e"], "nothing names b any more");
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_read_keeps_everything_also_on_a_full_disk() {
    let bench = Bench::new(PruneMode::Aggressive);
    bench.publisher.images().show_documents(None);
    bench.pull("a").await;
    sleep(48 * HOUR).await;
    assert_eq!(bench.why("a").await, Some(WhyKept::WishUnknown));
    bench.docker(|docker| docker.set_image_room(420_000_000));
    sleep(48 * HOUR).await;
    assert_eq!(bench.here(), ["a"]);
    bench.publisher.images().show_documents(Some(WishedImages::default()));
    sleep(2 * HOUR).await;
    assert!(bench.here().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_short_disk_is_emptied_until_its_reserve_is_free_and_no_further() {
    let mut bench = Bench::new(PruneMode::Emergency);
    for letter in ["a", "b", "c", "d"] {
        bench.pull(letter).await;
        sleep(HOUR).await;
    }
    // 4 x 0.4 GB of 2 GB: 0.4 GB are free, and the reserve is 0.2 GB.
    bench.docker(|docker| docker.set_image_room(2 * GB));
    sleep(48 * HOUR).await;
    assert_eq!((bench.here().len(), bench.is_short()), (4, false), "the disk has room");
    // 0.1 GB are free: one has to go, the one that was not needed for the longest time.
    bench.docker(|docker| docker.set_image_room(1_700_000_000));
    sleep(2 * HOUR).await;
    assert_eq!(bench.here(), ["b", "c", "d"]);
    assert!(!bench.is_short(), "it is free again");
    let happened = bench.happened();
    let short = (EventKind::DiskReserve, Some("disk_short".to_owned()));
    assert_eq!(happened, [short.clone(), (EventKind::ImagePruned, None), (EventKind::DiskReserve, None)]);

    // What is wished stays whatever happens, and that is shown.
    bench.publisher.images().show_documents(Some(needed(&["b", "c", "d"])));
    bench.docker(|docker| docker.set_image_room(GB));
    sleep(2 * HOUR).await;
    assert_eq!((bench.here().len(), bench.is_short()), (3, true));
    assert_eq!(bench.happened(), [short], "once");
}

#[tokio::test(start_paused = true)]
async fn off_removes_nothing_on_a_full_disk_and_a_person_still_can() {
    let bench = Bench::new(PruneMode::Off);
    bench.pull("a").await;
    bench.docker(|docker| docker.set_image_room(420_000_000));
    sleep(48 * HOUR).await;
    assert_eq!((bench.here().len(), bench.is_short()), (1, true));
    assert_eq!(bench.why("a").await, Some(WhyKept::PruneIsOff));
    let answer = bench.publisher.images().ask(ImageAsk::Prune(PruneMode::Normal)).await.unwrap();
    assert_eq!(answer.said, "1 image was removed, 381 MiB");
    assert!(bench.here().is_empty() && answer.state.images.is_empty());
    let answer = bench.publisher.images().ask(ImageAsk::Prune(PruneMode::Aggressive)).await.unwrap();
    assert_eq!(answer.said, "no image was removed");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_images_of_gpuhostd_is_not_asked() {
    let bench = Bench::new(PruneMode::Aggressive);
    bench.docker(|docker| docker.have(image("e").digest().unwrap().clone()));
    sleep(48 * HOUR).await;
    assert_eq!(bench.port.lists.load(Ordering::Relaxed), 0);
    for _ in 0..1000 {
        bench.publisher.images().ask(ImageAsk::Look(None)).await.unwrap();
    }
    assert_eq!(bench.port.lists.load(Ordering::Relaxed), 1, "however many look");
}

#[tokio::test(start_paused = true)]
async fn a_lost_record_removes_nothing_and_one_of_a_later_version_stays_as_it_is() {
    let bench = Bench::new(PruneMode::Aggressive);
    bench.pull("a").await;
    bench.ledger.disk(|disk| disk.content = Some(Ok(b"{\"schema\":1,\"ima".to_vec())));
    let bench = bench.again().await;
    sleep(48 * HOUR).await;
    assert_eq!(bench.why("a").await, Some(WhyKept::NotOurs));
    bench.pull("b").await;
    sleep(48 * HOUR).await;
    assert_eq!(bench.here(), ["a"]);

    let later = br#"{"schema":9,"images":{}}"#.to_vec();
    bench.ledger.disk(|disk| disk.content = Some(Ok(later.clone())));
    let bench = bench.again().await;
    bench.pull("c").await;
    sleep(48 * HOUR).await;
    assert!(bench.publisher.images().ask(ImageAsk::Prune(PruneMode::Aggressive)).await.is_err());
    assert_eq!(bench.here(), ["a", "c"]);
    assert_eq!(bench.ledger.disk(|disk| disk.content.clone()), Some(Ok(later)), "nothing of it is lost");
}

#[tokio::test(start_paused = true)]
async fn docker_that_does_not_answer_costs_nothing_but_time() {
    let bench = Bench::new(PruneMode::Aggressive);
    bench.pull("a").await;
    bench.docker(SimEngine::kill);
    sleep(6 * HOUR).await;
    assert!(bench.publisher.images().ask(ImageAsk::Look(None)).await.is_err());
    assert!(bench.publisher.images().shown().borrow().unknown.is_some());
    bench.docker(SimEngine::come_up);
    sleep(6 * HOUR).await;
    assert!(bench.here().is_empty());
}

#[tokio::test(start_paused = true)]
async fn docker_is_asked_each_hour_and_more_often_only_while_the_record_cannot_be_written() {
    let bench = Bench::new(PruneMode::Normal);
    let lists = || bench.port.lists.load(Ordering::Relaxed);
    bench.settings.send_modify(|_| {});
    bench.pull("a").await;
    bench.publisher.show_workspaces(WorkspacesState { is_looked: true, ..WorkspacesState::default() });
    bench.publisher.images().show_documents(Some(needed(&["a"])));
    sleep(Duration::from_secs(50)).await;
    assert_eq!(lists(), 0, "after a start the workspaces come first");
    sleep(10 * HOUR).await;
    assert!((8..=20).contains(&lists()), "{}", lists());

    bench.ledger.disk(|disk| disk.refuses = Some("no space".to_owned()));
    bench.pull("b").await;
    sleep(Duration::from_secs(120)).await;
    assert!(!bench.kept().ours.contains_key(&image("b")));
    bench.ledger.disk(|disk| disk.refuses = None);
    sleep(Duration::from_secs(40)).await;
    assert!(bench.kept().ours.contains_key(&image("b")), "it is tried again soon");
    let before = lists();
    sleep(5 * HOUR).await;
    assert!(lists() - before <= 10, "{before}, {}", lists());
}

#[tokio::test(start_paused = true)]
async fn a_size_that_no_disk_has_removes_nothing_and_what_is_only_listed_goes_for_a_workspace_alone() {
    let bench = Bench::new(PruneMode::Emergency);
    bench.pull("a").await;
    bench.pull("b").await;
    let listed = WishedImages { listed: [image("b")].into(), ..WishedImages::default() };
    bench.publisher.images().show_documents(Some(listed));
    // 1.2 GB are free.
    bench.docker(|docker| docker.set_image_room(2 * GB));
    let want = async |workspaces, ahead| {
        let state = WorkspacesState {
            is_looked: true,
            disk_wanted_bytes: workspaces,
            disk_wanted_ahead_bytes: ahead,
            ..WorkspacesState::default()
        };
        bench.publisher.show_workspaces(state);
        sleep(2 * HOUR).await;
        bench.here()
    };
    assert_eq!(want(u64::MAX, u64::MAX).await, ["a", "b"]);
    assert_eq!(want(0, 1_700_000_000).await, ["a", "b"], "what is only listed does not go for another one of its kind");
    assert_eq!(want(0, 1_500_000_000).await, ["b"]);
    assert_eq!(want(0, 1_900_000_000).await, ["b"]);
    assert!(want(1_900_000_000, 0).await.is_empty());
}
