//! A hand on a listening socket: what it takes, what it refuses, and that it outlives every peer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which may"
)]

mod common;

use common::{
    Count, LONG, PATIENCE, Served, assert_alive, assert_closed, containers_verbs, counting, eventually, facts, frame,
    hello, holders_verbs, host_verbs, introduction, limits, ourselves, read_response, report, request,
};
use hands::peers::Peers;
use hands::registry::RegistryBuilder;
use hands::server::{Left, Limits};
use hands::{HandError, RemoteHost};
use model::driver::{DriverSource, ProbeError};
use model::holders::Holders;
use model::plan::{Lane, Scope, Step};
use model::settings::NvidiaSettings;
use protocol::hand::containers::ReadDockerFacts;
use protocol::hand::holders::FindHolders;
use protocol::hand::host::{ApplyStep, ProbeNvml, ProbeSmi};
use protocol::hand::{HandRole, HostHand, VerbOutcome};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

fn scope() -> Scope {
    let gpu = "0000:41:00.0".parse().unwrap();
    Scope { lane: Lane::Gpu(gpu), gpu, members: vec![gpu] }
}

#[tokio::test]
async fn the_adapter_gets_each_fact_from_the_hand_that_has_it() {
    let host = Served::host();
    let containers = Served::of(containers_verbs());
    let holders = Served::of(holders_verbs());
    // Of the MIG hands nothing is asked.
    let clients = [host.client(), containers.client(), holders.client(), host.client(), host.client()];
    let remote = RemoteHost::new(clients, &NvidiaSettings::default());
    assert_eq!(remote.probe_driver(DriverSource::Smi).await, Ok(report(DriverSource::Smi)));
    assert_eq!(remote.call(&ReadDockerFacts {}).await, Ok(facts()));
    assert_eq!(remote.call(&FindHolders { scope: scope() }).await, Ok(Holders::default()));
    let step = ApplyStep { scope: scope(), step: Step::Probe { address: scope().gpu } };
    let said = remote.call(&step).await.unwrap_err().to_string();
    assert!(said.contains("it is a test"), "{said}");
    let absent = remote.probe_driver(DriverSource::SmiInDriverContainer).await;
    assert!(matches!(absent, Err(ProbeError::Absent { .. })), "{absent:?}");
    let hello = remote.hand(HandRole::Containers).hello(LONG).await.unwrap();
    assert_eq!(hello.degraded.as_deref(), Some("it is a test"));
    assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn while_one_handler_hangs_others_are_served() {
    let hanging = Count::default();
    let host = Served::of(counting(hanging.clone()));
    let mut hung = host.connect().await;
    hung.write_all(&request(1, &ProbeNvml {})).await.unwrap();
    eventually("the handler hangs", || hanging.load(Ordering::SeqCst) > 0).await;
    assert_alive(&host).await;
    assert!(host.client().call(&ProbeSmi {}, LONG).await.is_ok());
    assert!(hanging.load(Ordering::SeqCst) > 0, "it hangs still: nobody waited for it");
    drop(hung);
}

#[tokio::test]
async fn a_handler_ends_when_its_peer_goes() {
    let hanging = Count::default();
    let host = Served::of(counting(hanging.clone()));
    let mut asker = host.connect().await;
    asker.write_all(&request(1, &ProbeNvml {})).await.unwrap();
    eventually("the handler hangs", || hanging.load(Ordering::SeqCst) > 0).await;
    drop(asker);
    // Long before the request's own deadline, which is ten minutes.
    eventually("the handler was dropped", || hanging.load(Ordering::SeqCst) == 0).await;
    assert_alive(&host).await;
}

#[tokio::test]
async fn a_handler_without_end_is_a_timeout_that_the_hand_itself_reports() {
    let host = Served::host();
    // The hand answers half a second before the asker would give up.
    let reply = host.client().call(&ProbeNvml {}, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(reply, Err(ProbeError::Timeout { after_ms: 4500, .. })), "{reply:?}");
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_connection_and_no_more() {
    let host = Served::of(host_verbs().serve(|ProbeSmi {}| async { panic!("a bug in a handler") }));
    let fault = host.client().call(&ProbeSmi {}, LONG).await;
    assert!(matches!(fault, Err(HandError::Closed { .. })), "{fault:?}");
    assert_alive(&host).await;
}

#[tokio::test]
async fn a_peer_with_another_uid_is_closed_unheard() {
    let stranger = nix::unistd::geteuid().as_raw().wrapping_add(1);
    let host = Served::with(Peers::of(&[stranger]), host_verbs().build(), limits());
    let mut stream = host.connect().await;
    // The hand may have closed its end before we write.
    drop(stream.write_all(&hello(1)).await);
    assert_closed(&mut stream).await;
    assert!(!host.task.is_finished());
}

#[tokio::test]
async fn a_length_of_four_gibibytes_is_closed_at_once() {
    let host = Served::host();
    for length in [u32::MAX, protocol::hand::FRAME_MAX_BYTES + 1] {
        let mut stream = host.connect().await;
        stream.write_all(&length.to_le_bytes()).await.unwrap();
        assert_closed(&mut stream).await;
    }
    assert_alive(&host).await;
}

#[tokio::test]
async fn garbage_and_half_frames_are_closed() {
    let host = Served::host();
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 6] = [b"", b"hello", b"\xff\xfe\x00", b"[1,2,3]", b"{\"id\":\"one\"}", nested.as_bytes()];
    for body in bodies {
        let mut stream = host.connect().await;
        stream.write_all(&frame(body)).await.unwrap();
        assert_closed(&mut stream).await;
    }
    let mut cut = host.connect().await;
    cut.write_all(&hello(1)[..9]).await.unwrap();
    cut.shutdown().await.unwrap();
    assert_closed(&mut cut).await;
    assert_alive(&host).await;
}

#[tokio::test]
async fn an_unknown_verb_is_refused_and_the_connection_goes_on() {
    let host = Served::host();
    let mut stream = host.connect().await;
    let asks = [
        r#"{"id":3,"deadline_ms":100,"verb":"format_disk","args":{}}"#,
        r#"{"id":3,"deadline_ms":100,"verb":"probe_nvml","args":{"by":"roentgen"}}"#,
        r#"{"id":3,"deadline_ms":100,"verb":"probe_nvml","args":null}"#,
        r#"{"id":3,"deadline_ms":100,"verb":"inspect_scope","args":{}}"#,
        r#"{"id":3,"deadline_ms":100,"verb":"hello","args":{},"as_user":"root"}"#,
        r#"{"id":3,"deadline_ms":100,"verb":"hello","args":{"as_user":"root"}}"#,
        r#"{"id":3,"deadline_ms":100,"verb":"hello"}"#,
        r#"{"id":3,"deadline_ms":-1,"verb":"hello","args":{}}"#,
    ];
    for ask in asks {
        stream.write_all(&frame(ask.as_bytes())).await.unwrap();
        let response = read_response(&mut stream).await;
        assert_eq!(response.id, 3);
        assert!(matches!(response.outcome, VerbOutcome::Refused { .. }), "{ask} gave {:?}", response.outcome);
    }
    stream.write_all(&hello(4)).await.unwrap();
    assert_eq!(introduction(&read_response(&mut stream).await).hand, HandRole::Host);
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let host = Served::host();
    let mut stream = host.connect().await;
    let ahead: Vec<u8> = (1..=5).flat_map(hello).collect();
    stream.write_all(&ahead).await.unwrap();
    for id in 1..=5 {
        assert_eq!(read_response(&mut stream).await.id, id);
    }
}

#[tokio::test]
async fn a_writer_of_single_bytes_is_understood_while_it_is_quick() {
    let host = Served::host();
    let mut stream = host.connect().await;
    for byte in hello(1) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_response(&mut stream).await.id, 1);
}

#[tokio::test]
async fn a_writer_that_stops_inside_a_frame_is_closed_in_time() {
    let host = Served::host();
    let mut stream = host.connect().await;
    let start = Instant::now();
    stream.write_all(&hello(1)[..10]).await.unwrap();
    assert_closed(&mut stream).await;
    assert!(start.elapsed() >= Duration::from_millis(390), "it took {:?}", start.elapsed());
    assert_alive(&host).await;
}

#[tokio::test]
async fn a_reader_that_never_reads_does_not_keep_its_place() {
    let talkative = RegistryBuilder::<HostHand>::new(|| Some("x".repeat(1024 * 1024)));
    let one = Limits { connections: 1, ..limits() };
    let host = Served::with(ourselves(), talkative.build(), one);
    let mut deaf = host.connect().await;
    deaf.write_all(&hello(1)).await.unwrap();
    assert_alive(&host).await;
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_and_its_place_is_free() {
    let few = Limits { connections: 1, quiet: Duration::from_millis(100), ..limits() };
    let host = Served::with(ourselves(), host_verbs().build(), few);
    let mut idle = host.connect().await;
    assert_alive(&host).await;
    assert_closed(&mut idle).await;
}

#[tokio::test]
async fn the_hand_leaves_when_nothing_was_asked_and_keeps_the_socket_for_the_next_one() {
    let brief = Limits { leave_after: Some(Duration::from_millis(150)), ..limits() };
    let host = Served::with(ourselves(), host_verbs().build(), brief);
    assert_alive(&host).await;
    let left = tokio::time::timeout(PATIENCE, host.task).await.expect("the hand stayed").unwrap();
    assert_eq!(left.unwrap(), Left::Idle);
}

#[tokio::test]
async fn an_old_hand_answers_once_more_and_makes_room() {
    let old = Limits { renew_after: Some(Duration::ZERO), ..limits() };
    let host = Served::with(ourselves(), host_verbs().build(), old.clone());
    assert_alive(&host).await;
    let left = tokio::time::timeout(PATIENCE, host.task).await.expect("the hand stayed").unwrap();
    assert_eq!(left.unwrap(), Left::Old);
    let holding = host_verbs().stays_while(|| true).build();
    let held = Served::with(ourselves(), holding, old);
    assert_alive(&held).await;
    assert_alive(&held).await;
}

#[tokio::test]
async fn the_hand_stays_while_a_handler_runs_and_while_a_child_hangs() {
    let brief = Limits { leave_after: Some(Duration::from_millis(100)), ..limits() };
    let busy = Served::with(ourselves(), host_verbs().build(), brief.clone());
    let mut stream = busy.connect().await;
    stream.write_all(&request(1, &ProbeNvml {})).await.unwrap();
    let holding = host_verbs().stays_while(|| true).build();
    let held = Served::with(ourselves(), holding, brief);
    assert_alive(&held).await;
    let mut tasks = [busy.task, held.task];
    for task in &mut tasks {
        assert!(tokio::time::timeout(Duration::from_millis(500), task).await.is_err(), "the hand left");
    }
}

#[tokio::test]
async fn a_missing_hand_is_a_fault_that_says_how_to_get_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let client = hands::Client::at(HandRole::Containers, folder.path());
    let remote = RemoteHost::new([(); 5].map(|()| client.clone()), &NvidiaSettings::default());
    let fault = remote.call(&ReadDockerFacts {}).await.unwrap_err();
    let ProbeError::HandUnavailable { what, cause } = fault else { panic!("another fault") };
    assert_eq!((what.as_str(), cause.errno), ("the containers hand", Some(2)), "ENOENT: there is no socket");
    assert!(
        cause.said.contains("containers.sock") && cause.said.contains("systemctl restart gpuhostd-containers.socket"),
        "{cause}"
    );
    assert!(cause.said.contains("No such file"), "{cause}");
}

/// A hand that is not ours: it answers every connection with these bytes.
async fn impostor(folder: &std::path::Path, bytes: Vec<u8>) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::UnixListener::bind(folder.join("host.sock")).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _): (UnixStream, _) = listener.accept().await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
}

#[tokio::test]
async fn answers_that_do_not_fit_are_faults() {
    let report = serde_json::to_string(&report(DriverSource::Smi)).unwrap();
    let cases: [(Vec<u8>, &str); 6] = [
        (Vec::new(), "without an answer"),
        (u32::MAX.to_le_bytes().to_vec(), "4294967295 bytes"),
        (frame(b"{}"), "sent an invalid answer"),
        (frame(br#"{"id":99,"said":{"refused":{"why":"x"}}}"#), "answers request 99"),
        (
            frame(br#"{"id":1,"said":{"reply":{"Ok":{"runtimes":[],"cdi_spec_dirs":[],"cdi_devices":[]}}}}"#),
            "the reply to probe_nvml: missing field",
        ),
        (
            frame(format!(r#"{{"id":1,"said":{{"reply":{{"Ok":{report}}}}}}}"#).as_bytes()),
            "report is one of nvidia_smi",
        ),
    ];
    for (bytes, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let liar = impostor(folder.path(), bytes).await;
        let client = hands::Client::at(HandRole::Host, folder.path());
        let remote = RemoteHost::new([(); 5].map(|()| client.clone()), &NvidiaSettings::default());
        let said = remote.probe_driver(DriverSource::Nvml).await.unwrap_err().to_string();
        assert!(said.contains(expected), "expected {expected:?}, got: {said}");
        liar.abort();
    }
}
