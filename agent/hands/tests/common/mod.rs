//! Handlers with known replies, and the means to talk to a hand byte by byte.
#![allow(dead_code, reason = "each test file uses its part")]

use hands::peers::Peers;
use hands::registry::{Registry, RegistryBuilder};
use hands::server::{Left, Limits, ServeError, serve};
use model::Reading;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::holders::Holders;
use model::os_cause::OsCause;
use model::ports::ActError;
use protocol::hand::containers::{ProbeDriverContainer, ReadDockerFacts};
use protocol::hand::holders::FindHolders;
use protocol::hand::host::{ApplyStep, InspectScope, ProbeNvml, ProbeSmi};
use protocol::hand::{
    ContainersHand, HELLO, Hand, HandRole, Hello, HoldersHand, HostHand, Introduction, Verb, VerbOutcome, VerbRequest,
    VerbResponse,
};
use serde_json::value::RawValue;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// How many handlers hang; one that is dropped is counted out.
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
        driver_version: Reading::Known("580.105.08".to_owned()),
        problems: vec!["no GPU answered".to_owned()],
        ..DriverReport::unknown(source)
    }
}

pub(crate) fn facts() -> DockerFacts {
    DockerFacts { version: Some("28.2.2".to_owned()), runtimes: vec!["nvidia".to_owned()], ..DockerFacts::default() }
}

/// The host hand of a test: NVML hangs for ever, nvidia-smi answers, a look hangs, and a step is refused.
pub(crate) fn host_verbs() -> RegistryBuilder<HostHand> {
    counting(Count::default())
}

/// The same; handlers that hang are counted.
pub(crate) fn counting(count: Count) -> RegistryBuilder<HostHand> {
    RegistryBuilder::new(|| Some("it is a test".to_owned()))
        .serve(move |ProbeNvml {}| {
            let count = Arc::clone(&count);
            async move {
                let _hanging = Hanging::new(count);
                std::future::pending().await
            }
        })
        .serve(|ProbeSmi {}| async { Ok(report(DriverSource::Smi)) })
        .serve(|verb: InspectScope| async move { Err(ActError::Hung { attempted: verb.attempted(), after_ms: 4000 }) })
        .serve(|verb: ApplyStep| async move {
            Err(ActError::Refused { attempted: verb.attempted(), cause: OsCause::found("it is a test") })
        })
}

/// The containers hand of a test: Docker answers, and no driver container runs.
pub(crate) fn containers_verbs() -> RegistryBuilder<ContainersHand> {
    RegistryBuilder::new(|| Some("it is a test".to_owned())).serve(|ReadDockerFacts {}| async { Ok(facts()) }).serve(
        |ProbeDriverContainer {}| async {
            Err(ProbeError::Absent { what: "driver container".to_owned(), said: "none runs".to_owned() })
        },
    )
}

/// The holders hand of a test: nobody uses anything.
pub(crate) fn holders_verbs() -> RegistryBuilder<HoldersHand> {
    RegistryBuilder::new(|| None).serve(|FindHolders { .. }| async { Ok(Holders::default()) })
}

/// How long a test waits for what must come: a limit for what is broken, not a measure of speed.
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
    pub(crate) task: JoinHandle<Result<Left, ServeError>>,
    pub(crate) role: HandRole,
}

impl Served {
    pub(crate) fn with(peers: Peers, registry: Registry, limits: Limits) -> Self {
        let role = registry.hand();
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(format!("{}.sock", role.name()))).unwrap();
        let task = tokio::spawn(async move { serve(&listener, &peers, &Arc::new(registry), &limits).await });
        Self { folder, task, role }
    }

    /// The verbs of a hand, served to ourselves.
    pub(crate) fn of<H: Hand>(verbs: RegistryBuilder<H>) -> Self {
        Self::with(ourselves(), verbs.build(), limits())
    }

    pub(crate) fn host() -> Self {
        Self::of(host_verbs())
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

pub(crate) fn request<V: Verb>(id: u64, verb: &V) -> Vec<u8> {
    named_request(id, V::NAME, &serde_json::to_string(verb).unwrap())
}

pub(crate) fn hello(id: u64) -> Vec<u8> {
    named_request(id, HELLO, &serde_json::to_string(&Hello {}).unwrap())
}

pub(crate) fn named_request(id: u64, verb: &str, args: &str) -> Vec<u8> {
    let args = RawValue::from_string(args.to_owned()).unwrap();
    let request = VerbRequest { id, deadline_ms: 600_000, verb: verb.to_owned(), args };
    frame(&serde_json::to_vec(&request).unwrap())
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [u32::try_from(body.len()).unwrap().to_le_bytes().as_slice(), body].concat()
}

pub(crate) async fn read_response(stream: &mut UnixStream) -> VerbResponse {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await.unwrap();
    let mut body = vec![0; usize::try_from(u32::from_le_bytes(prefix)).unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// The reply to [`hello`].
pub(crate) fn introduction(response: &VerbResponse) -> Introduction {
    let VerbOutcome::Reply(reply) = &response.outcome else { panic!("{response:?}") };
    serde_json::from_str(reply.get()).unwrap()
}

/// The hand is there and answers, whatever happened before.
pub(crate) async fn assert_alive(served: &Served) {
    let mut stream = served.connect().await;
    stream.write_all(&hello(7)).await.unwrap();
    let response = read_response(&mut stream).await;
    assert_eq!(response.id, 7);
    assert_eq!(introduction(&response).hand, served.role);
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
