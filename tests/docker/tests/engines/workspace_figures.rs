//! What workspaces cost on a real engine, beside Docker's own API: printed, and never a reason to fail but for what does not depend on the
//! speed of the machine. `FIGURES=1` takes them.

use crate::daemon::Daemon;
use crate::workspace_world::container;
use crate::world::World;
use docker_engines::{Engine, Image, releases, until};
use model::image_ref::ImageRef;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WORKSPACES: usize = 50;
const AT_ONCE: usize = 16;
const FOREIGN: usize = 1_000;
/// So long the idle daemon is watched.
const IDLE: Duration = Duration::from_secs(60);

fn is_wanted() -> bool {
    let is_wanted = std::env::var_os("FIGURES").is_some();
    if !is_wanted {
        println!("SKIPPED: figures of workspaces on real engines: run with FIGURES=1");
    }
    is_wanted
}

/// An image that ends as soon as it is asked to.
fn short(world: &World) -> ImageRef {
    let script = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 3600 & wait $!; done\n";
    let image = Image::new().file("usr/local/bin/workspace", 0o755, script).with(r#"ENTRYPOINT ["workspace"]"#);
    world.push(&image, "kasm/short:1")
}

/// A question to Docker without a client between: what it costs is Docker's own.
fn ask(engine: &Engine, method: &str, path: &str, body: &str) -> Value {
    let mut stream = UnixStream::connect(engine.socket()).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 20"), "{method} {path}: {head}: {body}");
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// Does it for each number, so many at once.
fn all_at_once(count: usize, deed: impl Fn(usize) + Sync) -> Duration {
    let (begin, next) = (Instant::now(), Mutex::new(0..count));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(number) = { next.lock().unwrap().next() } {
                    deed(number);
                }
            });
        }
    });
    begin.elapsed()
}

/// By Docker's own API: the time of the starts, and of the removals by force.
fn by_docker(engine: &Engine, image: &ImageRef) -> (Duration, Duration) {
    let starts = all_at_once(WORKSPACES, |number| {
        let id = format!("own{number}");
        let mut body = container(&id, image).body();
        body["Labels"] = json!({});
        ask(engine, "POST", &format!("/containers/create?name={id}"), &body.to_string());
        ask(engine, "POST", &format!("/containers/{id}/start"), "");
    });
    let removals = all_at_once(WORKSPACES, |number| {
        ask(engine, "DELETE", &format!("/containers/own{number}?force=1"), "");
    });
    (starts, removals)
}

/// Processor time of a process and of all below it, also of those that have ended.
fn cpu(root: u32) -> Duration {
    let mut below: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    let mut own = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // Behind the name, which may hold anything: state, parent, …, utime, stime, cutime, cstime (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        if pid == root {
            own = ticks;
        }
        below.entry(fields[1].parse().unwrap()).or_default().push((pid, ticks));
    }
    let (mut all, mut open) = (own, vec![root]);
    while let Some(pid) = open.pop() {
        for (child, ticks) in below.get(&pid).into_iter().flatten() {
            all += ticks;
            open.push(*child);
        }
    }
    // USER_HZ is 100 on each architecture that this runs on.
    Duration::from_millis(all * 10)
}

/// The most memory that a process and those below it have had, by name.
pub(crate) fn peaks(root: u32) -> Vec<(String, u64)> {
    let status = |pid: u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_default().trim().trim_end_matches(" kB").to_owned()
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let below = pids.filter(|pid| *pid == root || value(&status(*pid), "PPid:").parse() == Ok(root));
    below.map(|pid| (value(&status(pid), "Name:"), value(&status(pid), "VmHWM:").parse().unwrap_or(0))).collect()
}

fn wish(image: &ImageRef, desired: &str) -> Value {
    let one = |number: usize| {
        json!({ "workspace_id": format!("w{number}"), "desired": desired, "image": image.to_string(), "cores": 0.02,
                "memory": 67_108_864 })
    };
    json!({ "workspaces": (0..WORKSPACES).map(one).collect::<Vec<_>>() })
}

fn count(engine: &Engine, state: &str) -> usize {
    let path =
        format!("/containers/json?all=1&filters=%7B%22label%22%3A%5B%22org.gpuhost.Agent1.workspace%22%5D{state}%7D");
    ask(engine, "GET", &path, "").as_array().unwrap().len()
}

const RUNNING: &str = "%2C%22status%22%3A%5B%22running%22%5D";

#[test]
#[ignore = "make test-docker runs it; FIGURES=1 takes the figures"]
fn fifty_workspaces_and_a_thousand_containers_of_others() {
    if !is_wanted() {
        return;
    }
    let world = World::new();
    let image = short(&world);
    for release in releases() {
        let engine = Engine::start(release);
        let _pulled =
            engine.docker(&["pull", "--quiet", &format!("{}@{}", image.repository(), image.digest().unwrap())]);
        let before = by_docker(&engine, &image);
        let mut daemon = Daemon::new(&engine, &world);
        daemon.wish(Some(&json!({ "workspaces": [] })));
        daemon.start("");
        std::thread::sleep(Duration::from_secs(10));
        let (begin, spent) = (Instant::now(), cpu(daemon.pid()));
        daemon.wish(Some(&wish(&image, "running")));
        until("all to run", || (count(&engine, RUNNING) == WORKSPACES).then_some(()));
        let (starts, cpu_starts) = (begin.elapsed(), cpu(daemon.pid()).saturating_sub(spent));
        std::thread::sleep(Duration::from_secs(5));
        let (begin, spent) = (Instant::now(), cpu(daemon.pid()));
        daemon.wish(Some(&wish(&image, "deleted")));
        until("all to be gone", || (count(&engine, "") == 0).then_some(()));
        let (removals, cpu_removals) = (begin.elapsed(), cpu(daemon.pid()).saturating_sub(spent));
        let after = by_docker(&engine, &image);
        println!(
            "Docker {release}: {WORKSPACES} starts: the API {:.1?} before and {:.1?} after, ours {starts:.1?} with {cpu_starts:?} of \
             processor time; {WORKSPACES} removals: the API {:.1?} and {:.1?}, ours {removals:.1?} with {cpu_removals:?}",
            before.0, after.0, before.1, after.1
        );
        let created = all_at_once(FOREIGN, |number| {
            let body = json!({ "Image": image.to_string(), "Cmd": ["sleep"], "HostConfig": { "NetworkMode": "none" } });
            ask(&engine, "POST", &format!("/containers/create?name=foreign{number}"), &body.to_string());
        });
        std::thread::sleep(Duration::from_secs(10));
        let spent = cpu(daemon.pid());
        std::thread::sleep(IDLE);
        let idle = cpu(daemon.pid()).saturating_sub(spent);
        println!(
            "Docker {release}: {FOREIGN} containers of others, created in {created:.1?}: the idle daemon and its hands took {idle:?} in \
             {IDLE:?}; most memory in kB: {:?}",
            peaks(daemon.pid())
        );
        daemon.stop();
    }
}
