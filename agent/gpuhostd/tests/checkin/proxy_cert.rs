//! The certificate of the workspace proxy on real files: installed as a pair, kept when the next one does not fit, watched.

use crate::clock::VirtualClock;
use crate::world::Host;
use engine::publish::Publisher;
use gpuhostd::proxy_cert::{ProxyCertParts, run};
use model::desired::{Desired, DesiredProxy, DesiredState, WishText};
use model::policy::Policy;
use model::ports::Clock;
use model::proxy_cert::ProxyOutcome;
use model::settings::{ProxySettings, Settings};
use rcgen::{CertificateParams, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const DAY_MS: u64 = 86_400_000;

struct Bench {
    clock: Arc<VirtualClock>,
    publisher: Arc<Publisher>,
    desired: watch::Sender<Arc<DesiredState>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    dir: PathBuf,
}

/// Certificate and key, as long as it is good from now on.
fn pair(host: &Host, name: &str, days: u64) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let end_s = host.clock.wall_now().0 / 1000 + i64::try_from(days * DAY_MS / 1000).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after =
        params.not_before + std::time::Duration::from_secs(u64::try_from(end_s - 1_577_836_800).unwrap());
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn wish((cert, key): &(String, String), name: &str) -> DesiredState {
    let mut state = DesiredState::default();
    let text = |text: &str| Desired::Value(WishText::new(text));
    state.local.wishes.proxy =
        DesiredProxy { cert: text(cert), key: text(key), server_name: Desired::Value(name.to_owned()) };
    state
}

async fn start(host: &Host, first: DesiredState) -> Bench {
    let dir = host.state.path().join("proxy");
    let publisher = Arc::new(Publisher::new(crate::world::bare_host()));
    let proxy = ProxySettings { directory: dir.display().to_string() };
    let (desired, wishes) = watch::channel(Arc::new(first));
    let parts = ProxyCertParts {
        clock: Arc::clone(&host.clock),
        publisher: Arc::clone(&publisher),
        desired: wishes,
        settings: watch::Sender::new(Arc::new(Settings { proxy, ..Settings::default() })).subscribe(),
        policy: watch::Sender::new(Arc::new(Policy::default())).subscribe(),
        locked: watch::Sender::new(false).subscribe(),
        checkin: watch::Sender::default().subscribe(),
    };
    let cancel = CancellationToken::new();
    let task = tokio::spawn(run(parts, cancel.clone()));
    let _ = host.clock.rest().await;
    Bench { clock: Arc::clone(&host.clock), publisher, desired, cancel, task, dir }
}

impl Bench {
    fn outcome(&self) -> String {
        match &self.publisher.proxy().borrow().outcome {
            ProxyOutcome::NotLooked => "not looked".to_owned(),
            ProxyOutcome::Installed => "installed".to_owned(),
            ProxyOutcome::Refused(why) | ProxyOutcome::NotWritten(why) => why.code.clone(),
        }
    }

    fn condition(&self) -> Option<String> {
        let shown = self.publisher.shown();
        let shown = shown.borrow();
        shown.conditions.iter().find(|one| one.kind == "proxy_certificate").map(|one| one.reason.clone())
    }

    fn on_disk(&self) -> (String, String) {
        let read = |name: &str| std::fs::read_to_string(self.dir.join("current").join(name)).unwrap();
        (read("cert.pem").trim().to_owned(), read("key.pem").trim().to_owned())
    }

    async fn wish(&self, state: DesiredState) {
        self.clock.wake_by(|| self.desired.send_replace(Arc::new(state))).await;
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn trimmed((cert, key): &(String, String)) -> (String, String) {
    (cert.trim().to_owned(), key.trim().to_owned())
}

#[tokio::test]
async fn a_pair_is_installed_replaced_as_a_whole_and_kept_when_the_next_one_does_not_fit() {
    let host = Host::new();
    let (old, new) = (pair(&host, "gpu-7.example", 90), pair(&host, "gpu-7.example", 365));
    let bench = start(&host, wish(&old, "gpu-7.example")).await;
    assert_eq!((bench.outcome().as_str(), bench.on_disk()), ("installed", trimmed(&old)));
    let key = std::fs::metadata(bench.dir.join("current/key.pem")).unwrap().permissions().mode();
    assert_eq!(key & 0o777, 0o600);
    // The certificate was renewed, and the key of before was sent along.
    let mixed = (new.0.clone(), old.1.clone());
    for (wished, name, code) in [
        (&mixed, "gpu-7.example", "proxy_key_mismatch"),
        (&new, "gpu-8.example", "proxy_certificate_other_name"),
        (&(String::new(), new.1.clone()), "gpu-7.example", "proxy_certificate_invalid"),
    ] {
        bench.wish(wish(wished, name)).await;
        assert_eq!((bench.outcome().as_str(), bench.condition().as_deref()), (code, Some(code)));
        assert_eq!(bench.on_disk(), trimmed(&old), "{code}");
    }
    bench.wish(wish(&new, "gpu-7.example")).await;
    assert_eq!((bench.outcome().as_str(), bench.condition(), bench.on_disk()), ("installed", None, trimmed(&new)));
    assert_eq!(std::fs::read_dir(&bench.dir).unwrap().count(), 3, "the link, the pair and the one before");
    bench.wish(DesiredState::default()).await;
    assert_eq!(bench.on_disk(), trimmed(&new), "without a wish it stays");
    bench.stop().await;
}

#[tokio::test]
async fn what_is_there_is_not_written_again_and_a_damaged_file_is() {
    let host = Host::new();
    let good = pair(&host, "gpu-7.example", 90);
    start(&host, wish(&good, "gpu-7.example")).await.stop().await;
    let key = host.state.path().join("proxy/current/key.pem");
    let before = std::fs::metadata(&key).unwrap().modified().unwrap();
    let bench = start(&host, wish(&good, "gpu-7.example")).await;
    assert_eq!((bench.outcome().as_str(), std::fs::metadata(&key).unwrap().modified().unwrap()), ("installed", before));
    bench.stop().await;
    std::fs::write(&key, "another").unwrap();
    let bench = start(&host, wish(&good, "gpu-7.example")).await;
    assert_eq!((bench.outcome().as_str(), bench.on_disk()), ("installed", trimmed(&good)));
    bench.stop().await;
}

#[tokio::test]
async fn its_end_is_told_before_and_after_also_when_nobody_wishes_it_any_more() {
    let host = Host::new();
    let short = pair(&host, "gpu-7.example", 20);
    let bench = start(&host, wish(&short, "gpu-7.example")).await;
    assert_eq!(bench.condition(), None);
    bench.clock.advance(7 * DAY_MS).await;
    assert_eq!(bench.condition().as_deref(), Some("expires_soon"));
    bench.clock.advance(14 * DAY_MS).await;
    assert_eq!(bench.condition().as_deref(), Some("proxy_certificate_expired"), "the wish is for one that is over");
    assert_eq!(bench.on_disk(), trimmed(&short), "and it stays until there is a better one");
    bench.stop().await;
    let bench = start(&host, DesiredState::default()).await;
    assert_eq!(bench.condition().as_deref(), Some("expired"), "after a restart without a wish");
    bench.stop().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_and_tried_again() {
    let host = Host::new();
    std::fs::write(host.state.path().join("proxy"), "in the way").unwrap();
    let good = pair(&host, "gpu-7.example", 90);
    let bench = start(&host, wish(&good, "gpu-7.example")).await;
    assert_eq!(bench.outcome(), "proxy_certificate_not_written");
    let shown = format!("{:?} {:?}", bench.publisher.proxy().borrow(), bench.publisher.shown().borrow().conditions);
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    std::fs::remove_file(host.state.path().join("proxy")).unwrap();
    bench.clock.advance(31_000).await;
    assert_eq!((bench.outcome().as_str(), bench.on_disk(), bench.condition()), ("installed", trimmed(&good), None));
    bench.stop().await;
}

#[tokio::test]
async fn a_wish_that_is_gone_is_not_tried_again() {
    let host = Host::new();
    std::fs::write(host.state.path().join("proxy"), "in the way").unwrap();
    let bench = start(&host, wish(&pair(&host, "gpu-7.example", 90), "gpu-7.example")).await;
    assert_eq!(bench.outcome(), "proxy_certificate_not_written");
    bench.wish(DesiredState::default()).await;
    assert_eq!((bench.outcome().as_str(), bench.condition()), ("not looked", None));
    assert_eq!(bench.publisher.proxy().borrow().of, None);
    std::fs::remove_file(host.state.path().join("proxy")).unwrap();
    bench.clock.advance(31_000).await;
    assert!(!bench.dir.exists(), "nothing is written that is not wished any more");
    bench.stop().await;
}
