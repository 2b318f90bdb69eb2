//! A manager that says what it should not, and the shipped daemon: the host stays with the manager that works.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait;
use e2e::world::World;
use manager::{Auth, Endpoint, Manager, Mode, Options, Scripted};
use serde_json::json;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest interval that a manager may ask for, so that the test is short.
const EVERY_S: u64 = 5;

struct Rig {
    world: World,
    bus: Bus,
    start: Start,
    runtime: tokio::runtime::Runtime,
    manager: Manager,
}

impl Rig {
    fn new() -> (Self, Daemon) {
        Self::with(Options { next_heartbeat_s: EVERY_S, ..Options::default() }, "")
    }

    fn with(options: Options, config: &str) -> (Self, Daemon) {
        let world = World::new();
        let bus = Bus::start(world.path()).expect("a bus");
        let tree = Some(world.host_tree("no-iommu"));
        let config = config.to_owned();
        let start = Start { bus: Some(bus.address.clone()), tree, config, ..Start::default() };
        let daemon = Daemon::start(&world, &start);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let manager = runtime.block_on(Manager::start(options)).expect("a manager");
        (Self { world, bus, start, runtime, manager }, daemon)
    }

    fn enrol(&self, daemon: &Daemon) {
        let (token, ca) = (self.world.path().join("token"), self.world.path().join("ca.pem"));
        std::fs::write(&token, self.manager.issue_token()).expect("token");
        std::fs::write(&ca, self.manager.ca_pem()).expect("ca");
        let files = [token.to_str().expect("UTF-8"), "--ca-file", ca.to_str().expect("UTF-8")];
        let url = self.manager.url();
        let words = [&["enroll", &url, "--token-file"][..], &files].concat();
        let output = self.world.ctl(&self.bus.address, &words);
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), daemon.log());
    }

    fn beats(&self) -> usize {
        self.manager.heartbeats().len()
    }

    /// Waits for so many more heartbeats.
    fn more(&self, count: usize, what: &str) {
        let wanted = self.beats() + count;
        let waited = self.runtime.block_on(self.manager.wait_heartbeats(wanted, PATIENCE));
        assert!(waited.is_some(), "no heartbeat came {what}");
    }

    fn status(&self) -> serde_json::Value {
        self.world.ctl_json(&self.bus.address, &["status"])
    }

    /// As a person reads it.
    fn shown(&self) -> String {
        let output = self.world.ctl(&self.bus.address, &["status"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains("anager")).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn one_wrong_list_of_managers_in_one_reply_does_not_lose_the_host() {
    let (rig, mut daemon) = Rig::new();
    rig.enrol(&daemon);
    rig.more(1, "after the enrolment");
    println!("enrolled:           {}", rig.shown());
    // Nobody listens there, and there is no such name.
    let wrong = json!([{"hostname": "127.0.0.1", "port": 9}, {"hostname": "no-such-name.invalid"}]);
    rig.manager.set_reply(move |reply| reply["managers"] = wrong.clone());
    rig.more(1, "with the wrong list in its answer");
    rig.manager.reset_reply();
    rig.more(3, "after the wrong list");
    let ok = || (rig.status()["ManagerState"] == "ok").then_some(());
    wait::until("the host is well with its manager", PATIENCE, ok);
    println!("after a wrong list: {}", rig.shown());
    let (ended, _) = daemon.stop();
    assert!(ended.success(), "{}", daemon.log());
    let again = Daemon::start(&rig.world, &rig.start);
    rig.more(2, "after a restart");
    wait::until("the host is well after a restart", PATIENCE, ok);
    println!("after a restart:    {}", rig.shown());
    let said: Vec<_> = again.log().lines().filter(|line| line.contains("manager")).map(str::to_owned).collect();
    println!("{}", said.join("\n"));
    assert!(rig.manager.violations().is_empty(), "{:?}", rig.manager.violations());
}

#[test]
fn a_version_that_hangs_holds_no_heartbeat_up() {
    let (rig, daemon) = Rig::new();
    rig.manager.script(Endpoint::Version, vec![Scripted::hang(); 99]);
    rig.enrol(&daemon);
    rig.more(3, "while the question for its version hangs");
    assert_eq!(rig.status()["HeartbeatsFailed"], 0);
    assert!(rig.manager.violations().is_empty(), "{:?}", rig.manager.violations());
}

/// Every process of the daemon: its launcher, the front and the hands.
fn processes(launcher: i32) -> Vec<i32> {
    let all: Vec<(i32, i32)> =
        std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| parent(&entry.ok()?.path())).collect();
    let mut ours = vec![launcher];
    while let Some((pid, _)) = all.iter().find(|(pid, parent)| ours.contains(parent) && !ours.contains(pid)) {
        ours.push(*pid);
    }
    ours
}

fn parent(process: &Path) -> Option<(i32, i32)> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Some((pid, parent.trim().parse().ok()?))
}

fn files_with(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
        if kind.is_dir() {
            files_with(&path, text, found);
        } else if kind.is_file() {
            match std::fs::read(&path) {
                Ok(bytes) if String::from_utf8_lossy(&bytes).contains(text) => found.push(path.display().to_string()),
                Ok(_) => {}
                // The daemon that runs gives its temporary files their names meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}

/// Token and secret are where they belong, and in no log, property, job, file, argument or environment, and no core file is written.
#[test]
fn t25_no_secret_leaves_the_identity_directory() {
    let options = Options { mode: Mode::Secrets, next_heartbeat_s: EVERY_S, ..Options::default() };
    let (rig, daemon) = Rig::with(options, "[agent]\nlog_level = \"debug\"\n");
    rig.enrol(&daemon);
    rig.more(2, "after the enrolment");
    rig.manager.script(Endpoint::Heartbeat, vec![Scripted::page(502), Scripted::status(401), Scripted::cut()]);
    rig.more(3, "with faults");
    let token_file = rig.world.path().join("token");
    let token = std::fs::read_to_string(&token_file).expect("the token");
    std::fs::remove_file(&token_file).expect("the token");
    let secrets = rig.manager.heartbeats().into_iter().map(|beat| match beat.auth {
        Auth::Bearer(secret) => secret,
        other @ (Auth::Certificate { .. } | Auth::Nothing) => panic!("{other:?}"),
    });
    let secret = secrets.reduce(|_, latest| latest).expect("a heartbeat");
    assert!(daemon.log().contains("heartbeat accepted"), "the log is not the whole log");
    let shown: Vec<_> = ["status", "jobs", "gpus", "trust show", "desired show", "workspaces"]
        .map(|words| rig.world.ctl_json(&rig.bus.address, &words.split(' ').collect::<Vec<_>>()).to_string())
        .into();
    let mut described = Vec::new();
    for pid in processes(daemon.pid().as_raw()) {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            match std::fs::read(&path) {
                Ok(bytes) => bytes,
                // The process has gone.
                Err(_) if !Path::new(&format!("/proc/{pid}")).exists() => Vec::new(),
                Err(error) => panic!("{path}: {error}"),
            }
        };
        described.push(format!(
            "{pid} {} {}",
            String::from_utf8_lossy(&read("cmdline")),
            String::from_utf8_lossy(&read("environ"))
        ));
    }
    assert!(described.len() >= 4, "{described:?}");
    for canary in [token.trim(), &secret] {
        assert!(!daemon.log().contains(canary), "the log holds it");
        assert!(shown.iter().all(|text| !text.contains(canary)), "it is shown");
        assert!(described.iter().all(|text| !text.contains(canary)), "an argument or the environment holds it");
        let mut found = Vec::new();
        files_with(rig.world.path(), canary, &mut found);
        found.retain(|path| !path.ends_with("/state/identity/identity.json"));
        assert!(found.is_empty(), "{found:?}");
    }
    // A process of which no core file is written belongs to root in /proc, whoever it runs as.
    let front = processes(daemon.pid().as_raw()).into_iter().find(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|path| path.ends_with("gpuhostd")) && *pid != daemon.pid().as_raw()
    });
    let front = front.expect("the front");
    let environment = std::fs::metadata(format!("/proc/{front}/environ")).expect("the front");
    let status = std::fs::read_to_string(format!("/proc/{front}/status")).expect("the front");
    assert!(!status.contains("Uid:\t0\t"), "it has a user of its own: {status}");
    assert_eq!(environment.uid(), 0, "a core file of it would be written");
}
