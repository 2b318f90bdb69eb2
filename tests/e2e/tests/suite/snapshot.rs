//! A snapshot of a host, taken as an operator takes it, loaded as a developer loads it: both see the same GPUs.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::sim::SimDaemon;
use e2e::wait::{self, PATIENCE};
use e2e::world::{World, executable};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONFIG: &str = "[docker]\nsocket = '/nonexistent/docker.sock'\n";

/// What the command line shows of a host that does not change from one look to the next.
fn seen(world: &World, bus: &str) -> [Value; 2] {
    let mut gpus = world.ctl_json(bus, &["gpus"]);
    for gpu in gpus.as_array_mut().expect("a list") {
        let fields = gpu.as_object_mut().expect("an object");
        for volatile in ["ObservedAt", "ObservedAtMillis", "ObservationSequence"] {
            fields.remove(volatile);
        }
        // Where a MIG device is, and whose, is from a look of its own, which a recorded host does not have.
        for device in fields["MigDevices"].as_array_mut().expect("a list") {
            let device = device.as_object_mut().expect("an object");
            for place in ["Start", "Slots", "Managed"] {
                device.remove(place);
                device["Absent"].as_object_mut().expect("an object").remove(place);
            }
        }
        // What the driver says is as old as the daemon that first heard it.
        for reason in fields["HealthReasons"].as_array_mut().expect("a list") {
            reason.as_object_mut().expect("an object").remove("Since");
        }
    }
    [gpus, world.ctl_json(bus, &["iommu"])]
}

fn snapshot(world: &World, bus: &str, tree: &Path, more: &[&str]) -> (PathBuf, Output) {
    let archive = world.path().join("host.tar.gz");
    let (archive_text, tree) = (archive.to_str().expect("a path"), tree.to_str().expect("a path"));
    let config = world.path().join("config.toml");
    let config = config.to_str().expect("a path");
    let args = ["debug", "snapshot", "-o", archive_text, "--root", tree, "--config", config];
    let output = world.ctl(bus, &[&args, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (archive, output)
}

/// One file of an archive, read by a tar that is not ours.
fn file(archive: &Path, name: &str) -> String {
    let output = Command::new("tar").arg("xzOf").arg(archive).arg(name).output().expect("tar");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_host_looks_the_same_from_its_snapshot() {
    for host in ["dgx-a100", "workstation-rtx", "vgpu-host-16vf", "mixed-faults", "no-iommu", "amd-mi300"] {
        let world = World::new();
        let tree = world.host_tree(host);
        // The daemon under test reads the distribution of this machine, and its remedies are those of it.
        std::fs::copy("/etc/os-release", tree.join("etc/os-release")).expect("os-release");
        // The log that a pipe gives to the daemon.
        std::fs::create_dir_all(tree.join("dev")).expect("a folder");
        std::fs::copy(tree.join("kmsg.records"), tree.join("dev/kmsg")).expect("kmsg");
        let bus = Bus::start(world.path()).expect("a bus");
        let start = Start {
            bus: Some(bus.address.clone()),
            tree: Some(tree.clone()),
            config: CONFIG.to_owned(),
            ..Start::default()
        };
        let mut daemon = Daemon::start(&world, &start);
        wait::until("a whole observation", PATIENCE, || {
            world.ctl(&bus.address, &["rescan"]).status.success().then_some(())
        });
        let there = seen(&world, &bus.address);
        assert!(!there[0].as_array().expect("a list").is_empty());
        let (archive, output) = snapshot(&world, &bus.address, &tree, &[]);
        assert_eq!(archive.metadata().expect("archive").permissions().mode() & 0o777, 0o600);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("recorded.json") && told.contains("daemon.json"), "{told}");
        let view: Value = serde_json::from_str(&file(&archive, "daemon.json")).expect("JSON");
        assert_eq!(view["Gpus"].as_array().map(Vec::len), there[0].as_array().map(Vec::len), "{host}");
        let _ended = daemon.stop();
        let recorded = SimDaemon::start(&world, &bus.address, archive.to_str().expect("a path"));
        let here = seen(&world, &bus.address);
        assert_eq!(here, there, "{host}");
        drop(recorded);
    }
}

#[test]
fn no_secret_comes_through_the_driver_the_bus_or_the_settings() {
    let secret = "Zx81kQ0pLw27vB5t";
    let world = World::new();
    let described = Command::new(executable("host-sim")).args(["show", "t4-cloud-vm"]).output().expect("host-sim");
    let described = String::from_utf8(described.stdout).expect("text");
    let description = world.path().join("host.toml");
    assert!(described.contains("\"ffmpeg\""), "{described}");
    let text = described.replace("\"ffmpeg\"", &format!("\"ffmpeg --stream-key {secret} -i rtmp://u:{secret}@cam/1\""));
    std::fs::write(&description, text).expect("description");
    let tree = world.host_tree(description.to_str().expect("a path"));
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start {
        bus: Some(bus.address.clone()),
        tree: Some(tree.clone()),
        config: CONFIG.to_owned(),
        ..Start::default()
    };
    let _daemon = Daemon::start(&world, &start);
    let shown = || world.ctl_json(&bus.address, &["gpus"]).to_string();
    wait::until("the secret on the bus", PATIENCE, || shown().contains(secret).then_some(()));
    let config = world.path().join("config.toml");
    let settings = std::fs::read_to_string(&config).expect("configuration");
    let manager = format!("[manager]\nzone = 'token {secret}'\n");
    std::fs::write(&config, settings + &manager).expect("configuration");
    let (archive, _) = snapshot(&world, &bus.address, &tree, &[]);
    let all = Command::new("tar").arg("xzOf").arg(&archive).output().expect("tar");
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    for name in ["nvidia-smi.xml", "daemon.json", "recorded.json", "settings.json"] {
        assert!(file(&archive, name).contains("[redacted]"), "{name} never held it");
    }
    let place = all.find(secret).map(|at| &all[at.saturating_sub(200)..at + secret.len()]);
    assert_eq!(place, None);
}

#[test]
fn it_needs_no_daemon_and_says_what_is_missing() {
    let world = World::new();
    let tree = world.host_tree("t4-cloud-vm");
    std::fs::write(world.path().join("config.toml"), "[manager]\nurls = ['https://u:Zx81kQ0pLw27@host']\n")
        .expect("configuration");
    let (archive, output) = snapshot(&world, "unix:path=/nonexistent/bus", &tree, &["--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let missed = told["manifest"]["missed"].as_array().expect("a list");
    for what in ["gpuhostd on the message bus", "the configuration", "journal/gpuhostd.txt"] {
        assert!(missed.iter().any(|missed| missed["what"] == what), "{what} is not in {missed:?}");
    }
    let all = told.to_string();
    assert!(all.contains("manager.urls") && !all.contains("Zx81kQ0pLw27"), "{all}");
    assert_eq!(told["manifest"]["format"], 1);
    assert_eq!(told["archive_bytes"], archive.metadata().expect("archive").len());
    // What is said of its content is its content.
    let manifest: Value = serde_json::from_str(&file(&archive, "snapshot.json")).expect("JSON");
    assert_eq!(manifest, told["manifest"]);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let world = World::new();
    let output = world.ctl("unix:path=/nonexistent/bus", &["debug", "snapshot", "-o", "/nonexistent/x.tar.gz"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("/nonexistent"), "{said}");
}
