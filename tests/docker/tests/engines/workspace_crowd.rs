//! The daemon with its hands beside a Docker with ten thousand containers of others, which is played here: how often they are listed, and
//! what that takes of memory.

use crate::daemon::Daemon;
use crate::workspace_figures::peaks;
use crate::world::World;
use docker_engines::{Engine, Release, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const CONTAINERS: usize = 10_000;
/// The hand that asks Docker, and the front: what is promised of both together. Of a build without optimization it holds as well.
const MOST_KIB: u64 = 60 * 1024;

/// One as Docker lists it.
fn listed(number: usize) -> Value {
    let id = format!("{number:064x}");
    json!({
        "Id": id, "Names": [format!("/job{number}")], "Image": "r.example/job:1", "ImageID": format!("sha256:{id}"),
        "Command": "sleep 1", "Created": 1_764_000_000, "Ports": [{ "PrivatePort": 80, "Type": "tcp" }],
        "Labels": { "com.example.a": "1", "com.example.b": "2" }, "State": "running", "Status": "Up 2 hours",
        "HostConfig": { "NetworkMode": "bridge" },
        "NetworkSettings": { "Networks": { "bridge": { "IPAMConfig": null, "NetworkID": id, "IPAddress": "172.17.0.2" } } },
        "Mounts": [{ "Type": "volume", "Name": "v", "Source": "", "Destination": "/data", "RW": true }],
    })
}

/// A Docker that has them all. It counts its requests, and keeps each caller that waits for an event.
struct Crowd {
    folder: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Crowd {
    fn start() -> Self {
        let folder = TempDir::with_prefix("crowd-").unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::new(Value::Array((1..=CONTAINERS).map(listed).collect()).to_string());
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (all, seen) = (Arc::clone(&all), Arc::clone(&seen));
                std::thread::spawn(move || answer(stream, &all, &seen));
            }
        });
        Self { folder, requests }
    }

    fn socket(&self) -> String {
        self.folder.path().join("docker.sock").display().to_string()
    }

    fn asked(&self, what: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }
}

fn answer(mut stream: UnixStream, all: &str, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    seen.lock().unwrap().push(line.trim().to_owned());
    let info = r#"{"DockerRootDir":"/","Runtimes":{"runc":{}},"DefaultRuntime":"runc","ContainersRunning":10000}"#;
    let body = match line.as_str() {
        text if text.contains("/events") => {
            let _ended = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let _gone = reader.read_to_end(&mut Vec::new());
            return;
        }
        text if text.contains("/containers/json") && text.contains("filters=") => "[]",
        text if text.contains("/containers/json") => all,
        text if text.contains("/images/json") => "[]",
        text if text.contains("/version") => r#"{"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.24"}"#,
        text if text.contains("/info") => info,
        _ => "{}",
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.51\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

#[test]
#[ignore = "make test-docker runs it"]
fn ten_thousand_containers_of_others_are_listed_once_and_take_little_memory() {
    let world = World::new();
    // Only for its mount namespace: Docker is played.
    let engine = Engine::start(Release::V26_1);
    let crowd = Crowd::start();
    let mut daemon = Daemon::new(&engine, &world).asking(&crowd.socket());
    daemon.wish(Some(&json!({ "workspaces": [{ "workspace_id": "w1", "desired": "stopped" }] })));
    daemon.start("");
    until("the look at workspaces", || (crowd.asked("workspace") > 0).then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(40));
    let all = peaks(daemon.pid());
    println!(
        "{CONTAINERS} containers of others: {} lists of them; most memory in KiB: {all:?}",
        crowd.asked("json?all=true HTTP")
    );
    // Who uses which image is asked where gpuhostd has pulled one.
    assert!(crowd.asked("json?all=true HTTP") <= 1, "{:?}", crowd.requests.lock().unwrap());
    assert_eq!(
        crowd.requests.lock().unwrap().iter().filter(|line| line.contains("/containers/0")).count(),
        0,
        "none is inspected"
    );
    for (name, kib) in &all {
        assert!(*kib <= MOST_KIB, "{name} had {kib} KiB: {all:?}");
    }
    daemon.stop();
}
