//! The record over restarts, and records that cannot be used.

use super::*;
use engine::start::EngineParts;
use model::observation::HostObservation;
use model::roster::Card;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

const GPU: &str = "0000:41:00.0";

/// One run of the daemon, as far as the record is concerned.
struct Run {
    ends: EngineParts,
    acknowledge: Acknowledge,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Run {
    async fn start(state: &Path) -> Self {
        let (ends, cancel) = (EngineParts::default(), CancellationToken::new());
        let (acknowledge, keep) = start(state.to_owned(), ends.publisher(), UnixMillis(5), cancel.clone()).await;
        Self { ends, acknowledge, cancel, task: tokio::spawn(keep) }
    }

    fn sees(&self, at: i64, addresses: &[&str]) {
        let card = |address: &&str| Card {
            address: address.parse().unwrap(),
            id: "10de:2330".parse().unwrap(),
            name: Some("NVIDIA H100".to_owned()),
            uuid: Some(format!("GPU-{address}").replace([':', '.'], "-").parse().unwrap()),
            serial: None,
            removable: false,
        };
        let cards = addresses.iter().map(card).collect();
        self.ends.publisher().saw(Sight { at: UnixMillis(at), cards, unreadable: Vec::new() });
    }

    fn shown(&self) -> Arc<HostObservation> {
        self.ends.handle().observation.borrow().clone()
    }

    fn gone(&self) -> Vec<String> {
        self.shown().gone.iter().map(|known| known.card.address.to_string()).collect()
    }

    fn holds(&self, kind: &str) -> bool {
        self.shown().conditions.iter().any(|condition| condition.kind == kind)
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut observation = self.ends.handle().observation;
        let come_true = async {
            while !holds(self) {
                observation.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), come_true)
            .await
            .unwrap_or_else(|_| panic!("{what} has not come true"));
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn record(state: &TempDir) -> PathBuf {
    state.path().join(FILE)
}

/// Sees a GPU, and then not any more.
async fn missed(state: &Path) -> Run {
    let run = Run::start(state).await;
    run.sees(1_000, &[GPU]);
    tokio::task::yield_now().await;
    run.sees(2_000, &[]);
    run
}

#[tokio::test]
async fn what_is_gone_stays_gone_over_a_restart_until_somebody_knows() {
    let state = TempDir::new().unwrap();
    let run = Run::start(state.path()).await;
    run.sees(1_000, &[GPU]);
    wait_for(&record(&state)).await;
    run.stop().await;
    let mode = std::fs::metadata(record(&state)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // It is missing from the first look after the start on.
    let run = Run::start(state.path()).await;
    assert_eq!(run.gone(), Vec::<String>::new(), "before the first look nothing is claimed");
    run.sees(2_000, &[]);
    run.until("it is gone", |run| run.holds(GONE)).await;
    assert_eq!(run.gone(), [GPU]);
    run.stop().await;
    let run = Run::start(state.path()).await;
    assert!(run.gone() == [GPU] && run.holds(GONE), "it is told before anything was looked at");
    let other = run.acknowledge.gpu("0000:99:00.0".parse().unwrap()).await.unwrap_err();
    assert_eq!(other.code(), "not_found");
    run.acknowledge.gpu(GPU.parse().unwrap()).await.unwrap();
    assert!(run.gone().is_empty() && !run.holds(GONE));
    run.stop().await;
    let run = Run::start(state.path()).await;
    assert!(run.gone().is_empty() && !run.holds(GONE), "it is forgotten for good");
}

async fn wait_for(file: &Path) {
    let there = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), there).await.unwrap();
}

#[tokio::test]
async fn it_is_no_longer_gone_when_it_is_back() {
    let state = TempDir::new().unwrap();
    let run = Run::start(state.path()).await;
    run.sees(1_000, &[GPU]);
    wait_for(&record(&state)).await;
    run.sees(2_000, &[]);
    run.until("it is gone", |run| run.holds(GONE)).await;
    run.sees(3_000, &[GPU]);
    run.until("it is back", |run| !run.holds(GONE) && run.gone().is_empty()).await;
}

/// A damaged record claims neither that a GPU is gone nor that none is; it is kept, and a new one is begun.
#[tokio::test]
async fn a_damaged_record_is_kept_aside_and_told() {
    let state = TempDir::new().unwrap();
    std::fs::write(record(&state), "{\"schema\": 1, \"gpus\": [{").unwrap();
    let run = Run::start(state.path()).await;
    assert!(run.holds(UNREADABLE) && run.gone().is_empty());
    run.sees(1_000, &[GPU]);
    run.sees(2_000, &[GPU]);
    let kept = || std::fs::read_to_string(record(&state)).unwrap();
    let written = async {
        while decode(kept().as_bytes()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.unwrap();
    assert_eq!(std::fs::read_to_string(state.path().join(DAMAGED)).unwrap(), "{\"schema\": 1, \"gpus\": [{");
    run.stop().await;
    assert!(!Run::start(state.path()).await.holds(UNREADABLE));
}

/// What was not understood is not written over: a later version's record, a link, a folder.
#[tokio::test]
async fn a_record_of_a_later_version_and_what_is_no_file_stay_as_they_are() {
    let later = "{\"schema\": 2, \"cards\": {}}";
    let state = TempDir::new().unwrap();
    std::fs::write(record(&state), later).unwrap();
    let run = missed(state.path()).await;
    assert!(run.holds(UNREADABLE));
    run.stop().await;
    assert_eq!(std::fs::read_to_string(record(&state)).unwrap(), later);
    let state = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", record(&state)).unwrap();
    let run = missed(state.path()).await;
    assert!(run.holds(UNREADABLE));
    run.stop().await;
    assert!(std::fs::symlink_metadata(record(&state)).unwrap().is_symlink());
}

/// Where nothing can be written the daemon still tells what it sees; what nobody could write down is not acknowledged.
#[tokio::test]
async fn a_folder_that_cannot_be_written_to_hides_nothing() {
    let state = TempDir::new().unwrap();
    let folder = state.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    let run = Run::start(&folder).await;
    run.sees(1_000, &[GPU]);
    wait_for(&folder.join(FILE)).await;
    std::fs::remove_dir_all(&folder).unwrap();
    run.sees(2_000, &[]);
    run.until("it is gone", |run| run.holds(GONE)).await;
    let refusal = run.acknowledge.gpu(GPU.parse().unwrap()).await.unwrap_err();
    assert_eq!(refusal.code(), "host_fault");
    assert!(run.holds(GONE) && run.gone() == [GPU]);
}
