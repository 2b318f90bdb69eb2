//! The ways out for metrics: what a scrape gets, and what clients that misbehave can not do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use engine::start::EngineParts;
use gpuhostd::metrics::{Page, run};
use host::front::BootClock;
use model::enrol::CheckinStatus;
use model::observation::HostObservation;
use model::ports::Clock;
use model::settings::{MetricsSettings, Settings};
use model::time::{BootMillis, UnixMillis};
use model::workspace_life::WorkspacesState;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that the test moves.
struct ManualClock(watch::Sender<u64>);

impl Clock for ManualClock {
    fn boot_now(&self) -> BootMillis {
        BootMillis(*self.0.borrow())
    }

    fn wall_now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }

    async fn sleep_until(&self, when: BootMillis) {
        let mut now = self.0.subscribe();
        let _ended = now.wait_for(|now| *now >= when.0).await;
    }
}

/// The ways out in a thread of their own, on a runtime with one thread as in the daemon.
struct Out {
    folder: tempfile::TempDir,
    settings: watch::Sender<Arc<Settings>>,
    observation: watch::Sender<Arc<HostObservation>>,
    _checkin: watch::Sender<Arc<CheckinStatus>>,
    workspaces: watch::Sender<Arc<WorkspacesState>>,
    cancel: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Out {
    fn start<K: Clock>(clock: Arc<K>) -> Self {
        let first = EngineParts::default().handle().observation.borrow().clone();
        let (observation, seen) = watch::channel(first);
        let (checkin, status) = watch::channel(Arc::new(CheckinStatus::default()));
        let (settings, configured) = watch::channel(Arc::new(Settings::default()));
        let cancel = CancellationToken::new();
        let (workspaces, containers) = watch::channel(Arc::default());
        let ends = run(Page::new(seen, status, containers, clock), configured, cancel.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ends);
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings,
            observation,
            _checkin: checkin,
            workspaces,
            cancel,
            thread: Some(thread),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, socket: Option<&Path>, textfile: Option<&Path>) {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let metrics = MetricsSettings { socket: socket.map(text), textfile: textfile.map(text), job_mapping: None };
        self.settings.send_replace(Arc::new(Settings { metrics, ..Settings::default() }));
    }

    /// With its socket there and answering.
    fn on_socket() -> (Self, PathBuf) {
        let out = Self::start(Arc::new(BootClock));
        let socket = out.path("metrics.sock");
        out.configure(Some(&socket), None);
        until("the socket", || UnixStream::connect(&socket).is_ok());
        (out, socket)
    }

    fn stop(mut self) -> tempfile::TempDir {
        self.cancel.cancel();
        self.thread.take().unwrap().join().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ask(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_scrape_over_the_socket_gets_the_metrics_of_now() {
    let (out, socket) = Out::on_socket();
    let text = ask(&socket, SCRAPE);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("gpuhostd_build_info{version="), "{text}");
    assert!(!text.contains("gpuhostd_observation_age_seconds"), "nothing has been observed yet");
    out.observation.send_modify(|seen| Arc::make_mut(seen).sequence = 1);
    assert!(ask(&socket, SCRAPE).contains("gpuhostd_observation_age_seconds "));
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o666, "every user may scrape");
}

#[test]
fn a_request_may_come_in_pieces() {
    let (_out, socket) = Out::on_socket();
    let mut stream = UnixStream::connect(&socket).unwrap();
    for piece in SCRAPE.chunks(7) {
        stream.write_all(piece).unwrap();
        std::thread::yield_now();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

#[test]
fn clients_that_say_nothing_say_nonsense_or_never_read_keep_no_scrape_away() {
    let (_out, socket) = Out::on_socket();
    let connect = || UnixStream::connect(&socket).unwrap();
    let silent: Vec<UnixStream> = (0..128).map(|_| connect()).collect();
    let deaf: Vec<UnixStream> = (0..128)
        .map(|_| {
            let mut stream = connect();
            // It may have been turned away already; what counts is the scrape below.
            let _gone = stream.write_all(SCRAPE);
            stream
        })
        .collect();
    for nonsense in [&b"\0\xff\xfe\n\n"[..], b"GET\r\n\r\n", &[b'x'; 20_000]] {
        let mut stream = connect();
        let _turned_away = stream.write_all(nonsense);
        drop(stream);
    }
    assert!(ask(&socket, SCRAPE).starts_with("HTTP/1.1 200 OK"));
    // All of them are let go, so that they cost nothing for long.
    for mut stream in silent.into_iter().chain(deaf) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_ok(), "the connection was closed in time");
    }
}

#[test]
fn a_reload_moves_the_socket_and_an_end_takes_it_away() {
    let (out, socket) = Out::on_socket();
    let other = out.path("other.sock");
    out.configure(Some(&other), None);
    until("the new socket, and the old one gone", || UnixStream::connect(&other).is_ok() && !socket.exists());
    out.configure(None, None);
    until("no socket", || !other.exists());
    out.configure(Some(&socket), None);
    until("the socket is back", || UnixStream::connect(&socket).is_ok());
    let folder = out.stop();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reload_in_the_middle_of_a_bind_leaves_no_socket() {
    for micros in 0..100 {
        let out = Out::start(Arc::new(BootClock));
        out.configure(Some(&out.path("first.sock")), None);
        std::thread::sleep(Duration::from_micros(micros * 5));
        out.configure(Some(&out.path("second.sock")), None);
        std::thread::sleep(Duration::from_micros(micros * 5));
        let folder = out.stop();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{micros}");
    }
}

#[test]
fn what_another_process_has_is_left_to_it() {
    let out = Out::start(Arc::new(BootClock));
    let socket = out.path("taken.sock");
    let theirs = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    out.configure(Some(&socket), None);
    // Our look whether anybody is there arrives at the other one.
    theirs.accept().unwrap();
    let folder = out.stop();
    assert!(folder.path().join("taken.sock").exists());
}

#[test]
fn the_textfile_is_whole_readable_paced_and_gone_at_the_end() {
    let clock = Arc::new(ManualClock(watch::channel(1_000_000).0));
    let out = Out::start(Arc::clone(&clock));
    let file = out.path("gpuhostd.prom");
    out.configure(None, Some(&file));
    until("the file", || file.exists());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    let read = || std::fs::read_to_string(&file).unwrap();
    assert!(read().contains("# TYPE gpuhostd_heartbeats_failed_total counter\n"), "{}", read());
    let observe = |sequence| out.observation.send_modify(|seen| Arc::make_mut(seen).sequence = sequence);
    // Something new is not written before its time, and a second new thing with it.
    observe(1);
    observe(2);
    clock.0.send_modify(|now| *now += 9_999);
    assert!(!read().contains("gpuhostd_gpus"), "too early");
    clock.0.send_modify(|now| *now += 1);
    until("the new text", || read().contains("gpuhostd_gpus{use=\"host\"} 0\n"));
    let folder = out.stop();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file, and no draft of one");
}

#[test]
fn the_files_of_workspaces_follow_docker_and_are_gone_at_the_end() {
    let out = Out::start(Arc::new(BootClock));
    let jobs = out.path("jobs");
    std::fs::create_dir(&jobs).unwrap();
    for (name, text) in [("0", "of an earlier run\n"), ("1.7", "of an earlier run\n"), ("README", "of a person\n")] {
        std::fs::write(jobs.join(name), text).unwrap();
    }
    let metrics =
        MetricsSettings { job_mapping: Some(jobs.to_str().unwrap().to_owned()), ..MetricsSettings::default() };
    out.settings.send_replace(Arc::new(Settings { metrics, ..Settings::default() }));
    // No workspace is known to be gone before Docker has shown that.
    out.observation.send_modify(|seen| Arc::make_mut(seen).sequence += 1);
    assert!(jobs.join("0").exists());
    out.workspaces.send_modify(|state| Arc::make_mut(state).is_looked = true);
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    };
    until("only what is not ours is left", || names(&jobs) == ["README"]);
    std::fs::write(jobs.join("3"), "late\n").unwrap();
    let folder = out.stop();
    assert_eq!(names(&folder.path().join("jobs")), ["README"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_tried_again_and_harms_nothing() {
    let clock = Arc::new(ManualClock(watch::channel(1_000_000).0));
    let out = Out::start(Arc::clone(&clock));
    let (folder, socket) = (out.path("later"), out.path("metrics.sock"));
    let file = folder.join("gpuhostd.prom");
    out.configure(Some(&socket), Some(&file));
    until("the socket", || UnixStream::connect(&socket).is_ok());
    std::fs::create_dir(&folder).unwrap();
    until("the file", || {
        clock.0.send_modify(|now| *now += 10_000);
        out.observation.send_modify(|seen| Arc::make_mut(seen).sequence += 1);
        file.exists()
    });
    assert!(ask(&socket, SCRAPE).starts_with("HTTP/1.1 200 OK"));
}
