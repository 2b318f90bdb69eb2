//! The main job end to end: a simulated host on disk, the shipped daemon with its hands, a private bus, a real TLS manager.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use manager::{Manager, Options};

struct Rig {
    world: World,
    bus: Bus,
    daemon: Daemon,
}

fn rig(host: &str) -> Rig {
    let world = World::new();
    let tree = world.host_tree(host);
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let daemon = Daemon::start(&world, &start);
    Rig { world, bus, daemon }
}

impl Rig {
    fn json(&self, args: &[&str]) -> serde_json::Value {
        self.world.ctl_json(&self.bus.address, args)
    }

    fn gpus(&self) -> Vec<serde_json::Value> {
        self.json(&["gpus"]).as_array().expect("a list of GPUs").clone()
    }

    /// Waits until NVML has answered through the worker.
    fn probed(&self) {
        wait::until("driver facts", PATIENCE, || self.gpus().iter().any(|gpu| !gpu["Uuid"].is_null()).then_some(()));
    }

    fn enrol(&self, manager: &Manager) {
        let token = self.world.path().join("token");
        std::fs::write(&token, manager.issue_token()).expect("token");
        let ca = self.world.path().join("ca.pem");
        std::fs::write(&ca, manager.ca_pem()).expect("ca");
        let output = self.world.ctl(
            &self.bus.address,
            &[
                "enroll",
                &manager.url(),
                "--token-file",
                token.to_str().expect("UTF-8"),
                "--ca-file",
                ca.to_str().expect("UTF-8"),
            ],
        );
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.daemon.log());
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn from_the_host_to_the_manager() {
    let rig = rig("dgx-a100");
    rig.probed();
    let gpus = rig.gpus();
    assert_eq!(gpus.len(), 8, "NVSwitches are no GPUs");
    let runtime = runtime();
    let manager = runtime.block_on(Manager::start(Options::default())).expect("a manager");
    rig.enrol(&manager);
    let beats = runtime.block_on(manager.wait_heartbeats(1, PATIENCE)).expect("a heartbeat after the enrolment");
    let body = beats.first().expect("one").body.clone();
    assert_eq!(body["inventory"]["gpus"].as_array().map(Vec::len), Some(8));
    assert_eq!(body["gpu_metrics"].as_array().map(Vec::len), Some(8));
    assert!(manager.violations().is_empty(), "{:?}", manager.violations());
    let status = wait::until("manager ok", PATIENCE, || {
        let status = rig.json(&["status"]);
        (status["ManagerState"] == "ok").then_some(status)
    });
    assert_eq!(status["ServerId"], body["server_id"]);
}

#[test]
fn a_restart_keeps_the_identity_and_beats_again() {
    let mut rig = rig("workstation-rtx");
    let runtime = runtime();
    let manager = runtime.block_on(Manager::start(Options::default())).expect("a manager");
    rig.enrol(&manager);
    let first = runtime.block_on(manager.wait_heartbeats(1, PATIENCE)).expect("a heartbeat");
    let (status, took) = rig.daemon.stop();
    assert!(status.success(), "{status} after {took:?}\n{}", rig.daemon.log());
    let seen = manager.heartbeats().len();
    let tree = Some(rig.world.path().join("host"));
    let start = Start { bus: Some(rig.bus.address.clone()), tree, ..Start::default() };
    rig.daemon = Daemon::start(&rig.world, &start);
    let beats = runtime.block_on(manager.wait_heartbeats(seen + 1, PATIENCE)).expect("a heartbeat after the restart");
    let last = beats.last().expect("one");
    assert_eq!(last.body["server_id"], first.first().expect("one").body["server_id"]);
    assert!(last.body["seq"].as_u64() > first.first().expect("one").body["seq"].as_u64(), "seq rises over a restart");
}

#[test]
fn the_token_is_nowhere_to_be_seen() {
    let rig = rig("no-iommu");
    let runtime = runtime();
    let manager = runtime.block_on(Manager::start(Options::default())).expect("a manager");
    rig.enrol(&manager);
    runtime.block_on(manager.wait_heartbeats(1, PATIENCE)).expect("a heartbeat");
    let token = std::fs::read_to_string(rig.world.path().join("token")).expect("token");
    assert!(!rig.daemon.log().contains(token.trim()), "the log holds the token");
    let (name, root) = ("org.gpuhost.Agent1", "/org/gpuhost/Agent1");
    for call in [
        &["org.freedesktop.DBus.ObjectManager", "GetManagedObjects"][..],
        &["org.freedesktop.DBus.Properties", "GetAll", "s", "org.gpuhost.Agent1.Host"],
        &["org.gpuhost.Agent1.Host", "GetObservation", "a{sv}", "0"],
    ] {
        let mut busctl = std::process::Command::new("busctl");
        busctl.arg(format!("--address={}", rig.bus.address)).args(["call", name, root]).args(call);
        let output = busctl.output().expect("busctl");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && shown.len() > 1000, "{call:?}: {shown}");
        assert!(!shown.contains(token.trim()), "{call:?} shows the token");
    }
    let state =
        std::process::Command::new("grep").args(["-rl", token.trim()]).arg(rig.world.path().join("state")).output();
    assert_eq!(String::from_utf8_lossy(&state.expect("grep").stdout), "", "state holds the token");
    for entry in std::fs::read_dir(rig.world.path().join("state/identity")).expect("identity").flatten() {
        use std::os::unix::fs::PermissionsExt;
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", entry.path().display());
    }
}

#[test]
fn gpus_says_why_and_what_to_do() {
    let rig = rig("nouveau-desktop");
    let output = rig.world.ctl(&rig.bus.address, &["gpus"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("nouveau"), "{text}");
    let gpu = rig.gpus().into_iter().next().expect("a GPU");
    assert_eq!(gpu["Schedulable"], false);
    let broken = gpu["CauseChain"]
        .as_array()
        .expect("a chain")
        .iter()
        .find(|link| link["Ok"] == false)
        .expect("a cause")
        .clone();
    assert_eq!(broken["Link"], "kernel_driver");
    assert!(broken["Remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()));
}

#[test]
fn rescan_is_a_job_with_an_end() {
    let rig = rig("no-iommu");
    let output = rig.world.ctl(&rig.bus.address, &["rescan"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let jobs = rig.json(&["jobs"]);
    let job = jobs.as_array().and_then(|jobs| jobs.last().cloned()).expect("a job that lingers");
    assert_eq!((job["Operation"].as_str(), job["State"].as_str()), (Some("rescan"), Some("finished")));
}
