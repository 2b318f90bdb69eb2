//! The example manager of the documents, a hundred lines of Python: the daemon on a simulated host enrols with it, reports, and does
//! what its document wishes, whatever becomes of `/version`.

use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::wait;
use e2e::world::{World, repository};
use manager::Fleet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The example with a `/version` that it does not have by itself.
const WITH_VERSION: &str = "
import sys, time
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import example_manager as example
class Handler(example.Handler):
    def do_GET(self):
        if sys.argv[2] == 'hang':
            time.sleep(3600)
        if sys.argv[2] == 'cut':
            self.close_connection = True
            return
        self.answer(404, {'error_message': 'not here'})
example.serve(Handler, sys.argv[3:])
";

fn folder() -> PathBuf {
    repository().join("docs/manager-api")
}

/// The example while it runs: what it prints, line by line.
struct Example {
    child: Child,
    lines: Receiver<String>,
    port: String,
}

impl Example {
    fn start(world: &World, version: &str) -> Self {
        let fleet = Fleet::new().expect("an authority");
        let file = |name: &str, content: &str| {
            let path = world.path().join(name);
            std::fs::write(&path, content).expect("a file");
            path.to_str().expect("text").to_owned()
        };
        file("ca.pem", &fleet.ca_pem());
        file("token", "one-use-token");
        let tls = file("server.pem", &fleet.server_pem().expect("a certificate"));
        let tokens = file("tokens", "another-one one-use-token\n");
        let desired = file("desired.json", &document(1));
        let state = world.path().join("example.json");
        let mut command = Command::new("python3");
        command.args(["-c", WITH_VERSION]).arg(folder()).arg(version);
        command.args(["--listen", "127.0.0.1:0", "--every", "5", "--tls", &tls, "--tokens", &tokens]);
        command.args(["--desired", &desired, "--state"]).arg(state);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("python3");
        let (said, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let first = lines.recv_timeout(wait::PATIENCE).expect("the example listens");
        let port = first.rsplit(' ').next().expect("a port").to_owned();
        Self { child, lines, port }
    }

    /// Waits for a heartbeat that ends so.
    fn until(&self, end: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(wait::PATIENCE).unwrap_or_else(|_| panic!("no heartbeat ended with {end:?}"));
            if line.ends_with(end) {
                return line;
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A document that this host meets at once.
fn document(revision: u64) -> String {
    format!(
        "{{\"epoch\": \"e1\", \"revision\": {revision}, \"issued_at\": \"2026-03-31T13:13:13Z\", \
         \"agent\": {{\"labels\": {{\"revision\": \"{revision}\"}}}}}}"
    )
}

fn the_daemon_gets_on_with_it(version: &str) {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let example = Example::start(&world, version);
    let daemon = SimDaemon::start(&world, &bus.address, "dgx-a100");
    let (url, token, ca) =
        (format!("https://127.0.0.1:{}", example.port), world.path().join("token"), world.path().join("ca.pem"));
    let files = [token.to_str().expect("text"), "--ca-file", ca.to_str().expect("text")];
    let output = world.ctl(&bus.address, &[&["enroll", &url, "--token-file"][..], &files].concat());
    assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
    let first = example.until("applied e1 1");
    // Whole or not at all: the example reads it at each heartbeat.
    std::fs::write(world.path().join("desired.new"), document(2)).expect("the next revision");
    std::fs::rename(world.path().join("desired.new"), world.path().join("desired.json")).expect("the next revision");
    let second = example.until("applied e1 2");
    // The same host, and no heartbeat was lost on the way.
    assert_eq!(first.split(' ').next(), second.split(' ').next(), "{version}");
    let status = world.ctl_json(&bus.address, &["status"]);
    assert_eq!(
        (status["ManagerState"].as_str(), status["HeartbeatsFailed"].as_u64()),
        (Some("ok"), Some(0)),
        "{version}: {status}"
    );
    drop(daemon);
}

#[test]
fn the_example_manager_has_no_more_than_a_hundred_lines_and_needs_nothing_but_python() {
    let text = std::fs::read_to_string(folder().join("example_manager.py")).expect("the example");
    assert!(text.lines().count() <= 100, "{} lines", text.lines().count());
    let isolated =
        Command::new("python3").args(["-I", "-S"]).arg(folder().join("example_manager.py")).arg("--help").output();
    assert!(isolated.is_ok_and(|output| output.status.success()), "it needs more than the standard library");
}

#[test]
fn the_daemon_works_with_the_example_manager_that_has_no_version() {
    the_daemon_gets_on_with_it("absent");
}

#[test]
fn the_daemon_works_with_the_example_manager_whose_version_is_cut() {
    the_daemon_gets_on_with_it("cut");
}

#[test]
fn the_daemon_works_with_the_example_manager_whose_version_hangs() {
    the_daemon_gets_on_with_it("hang");
}
