//! Docker's facts, the driver container and workspaces, against a Docker that may say anything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod cdi;
mod many_containers;
mod registry_logins;
mod server;
mod whole_inspect;
mod workspaces;

use docker::{facts, smi_in_driver_container};
use model::driver::{DriverSource, ProbeError};
use server::{Answers, Reply, Server};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const CONTAINER: &str = "4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66";
const EXEC: &str = "ee11ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66";

fn json(body: &str) -> Reply {
    Reply::Json(200, body.to_owned())
}

fn version() -> Reply {
    json(r#"{"Version":"28.2.2","ApiVersion":"1.50"}"#)
}

const INFO: &str = r#"{
    "DockerRootDir": "/srv/docker", "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "x"}, "io.x.v2": {}},
    "DefaultRuntime": "runc", "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}, {"Source": "cdi", "ID": "nvidia.com/gpu=0"},
                          {"Source": "other", "ID": "x"}],
    "CgroupVersion": "2", "CgroupDriver": "systemd", "LiveRestoreEnabled": true, "ContainersRunning": 3}"#;

#[tokio::test(flavor = "current_thread")]
async fn every_fact() {
    let server = Server::start(vec![("/version", version()), ("/info", json(INFO))]);
    let docker = facts(&server.socket(), PATIENCE).await.unwrap();
    assert_eq!((docker.version.as_deref(), docker.api.as_deref()), (Some("28.2.2"), Some("1.50")));
    assert_eq!(docker.root_dir.as_deref(), Some("/srv/docker"));
    assert_eq!(docker.runtimes, ["io.x.v2", "nvidia", "runc"]);
    assert_eq!(docker.default_runtime.as_deref(), Some("runc"));
    assert_eq!(docker.cdi_spec_dirs, ["/etc/cdi", "/var/run/cdi"]);
    assert_eq!(docker.cdi_devices, ["nvidia.com/gpu=0", "nvidia.com/gpu=all"]);
    assert_eq!((docker.cgroup_version.as_deref(), docker.cgroup_driver.as_deref()), (Some("2"), Some("systemd")));
    assert_eq!((docker.live_restore, docker.containers_running), (Some(true), Some(3)));
    assert!(docker.has_nvidia_runtime() && docker.has_nvidia_cdi());
}

#[tokio::test(flavor = "current_thread")]
async fn values_of_a_newer_docker_and_of_wrong_types_cost_themselves() {
    let info = r#"{"CgroupDriver": "none-of-1-to-3", "CgroupVersion": 3, "Isolation": "quantum", "Runtimes": ["runc"],
        "ContainersRunning": -1, "DiscoveredDevices": [7, {"ID": "x"}], "CDISpecDirs": null, "DockerRootDir": "/d",
        "Swarm": {"LocalNodeState": "dreaming"}}"#;
    let server = Server::start(vec![("/version", version()), ("/info", json(info))]);
    let docker = facts(&server.socket(), PATIENCE).await.unwrap();
    assert_eq!(docker.cgroup_driver.as_deref(), Some("none-of-1-to-3"));
    assert_eq!((docker.cgroup_version, docker.containers_running, docker.live_restore), (None, None, None));
    assert!(docker.runtimes.is_empty() && docker.cdi_devices.is_empty() && docker.cdi_spec_dirs.is_empty());
    assert_eq!(docker.root_dir.as_deref(), Some("/d"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_chunked_answer_is_put_together() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"Docke\r\n15\r\nrRootDir\": \"/srv/d\"} \r\n0\r\n\r\n";
    let server = Server::start(vec![("/version", version()), ("/info", Reply::Raw(chunked.to_vec()))]);
    assert_eq!(facts(&server.socket(), PATIENCE).await.unwrap().root_dir.as_deref(), Some("/srv/d"));
}

#[tokio::test(flavor = "current_thread")]
async fn no_socket_is_absent_with_its_path() {
    let fault = facts("/no/such/docker.sock", PATIENCE).await.unwrap_err();
    assert!(fault.code() == "absent" && fault.to_string().contains("/no/such/docker.sock"), "{fault}");
}

#[tokio::test(flavor = "current_thread")]
async fn silence_ends_at_the_deadline() {
    let server = Server::start(vec![("/version", version()), ("/info", Reply::Open(Vec::new()))]);
    let start = Instant::now();
    let fault = facts(&server.socket(), Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(fault, ProbeError::Timeout { after_ms: 200, .. }), "{fault:?}");
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "current_thread")]
async fn a_refusal_keeps_dockers_words() {
    let refusal = Reply::Json(503, r#"{"message":"daemon is shutting down"}"#.to_owned());
    let server = Server::start(vec![("/version", version()), ("/info", refusal)]);
    let fault = facts(&server.socket(), PATIENCE).await.unwrap_err();
    assert!(
        matches!(&fault, ProbeError::Failed { status: 503, said, .. } if said.contains("shutting down")),
        "{fault:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn garbage_is_garbled_and_says_where() {
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}", "x".repeat(17 * 1024 * 1024));
    for (what, reply) in [
        ("no HTTP", Reply::Raw(b"hello\r\n\r\n".to_vec())),
        ("no JSON", json("<html>")),
        ("half a body", Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}".to_vec())),
        ("nothing", Reply::Raw(Vec::new())),
        ("too much", Reply::Raw(huge.into_bytes())),
    ] {
        let server = Server::start(vec![("/version", version()), ("/info", reply)]);
        let fault = facts(&server.socket(), PATIENCE).await.unwrap_err();
        assert_eq!(fault.code(), "garbled", "{what}: {fault}");
    }
}

fn frame(stream: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[stream, 0, 0, 0][..], &length[..], text.as_bytes()].concat()
}

/// A Docker with a driver container in which nvidia-smi writes these frames and ends with this status.
fn with_driver(frames: &[Vec<u8>], status: i32) -> Answers {
    let head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let stream = [head.as_slice(), frames.concat().as_slice()].concat();
    vec![
        ("GET /containers/json", json(&format!(r#"[{{"Id": "{CONTAINER}", "State": "a state of the future"}}]"#))),
        ("/exec HTTP", Reply::Json(201, format!(r#"{{"Id": "{EXEC}"}}"#))),
        ("GET /containers/4f66", json(r#"{"ExecIDs": null}"#)),
        ("/start HTTP", Reply::Raw(stream)),
        ("GET /exec/", json(&format!(r#"{{"Running": false, "ExitCode": {status}}}"#))),
    ]
}

#[tokio::test(flavor = "current_thread")]
async fn nvidia_smi_in_the_driver_container() {
    let frames = [
        frame(1, "<nvidia_smi_log>\n  <driver_version>580."),
        frame(2, "warning\n"),
        frame(1, "95.05</driver_version>\n</nvidia_smi_log>"),
    ];
    let server = Server::start(with_driver(&frames, 0));
    let report = smi_in_driver_container(&server.socket(), PATIENCE).await.unwrap();
    assert_eq!(report.source, DriverSource::SmiInDriverContainer);
    assert_eq!(report.driver_version.known().unwrap(), "580.95.05");
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.contains("org.gpuhost.Agent1.role%3Ddriver")), "{requests:?}");
    let created = requests.iter().find(|request| request.contains("/exec HTTP")).unwrap();
    assert!(created.contains(r#""Cmd":["nvidia-smi","-q","-x"]"#), "{created}");
}

#[tokio::test(flavor = "current_thread")]
async fn its_failure_keeps_its_status_and_words() {
    let server = Server::start(with_driver(&[frame(1, "NVIDIA-SMI has failed\n")], 9));
    let fault = smi_in_driver_container(&server.socket(), PATIENCE).await.unwrap_err();
    assert!(
        matches!(&fault, ProbeError::Failed { status: 9, said, .. } if said == "NVIDIA-SMI has failed"),
        "{fault:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_driver_container_it_is_absent() {
    for list in ["[]", r#"[{"Id": "../../../etc"}]"#] {
        let server = Server::start(vec![("/containers/json", json(list))]);
        let fault = smi_in_driver_container(&server.socket(), PATIENCE).await.unwrap_err();
        assert!(fault.code() == "absent" && fault.to_string().contains("org.gpuhost.Agent1.role=driver"), "{fault}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_hangs_since_an_earlier_question_is_not_doubled() {
    let mut answers = with_driver(&[], 0);
    let hanging = r#"{"Running": true, "Pid": 4711, "ProcessConfig": {"entrypoint": "nvidia-smi"}}"#;
    answers.insert(0, ("GET /containers/4f66", json(&format!(r#"{{"ExecIDs": ["{EXEC}"]}}"#))));
    answers.insert(0, ("GET /exec/", json(hanging)));
    let server = Server::start(answers);
    let fault = smi_in_driver_container(&server.socket(), PATIENCE).await.unwrap_err();
    assert!(matches!(fault, ProbeError::Stuck { pid: 4711, .. }), "{fault:?}");
    assert!(!server.requests().iter().any(|request| request.starts_with("POST")), "nothing may be started");
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_never_ends_costs_its_deadline() {
    let mut answers = with_driver(&[], 0);
    let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    answers.insert(0, ("/start HTTP", Reply::Open(head.as_bytes().to_vec())));
    let server = Server::start(answers);
    let fault = smi_in_driver_container(&server.socket(), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(fault, ProbeError::Timeout { after_ms: ..=300, .. }), "{fault:?}");
}

/// Of two containers one is inspected in vain, hangs, or cannot run nvidia-smi: the other is asked all the same.
#[tokio::test(flavor = "current_thread")]
async fn a_container_that_is_ill_costs_only_itself() {
    let ill = "1111ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66ad9a2b2e4f66";
    let hangs = r#"{"Running": true, "Pid": 4711, "ProcessConfig": {"entrypoint": "nvidia-smi"}}"#;
    for (what, inspected, exec) in [
        ("no JSON", json("<html>"), json("{}")),
        ("silence", Reply::Open(Vec::new()), json("{}")),
        ("an exec that hangs", json(r#"{"ExecIDs": ["abcdabcdabcd"]}"#), json(hangs)),
        ("an exec that is garbled", json(r#"{"ExecIDs": ["abcdabcdabcd"]}"#), json("7,")),
    ] {
        let mut answers = with_driver(&[frame(1, "<nvidia_smi_log></nvidia_smi_log>")], 0);
        answers.insert(0, ("GET /containers/json", json(&format!(r#"[{{"Id": "{CONTAINER}"}}, {{"Id": "{ill}"}}]"#))));
        answers.insert(0, ("GET /containers/1111", inspected));
        answers.insert(0, ("GET /exec/abcdabcdabcd", exec));
        let server = Server::start(answers);
        let report = smi_in_driver_container(&server.socket(), Duration::from_secs(4)).await;
        assert!(report.is_ok(), "{what}: {report:?}");
        let started = server.requests().into_iter().filter(|request| request.starts_with("POST")).collect::<Vec<_>>();
        assert!(started.iter().all(|request| !request.contains(ill)), "{what}: {started:?}");
    }
}
