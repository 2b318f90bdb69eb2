//! Workspaces against a Docker that may answer anything: what the look makes of it, and that nothing is done to what is not ours.

use crate::PATIENCE;
use crate::server::{Reply, Server};
use docker::{PULL_STALLED_AFTER, WorkspaceContainers};
use model::driver::ProbeError;
use model::ids::ContainerId;
use model::nvidia_container::ContainerRun;
use model::policy::HostPolicy;
use model::time::UnixMillis;
use model::workspace_life::{WhyNotOurs, WorkspaceDeed, WorkspaceLook};
use serde_json::{Value, json};
use std::time::Duration;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const LIST: &str =
    "/containers/json?all=true&filters=%7B%22label%22%3A%5B%22org%2Egpuhost%2EAgent1%2Eworkspace%22%5D%7D";

fn labels(workspace: &str) -> Value {
    json!({
        "org.gpuhost.Agent1.workspace": workspace,
        "org.gpuhost.Agent1.generation": "3",
        "org.gpuhost.Agent1.spec": "0123456789abcdef",
        "org.gpuhost.Agent1.source": "local",
    })
}

fn listed(containers: &[(&str, &str)]) -> Reply {
    let one = |(id, workspace): &(&str, &str)| json!({ "Id": id, "Names": [format!("/gpuhost-{workspace}")], "Labels": labels(workspace), "Created": 1 });
    Reply::Json(200, Value::Array(containers.iter().map(one).collect()).to_string())
}

fn container(id: &str, workspace: &str) -> Value {
    json!({
        "Id": id, "Created": "2026-11-29T10:00:00.5Z", "Name": format!("/gpuhost-{workspace}"),
        "State": { "Status": "running", "Pid": 4711, "StartedAt": "2026-11-29T10:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z" },
        "HostConfig": { "NanoCpus": 2_000_000_000_u64, "Memory": 1_u64 << 33, "Runtime": "runc", "Privileged": false,
            "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"], "RestartPolicy": { "Name": "no" } },
        "Mounts": [{ "Type": "volume", "Name": "gpuhost-v" }, { "Type": "bind", "Source": "/srv" }],
        "Config": { "Image": "r.example/x:1", "Labels": labels(workspace), "Env": ["NVIDIA_VISIBLE_DEVICES=all", "SECRET=hunter2", "NVIDIA_VISIBLE_DEVICES=void"] },
        "NetworkSettings": {},
    })
}

fn shown(container: &Value) -> Reply {
    Reply::Json(200, container.to_string())
}

fn hand(server: &Server) -> WorkspaceContainers {
    WorkspaceContainers::new(&server.socket(), PULL_STALLED_AFTER)
}

async fn look(server: &Server) -> WorkspaceLook {
    hand(server).look(&[], PATIENCE).await.unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_container_of_ours_is_seen_with_its_facts_and_without_its_environment() {
    let one = container(ONE, "w-1");
    let server = Server::start(vec![(LIST, listed(&[(ONE, "w-1")])), (ONE, shown(&one))]);
    let look = look(&server).await;
    let [seen] = look.containers.as_slice() else { panic!("{look:?}") };
    assert_eq!((seen.id.as_str(), seen.foreign, seen.generation), (ONE, None, 3));
    assert_eq!((seen.run.clone(), seen.pid, seen.ended_at), (ContainerRun::Running, Some(4711), None));
    assert_eq!((seen.nano_cpus, seen.memory_bytes), (2_000_000_000, 1 << 33));
    assert_eq!(seen.started_at, UnixMillis::from_rfc3339("2026-11-29T10:00:01Z"));
    assert_eq!(seen.volumes, ["gpuhost-v"]);
    assert!(!format!("{look:?}{}", serde_json::to_string(&look).unwrap()).contains("hunter2"));
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_goes_between_the_list_and_its_inspection_is_left_out_and_one_that_cannot_be_shown_stays() {
    let one = container(ONE, "w-1");
    let server = Server::start(vec![(LIST, listed(&[(ONE, "w-1"), (TWO, "w-2")])), (ONE, shown(&one))]);
    let seen = look(&server).await;
    assert_eq!(seen.containers.len(), 1, "{seen:?}");

    let unwell = Reply::Json(500, r#"{"message":"RWLayer of container is unexpectedly nil"}"#.to_owned());
    let mut cut = container(TWO, "w-2");
    cut["HostConfig"] = Value::Null;
    let mut many = container(TWO, "w-2");
    many["Args"] = Value::Array(vec![json!("x"); 100_000]);
    for (reply, said) in [(unwell, "RWLayer"), (shown(&cut), "HostConfig"), (shown(&many), "that can be read")] {
        let server =
            Server::start(vec![(LIST, listed(&[(ONE, "w-1"), (TWO, "w-2")])), (ONE, shown(&one)), (TWO, reply)]);
        let seen = look(&server).await;
        let unseen = seen.containers.iter().find(|one| one.id.as_str() == TWO).expect("it is there all the same");
        let ContainerRun::Other(why) = &unseen.run else { panic!("{unseen:?}") };
        assert!(why.contains(said), "{why}");
        assert_eq!((unseen.workspace_id.as_ref().unwrap().as_str(), unseen.foreign), ("w-2", None));
        assert!(seen.containers.iter().any(|one| one.id.as_str() == ONE && one.run == ContainerRun::Running));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_list_that_cannot_be_read_is_a_fault_and_never_an_empty_look() {
    for body in ["", "null", "{}", "[{}]", "[1]", r#"[{"Id":"x"}]"#, "[{\"Id\":\"1111\",\"Labels\":{}}]"] {
        let server = Server::start(vec![(LIST, Reply::Json(200, body.to_owned()))]);
        let fault = hand(&server).look(&[], PATIENCE).await.unwrap_err();
        assert!(matches!(fault, ProbeError::Garbled { .. }), "{body}: {fault:?}");
    }
    let server = Server::start(vec![(LIST, Reply::Json(500, r#"{"message":"no"}"#.to_owned()))]);
    assert!(hand(&server).look(&[], PATIENCE).await.is_err());
    let server = Server::start(vec![(LIST, Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{".to_vec()))]);
    assert!(hand(&server).look(&[], PATIENCE).await.is_err());
}

type Change = fn(&mut Value);

#[tokio::test(flavor = "current_thread")]
async fn labels_that_were_copied_make_no_workspace_and_nothing_is_done_to_it() {
    let changes: [(Change, WhyNotOurs); 9] = [
        (|one| one["Name"] = json!("/gpuhost-other"), WhyNotOurs::Name),
        (|one| one["HostConfig"]["Privileged"] = json!(true), WhyNotOurs::Privileged),
        (|one| one["HostConfig"]["PidMode"] = json!("host"), WhyNotOurs::Privileged),
        (
            |one| one["HostConfig"]["Annotations"] = json!({ "cdi.k8s.io/x": "nvidia.com/gpu=all" }),
            WhyNotOurs::Privileged,
        ),
        (|one| one["HostConfig"]["RestartPolicy"]["Name"] = json!("always"), WhyNotOurs::RestartPolicy),
        (
            |one| one["Config"]["Env"] = json!(["NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=all"]),
            WhyNotOurs::Devices,
        ),
        (|one| one["Config"]["Env"] = json!(null), WhyNotOurs::Devices),
        (
            |one| {
                one["HostConfig"]["DeviceRequests"] = json!([{ "Driver": "", "Count": -1, "Capabilities": [["gpu"]] }])
            },
            WhyNotOurs::Devices,
        ),
        (|one| one["Config"]["Labels"]["org.gpuhost.Agent1.gpus"] = json!("GPU-1"), WhyNotOurs::Devices),
    ];
    for (change, why) in changes {
        let mut one = container(ONE, "w-1");
        change(&mut one);
        let server = Server::start(vec![(LIST, listed(&[(ONE, "w-1")])), (ONE, shown(&one))]);
        assert_eq!(look(&server).await.containers[0].foreign, Some(why), "{one}");
        assert_only_looks(&server, "w-1", ONE, why.why()).await;
    }
}

/// Every deed is refused for this reason, and Docker is asked for nothing but what it shows.
async fn assert_only_looks(server: &Server, workspace: &str, id: &str, why: &str) {
    let workspace_id = || workspace.parse().unwrap();
    let id = || id.parse::<ContainerId>().unwrap();
    let policy = HostPolicy::default();
    for deed in [
        WorkspaceDeed::Start { workspace_id: workspace_id(), id: id() },
        WorkspaceDeed::Stop { workspace_id: workspace_id(), id: id(), grace_s: 1 },
        WorkspaceDeed::Pause { workspace_id: workspace_id(), id: id() },
        WorkspaceDeed::Unpause { workspace_id: workspace_id(), id: id() },
        WorkspaceDeed::Remove { workspace_id: workspace_id(), id: id() },
    ] {
        let refused = hand(server).apply(&deed, &policy, PATIENCE).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{deed}: {refused}");
    }
    assert!(server.requests().iter().all(|request| request.starts_with("GET ")), "{:?}", server.requests());
}

#[tokio::test(flavor = "current_thread")]
async fn a_deed_names_the_workspace_whose_container_it_means() {
    let server = Server::start(vec![(ONE, shown(&container(ONE, "w-1")))]);
    assert_only_looks(&server, "w-2", ONE, "another workspace").await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_about_another_container_is_no_answer() {
    // Docker finds a container that is *named* like an id.
    let server = Server::start(vec![(ONE, shown(&container(TWO, "w-1")))]);
    let deed = WorkspaceDeed::Stop { workspace_id: "w-1".parse().unwrap(), id: ONE.parse().unwrap(), grace_s: 1 };
    hand(&server).apply(&deed, &HostPolicy::default(), PATIENCE).await.expect("it is gone, so it is stopped");
    assert!(server.requests().iter().all(|request| request.starts_with("GET ")), "{:?}", server.requests());
}

#[tokio::test(flavor = "current_thread")]
async fn an_event_or_the_end_of_the_stream_is_reported_and_a_quiet_docker_is_waited_for_no_longer_than_asked() {
    const ANY_STREAM: &str = "/events?since=1764000000.250000000&filters=";
    const CONTAINERS: &str = "%22container%22";
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let event = [head.as_slice(), b"2\r\n{}\r\n"].concat();
    let since = UnixMillis(1_764_000_000_250);
    let quiet = Reply::Open(head.to_vec());
    for (containers, others) in [
        (Reply::Open(event.clone()), quiet.clone()),
        (quiet.clone(), Reply::Open(event)),
        (Reply::Raw(head.to_vec()), quiet.clone()),
        (quiet.clone(), Reply::Raw([head.as_slice(), b"0\r\n\r\n"].concat())),
    ] {
        let server = Server::start(vec![(CONTAINERS, containers), (ANY_STREAM, others)]);
        hand(&server).await_event(since, 10 * PATIENCE).await.unwrap();
        let requests = server.requests();
        let asked =
            requests.iter().find(|request| request.contains("%22die%22")).expect("a container that exits is an event");
        assert!(!asked.contains("oom"), "a program in a container can cause these without end: {asked}");
    }
    let server = Server::start(vec![(ANY_STREAM, quiet)]);
    hand(&server)
        .await_event(since, Duration::from_millis(50))
        .await
        .expect("nothing has happened, and that is no fault");

    let server = Server::start(vec![(ANY_STREAM, Reply::Json(500, r#"{"message":"no"}"#.to_owned()))]);
    assert!(hand(&server).await_event(since, PATIENCE).await.is_err());
    let socket = server.socket();
    drop(server);
    let gone = WorkspaceContainers::new(&socket, PULL_STALLED_AFTER).await_event(since, PATIENCE).await.unwrap_err();
    assert!(matches!(gone, ProbeError::Absent { .. }), "{gone:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_container_that_docker_is_at_work_on_holds_up_no_look_and_is_looked_at_again_afterwards() {
    let version =
        Reply::Json(200, json!({ "Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.24" }).to_string());
    let server = Server::start(vec![
        (LIST, listed(&[(ONE, "w-1")])),
        ("/stop", Reply::Open(Vec::new())),
        ("/version", version),
        (ONE, shown(&container(ONE, "w-1"))),
    ]);
    let hand = hand(&server);
    let inspected = || server.requests().iter().filter(|one| one.contains(&format!("/containers/{ONE}/json"))).count();
    let before = hand.look(&[], PATIENCE).await.unwrap();
    let stop = WorkspaceDeed::Stop { workspace_id: "w-1".parse().unwrap(), id: ONE.parse().unwrap(), grace_s: 10 };
    let doing = tokio::spawn({
        let hand = hand.clone();
        async move { hand.apply(&stop, &HostPolicy::default(), PATIENCE).await }
    });
    while !server.requests().iter().any(|one| one.contains("/stop")) {
        assert!(!doing.is_finished(), "it never came to the stop: {:?}", server.requests());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = inspected();
    assert_eq!(hand.look(&[], PATIENCE).await.unwrap(), before, "as it was seen last");
    assert_eq!(inspected(), asked, "Docker holds it");
    doing.abort();
    assert!(doing.await.unwrap_err().is_cancelled());
    hand.look(&[], PATIENCE).await.unwrap();
    assert_eq!(inspected(), asked + 1, "it is over, whatever came of it");
}
