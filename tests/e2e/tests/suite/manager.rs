//! A manager that says what it should not, and the shipped daemon: the host stays with the manager that works.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait;
use e2e::world::World;
use manager::{Endpoint, Manager, Options, Scripted};
use serde_json::json;
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
        let world = World::new();
        let bus = Bus::start(world.path()).expect("a bus");
        let tree = Some(world.host_tree("no-iommu"));
        let start = Start { bus: Some(bus.address.clone()), tree, ..Start::default() };
        let daemon = Daemon::start(&world, &start);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let options = Options { next_heartbeat_s: EVERY_S, ..Options::default() };
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
