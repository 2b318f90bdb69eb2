//! The doctor as an operator runs it: the facts from the program beside the command line, the daemon up and down, as root and as nobody.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait::{self, PATIENCE};
use e2e::world::{World, executable};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::process::Command;

const CONFIG: &str = "[docker]\nsocket = '/nonexistent/docker.sock'\n";

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn codes(diagnosis: &Value) -> Vec<String> {
    let findings = diagnosis["findings"].as_array().expect("findings");
    findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

/// Looks at a simulated host's files.
fn examine(host: &str) -> (Option<i32>, Vec<String>) {
    let world = World::new();
    let tree = world.host_tree(host);
    let config = world.path().join("config.toml");
    let nvidia = format!(
        "[nvidia]\nnvml_paths = ['{0}/usr/lib/libnvidia-ml.so.1']\nsmi_paths = ['{0}/usr/bin/nvidia-smi']\n",
        tree.display()
    );
    std::fs::write(&config, format!("{CONFIG}{nvidia}")).expect("a file");
    let paths = [tree.to_str().expect("a path"), config.to_str().expect("a path")];
    let args = ["doctor", "--json", "--root", paths[0], "--config", paths[1]];
    let output = world.ctl("unix:path=/nonexistent", &args);
    (output.status.code(), codes(&json(&output)))
}

#[test]
fn a_host_on_nouveau_is_named_so_from_its_files() {
    let (status, codes) = examine("nouveau-desktop");
    assert_eq!(status, Some(20), "{codes:?}");
    assert!(codes.iter().any(|code| code == "nouveau_bound"), "{codes:?}");
}

#[test]
fn files_of_healthy_hosts_raise_no_alarm() {
    for host in ["amd-mi300", "intel-arc", "vgpu-host-16vf", "t4-cloud-vm", "hgx-h100", "dgx-a100", "workstation-rtx"] {
        let (status, codes) = examine(host);
        // Hints alone: Docker and the daemon's surroundings are not among the files.
        assert_eq!(status, Some(0), "{host}: {codes:?}");
    }
}

#[test]
fn the_running_daemon_is_found_on_its_bus_and_a_stopped_one_is_no_obstacle() {
    let world = World::new();
    let tree = world.host_tree("workstation-rtx");
    let bus = Bus::start(world.path()).expect("a bus");
    let start =
        Start { bus: Some(bus.address.clone()), tree: Some(tree), config: CONFIG.to_owned(), ..Start::default() };
    let mut daemon = Daemon::start(&world, &start);
    wait::until("a daemon", PATIENCE, || world.ctl(&bus.address, &["status"]).status.success().then_some(()));
    let facts = |address: &str| {
        let output = Command::new(executable("gpuhostd-collect")).args(["doctor-facts", "--bus", address]).output();
        json(&output.expect("gpuhostd-collect"))
    };
    let up = facts(&bus.address);
    assert_eq!(up["service"]["daemon"]["known"]["version"], env!("CARGO_PKG_VERSION"), "{}", up["service"]);
    assert_eq!(up["service"]["daemon"]["known"]["manager_state"], "not_enrolled");
    let (status, _) = daemon.stop();
    assert!(status.success(), "{}", daemon.log());
    let down = facts(&bus.address);
    assert_eq!(down["service"]["daemon"]["absent"], "none", "{}", down["service"]);
}

#[test]
fn nobody_gets_no_alarm_for_what_he_may_not_read() {
    let world = World::new();
    // The build folder may be closed to others.
    let collect = world.copied("gpuhostd-collect", "open", 0o755, 0o755);
    let output = |uid: Option<u32>| {
        let mut command = Command::new(&collect);
        command.args(["doctor-facts", "--bus", "unix:path=/nonexistent"]).current_dir("/");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        json(&command.output().expect("gpuhostd-collect"))
    };
    let judged = |facts: &Value| {
        let file = world.path().join("facts.json");
        std::fs::write(&file, facts.to_string()).expect("a file");
        let path = file.to_str().expect("a path");
        codes(&json(&world.ctl("unix:path=/nonexistent", &["doctor", "--json", "--facts", path])))
    };
    if !matches!(std::fs::metadata("/proc/self").map(|found| std::os::unix::fs::MetadataExt::uid(&found)), Ok(0)) {
        println!("SKIPPED: only root can become another user");
        return;
    }
    let (root, nobody) = (output(None), output(Some(65_534)));
    assert_eq!((root["as_root"].as_bool(), nobody["as_root"].as_bool()), (Some(true), Some(false)));
    let of_root = judged(&root);
    let more: Vec<_> = judged(&nobody).into_iter().filter(|code| !of_root.contains(code)).collect();
    assert!(more.is_empty(), "found only without powers: {more:?}");
}
