//! A GPU falls off the bus: the kernel's line reaches D-Bus, the command line, the journal and the manager at once.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use manager::{Manager, Options};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SICK: &str = "0000:07:00.0";

/// State and codes of the sick GPU in a heartbeat that carries the inventory.
fn health(body: &serde_json::Value) -> Option<serde_json::Value> {
    let gpus = body["inventory"]["gpus"].as_array()?;
    gpus.iter().find(|gpu| gpu["bdf"] == SICK).map(|gpu| gpu["health"].clone())
}

#[test]
fn an_xid_is_a_signal_and_an_early_heartbeat() {
    let world = World::new();
    let tree = world.host_tree("dgx-a100");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let mut daemon = Daemon::start(&world, &start);
    let gpu = || world.ctl_json(&bus.address, &["gpu", "show", SICK]);
    wait::until("the GPU is well", PATIENCE, || (gpu()["Health"] == "ok").then_some(()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let manager = runtime.block_on(Manager::start(Options::default())).expect("a manager");
    let (token, ca) = (world.path().join("token"), world.path().join("ca.pem"));
    std::fs::write(&token, manager.issue_token()).expect("token");
    std::fs::write(&ca, manager.ca_pem()).expect("ca");
    let words = ["enroll", &manager.url(), "--token-file"];
    let files = [token.to_str().expect("UTF-8"), "--ca-file", ca.to_str().expect("UTF-8")];
    assert!(world.ctl(&bus.address, &[&words[..], &files[..]].concat()).status.success(), "{}", daemon.log());
    runtime.block_on(manager.wait_heartbeats(1, PATIENCE)).expect("a first heartbeat");
    quiet(&manager);
    let heard = std::fs::File::create(world.path().join("signals")).expect("file");
    let mut monitor = Command::new("busctl")
        .args([&format!("--address={}", bus.address), "--json=short", "monitor", "org.gpuhost.Agent1"])
        .stdout(heard)
        .stderr(Stdio::null())
        .spawn()
        .expect("busctl");
    let signals = || std::fs::read_to_string(world.path().join("signals")).expect("signals");
    wait::until("busctl listens", PATIENCE, || {
        gpu();
        signals().contains("GetObservation").then_some(())
    });

    let before = manager.heartbeats().len();
    let begin = Instant::now();
    daemon.kernel_says("NVRM: Xid (PCI:0000:07:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.");
    let beats = runtime.block_on(manager.wait_heartbeats(before + 1, PATIENCE)).expect("a heartbeat");
    let took = begin.elapsed();
    let body = &beats.last().expect("one").body;
    assert_eq!(health(body), Some(serde_json::json!({"state": "failed", "reasons": ["xid_79"]})), "{body:#}");
    // The next one would be due thirty seconds after the last.
    assert!(took < Duration::from_secs(20), "the early heartbeat took {took:?}");
    println!("early heartbeat after {took:?}");
    wait::until("the signal", PATIENCE, || signals().contains("xid_79").then_some(()));
    let shown = gpu();
    assert_eq!(
        (&shown["Health"], &shown["LastXid"], &shown["Schedulable"]),
        (&"failed".into(), &79.into(), &false.into())
    );
    let status = world.ctl_json(&bus.address, &["status"]);
    assert!(status["Conditions"].to_string().contains("gpu_health_failed"), "{status:#}");
    assert!(daemon.log().contains("the health of GPU 0000:07:00.0 is failed, was ok"), "{}", daemon.log());
    assert!(manager.violations().is_empty(), "{:?}", manager.violations());
    monitor.kill().expect("busctl runs");
    monitor.wait().expect("busctl ends");
}

/// Waits until the manager has heard nothing for longer than two heartbeats may be apart.
fn quiet(manager: &Manager) {
    let (mut seen, mut since) = (manager.heartbeats().len(), Instant::now());
    wait::until("no news for a while", PATIENCE, || {
        let now = manager.heartbeats().len();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(1200)).then_some(())
    });
}

#[test]
fn without_a_kernel_log_it_says_so_and_goes_on() {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start {
        bus: Some(bus.address.clone()),
        tree: Some(world.host_tree("no-iommu")),
        no_kernel_log: true,
        ..Start::default()
    };
    let daemon = Daemon::start(&world, &start);
    let conditions = || world.ctl_json(&bus.address, &["status"])["Conditions"].to_string();
    wait::until("the condition", PATIENCE, || conditions().contains("kernel_log_unavailable").then_some(()));
    let well = || world.ctl_json(&bus.address, &["gpus"])[0]["Health"] == "ok";
    wait::until("the driver is heard all the same", PATIENCE, || well().then_some(()));
    drop(daemon);
}
