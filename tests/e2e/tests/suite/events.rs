//! What has happened on a host, as a person lists and follows it: a GPU that leaves, one that is given to a virtual machine, and the life
//! of a workspace; nothing secret is in it, and a restart reports only itself.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::sim::SimDaemon;
use e2e::wait::{self, PATIENCE};
use e2e::world::{World, executable};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const CANARY: &str = "canary-w0rksp4ce-env";

/// `type subject` of each event that is kept.
fn listed(world: &World, bus: &Bus, more: &[&str]) -> Vec<String> {
    let events = world.ctl_json(&bus.address, &[&["events"], more].concat());
    let name = |event: &Value| format!("{} {}", event["Type"].as_str().unwrap(), event["Subject"].as_str().unwrap());
    events.as_array().unwrap().iter().map(|event| name(event).trim().to_owned()).collect()
}

fn until_listed(world: &World, bus: &Bus, wanted: &str) -> Vec<String> {
    wait::until(wanted, PATIENCE, || Some(listed(world, bus, &[])).filter(|all| all.iter().any(|one| one == wanted)))
}

fn done(world: &World, bus: &Bus, args: &[&str]) {
    let ran = world.ctl(&bus.address, args);
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// The lines that `events --follow --json` prints, and the process.
fn follow(bus: &Bus) -> (std::process::Child, Arc<Mutex<Vec<String>>>) {
    let mut command = Command::new(executable("gpuhostctl"));
    command.args(["--bus", &bus.address, "--json", "events", "--follow"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("gpuhostctl");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (out, into) = (child.stdout.take().unwrap(), Arc::clone(&lines));
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line));
    });
    (child, lines)
}

#[test]
fn a_gpu_that_leaves_and_the_life_of_a_workspace_are_listed_and_followed() {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let policy = "[host.workspaces]\nregistries = ['registry.example']\n";
    std::fs::write(world.path().join("policy.toml"), policy).expect("policy");
    std::fs::write(world.path().join("env"), format!("PASSWORD={CANARY}\n")).expect("environment");
    let daemon = SimDaemon::start(&world, &bus.address, "hgx-h100");
    until_listed(&world, &bus, "agent.started");
    let first = wait::until("all GPUs", PATIENCE, || {
        let all = listed(&world, &bus, &[]);
        (all.iter().filter(|one| one.starts_with("gpu.added")).count() == 8).then_some(all)
    });
    let (mut child, lines) = follow(&bus);
    wait::until("what is kept", PATIENCE, || (lines.lock().unwrap().len() >= first.len()).then_some(()));
    let image = format!("registry.example/lab/desktop@sha256:{}", "5e".repeat(32));
    let env = world.path().join("env");
    let env = env.to_str().unwrap();
    let run = ["run", "--name", "alice-1", "--image", &image, "--cores", "1", "--memory", "1GiB", "--env-file", env];
    done(&world, &bus, &run);
    until_listed(&world, &bus, "workspace.running alice-1");
    done(&world, &bus, &["workspaces", "delete", "alice-1"]);
    let all = until_listed(&world, &bus, "workspace.deleted alice-1");
    let life: Vec<&str> = all.iter().filter(|one| one.ends_with(" alice-1")).map(String::as_str).collect();
    let at = |what: &str| life.iter().position(|one| *one == format!("workspace.{what} alice-1"));
    assert!(at("created") < at("running") && at("running") < at("deleted") && at("created").is_some(), "{life:?}");
    wait::until("the follower", PATIENCE, || {
        lines.lock().unwrap().iter().any(|line| line.contains("workspace.deleted")).then_some(())
    });
    let text = String::from_utf8(world.ctl(&bus.address, &["events", "--since", "1h"]).stdout).expect("UTF-8");
    for part in ["TIME", "SEVERITY", "workspace.running", "alice-1", "gpu.added"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(listed(&world, &bus, &["--since", "2099-01-01"]).is_empty());
    let spool = std::fs::read_to_string(world.path().join("sim-state/events/spool.log")).expect("the spool");
    assert!(spool.contains("workspace.deleted"), "it is on disk");
    let shown = lines.lock().unwrap().join("\n");
    for (what, text) in [("the spool", &spool), ("the list", &text), ("the follower", &shown)] {
        assert!(!text.contains(CANARY), "{what} has the environment of a workspace");
    }
    drop(daemon);
    let _daemon = SimDaemon::start(&world, &bus.address, "hgx-h100");
    let all = wait::until("the second start", PATIENCE, || {
        let all = listed(&world, &bus, &[]);
        (all.iter().filter(|one| *one == "agent.started").count() == 2).then_some(all)
    });
    let second = all.iter().rposition(|one| one == "agent.started").unwrap();
    assert!(!all[second..].iter().any(|one| one.starts_with("gpu.added")), "no GPU is added again: {all:?}");
    let starts = || lines.lock().unwrap().iter().filter(|line| line.contains("agent.started")).count();
    wait::until("the follower goes on behind a restart", PATIENCE, || (starts() == 2).then_some(()));
    child.kill().expect("the follower");
    child.wait().expect("its end");
}

#[test]
fn a_gpu_that_leaves_while_the_daemon_is_down_is_reported_at_its_next_start() {
    let world = World::new();
    let tree = world.host_tree("dgx-a100");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree.clone()), ..Start::default() };
    let mut daemon = Daemon::start(&world, &start);
    until_listed(&world, &bus, "gpu.added 0000:07:00.0");
    let (status, _) = daemon.stop();
    assert!(status.success());
    std::fs::remove_file(tree.join("sys/bus/pci/devices/0000:07:00.0")).expect("the GPU leaves");
    let _daemon = Daemon::start(&world, &start);
    let all = until_listed(&world, &bus, "gpu.removed 0000:07:00.0");
    assert_eq!(all.iter().filter(|one| *one == "agent.stopping").count(), 1, "{all:?}");
    let second = all.iter().rposition(|one| one == "agent.started").unwrap();
    assert!(!all[second..].iter().any(|one| one.starts_with("gpu.added")), "{all:?}");
}
