//! Acts with known answers, and the means to talk to a hand byte by byte.
#![allow(dead_code, reason = "each test file uses its part")]

use hands::acts::Acts;
use hands::peers::Peers;
use hands::server::{Left, Limits, ServeFault, serve};
use model::Reading;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::holders::Holders;
use model::ports::ActFault;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use wire::hand::{Answer, Ask, HandRole, Request, Said};

/// How many acts hang; one that is dropped is counted out.
pub(crate) type Count = Arc<AtomicUsize>;

struct Hanging(Count);

impl Hanging {
    fn new(count: Count) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn report(source: DriverSource) -> DriverReport {
    DriverReport {
        source,
        driver_version: Reading::Known("580.105.08".to_owned()),
        cuda_version: Reading::default(),
        gpus: Vec::new(),
        silent: Vec::new(),
        problems: vec!["no GPU answered".to_owned()],
    }
}

pub(crate) fn facts() -> DockerFacts {
    DockerFacts { version: Some("28.2.2".to_owned()), runtimes: vec!["nvidia".to_owned()], ..DockerFacts::default() }
}

/// NVML hangs for ever, nvidia-smi answers, the driver container is absent, Docker answers.
pub(crate) fn acts() -> Acts {
    counting(Count::default())
}

/// The same acts; those that hang are counted.
pub(crate) fn counting(count: Count) -> Acts {
    Acts {
        powerless: Box::new(|| Some("it is a test".to_owned())),
        probe_driver: Box::new(move |source| {
            let count = Arc::clone(&count);
            Box::pin(async move {
                match source {
                    DriverSource::Nvml => {
                        let _hanging = Hanging::new(count);
                        std::future::pending().await
                    }
                    DriverSource::Smi | DriverSource::Sysfs => Ok(report(source)),
                    DriverSource::SmiInDriverContainer => {
                        Err(ProbeFault::Absent { what: "driver container".to_owned(), said: "none runs".to_owned() })
                    }
                }
            })
        }),
        docker_facts: Box::new(|()| Box::pin(async { Ok(facts()) })),
        close_up: Box::new(|scope| {
            let attempted = format!("look at {}", scope.gpu);
            Box::pin(async { Err(ActFault::Hung { attempted, after_ms: 4000 }) })
        }),
        act: Box::new(|(_, step)| {
            let attempted = step.to_string();
            Box::pin(async { Err(ActFault::Said { attempted, said: "it is a test".to_owned() }) })
        }),
        holders: Box::new(|_| Box::pin(async { Ok(Holders::default()) })),
        child_hangs: Box::new(|| false),
    }
}

/// How long a test waits for what must come: it says that something is wrong, never how fast it is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A deadline of the hand that no test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) fn limits() -> Limits {
    Limits {
        connections: 8,
        frame: Duration::from_millis(400),
        quiet: LONG,
        request: LONG,
        leave_after: None,
        renew_after: None,
    }
}

/// The user that runs the test, who plays the front.
pub(crate) fn ourselves() -> Peers {
    Peers::of(&[nix::unistd::geteuid().as_raw()])
}

/// A hand on a socket at `<folder>/<role>.sock`, inside this process.
pub(crate) struct Served {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) task: JoinHandle<Result<Left, ServeFault>>,
    pub(crate) role: HandRole,
}

impl Served {
    pub(crate) fn with(role: HandRole, peers: Peers, acts: Acts, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(format!("{}.sock", role.name()))).unwrap();
        let task = tokio::spawn(async move { serve(role, &listener, &peers, &Arc::new(acts), &limits).await });
        Self { folder, task, role }
    }

    pub(crate) fn host() -> Self {
        Self::with(HandRole::Host, ourselves(), acts(), limits())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder().join(format!("{}.sock", self.role.name()))).await.unwrap()
    }

    pub(crate) fn client(&self) -> hands::Client {
        hands::Client::at(self.role, self.folder())
    }
}

pub(crate) fn request(id: u64, ask: Ask) -> Vec<u8> {
    frame(&serde_json::to_vec(&Request { id, deadline_ms: 600_000, ask }).unwrap())
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [u32::try_from(body.len()).unwrap().to_le_bytes().as_slice(), body].concat()
}

pub(crate) async fn read_answer(stream: &mut UnixStream) -> Answer {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await.unwrap();
    let mut body = vec![0; usize::try_from(u32::from_le_bytes(prefix)).unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// The hand is there and answers, whatever happened before.
pub(crate) async fn assert_alive(served: &Served) {
    let mut stream = served.connect().await;
    stream.write_all(&request(7, Ask::Hello)).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!(answer.id, 7);
    assert!(matches!(answer.said, Said::Hello { role, .. } if role == served.role));
}

/// The hand closes this connection without a word.
pub(crate) async fn assert_closed(stream: &mut UnixStream) {
    let mut rest = Vec::new();
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await {
        Ok(Ok(_)) => assert!(rest.is_empty(), "the hand said {rest:?}"),
        // What was still unread when the hand closed its end comes back as a reset.
        Ok(Err(error)) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        Err(_) => panic!("the connection was left open"),
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
