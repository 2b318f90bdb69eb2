//! A manager that hands out documents: the reference manager, in this process, or as the program with a file.

use crate::place::{EVERY_S, Place, runtime};
use e2e::wait::{self, PATIENCE};
use e2e::world::executable;
use manager::{Manager, Options};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// A document in which every value names its revision.
pub(crate) fn document(revision: u64) -> Value {
    let name = format!("n{revision}");
    json!({"epoch": "kills", "revision": revision, "issued_at": "2026-03-31T13:13:13Z",
        "agent": {"zone": name, "pool": name, "labels": {"n": name}, "max_workspaces": revision}})
}

/// The revision in such a name; 0 where there is none.
pub(crate) fn named(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.strip_prefix('n')).and_then(|text| text.parse().ok()).unwrap_or_default()
}

enum Kind {
    /// In this process: all heartbeats are seen.
    Inside(Manager),
    /// The program, whose document is a file: the last heartbeat is seen.
    Program { child: Child, folder: PathBuf, url: String },
}

/// The manager.
pub(crate) struct Wisher {
    kind: Kind,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The test has taken its ledger from the host, which then has no document in force and keeps its settings.
    has_no_ledger: bool,
    /// So many heartbeats were looked at.
    beats: u64,
    /// The newest revision that was reported as applied.
    applied: u64,
}

impl Wisher {
    pub(crate) fn inside() -> Self {
        let features = ["gzip", "long_poll"].map(str::to_owned).to_vec();
        let options = Options { next_heartbeat_s: EVERY_S, features, ..Options::default() };
        let manager = runtime().block_on(Manager::start(options)).expect("a manager");
        Self { kind: Kind::Inside(manager), heard: Mutex::default() }
    }

    /// The program, beside this host.
    pub(crate) fn program(place: &Place) -> Self {
        let folder = place.world.path().join("manager");
        std::fs::create_dir(&folder).expect("a folder");
        let at = |name: &str| folder.join(name);
        let mut command = Command::new(executable("reference-manager"));
        command.args(["--listen", "127.0.0.1:0", "--quiet", "--every", &EVERY_S.to_string(), "--state"]);
        command.arg(at("state")).arg("--token-file").arg(at("token")).arg("--ca-file").arg(at("ca.pem"));
        command.arg("--desired").arg(at("desired.json")).arg("--dump-last").arg(at("last.json"));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("reference-manager");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its address");
        let url = line.split(' ').find(|word| word.starts_with("https://")).expect("its address").to_owned();
        Self { kind: Kind::Program { child, folder, url }, heard: Mutex::default() }
    }

    /// The manager in this process.
    pub(crate) fn manager(&self) -> &Manager {
        match &self.kind {
            Kind::Inside(manager) => manager,
            Kind::Program { .. } => panic!("it is another process"),
        }
    }

    pub(crate) fn enrol(&self, place: &Place) {
        match &self.kind {
            Kind::Inside(manager) => place.enrol(&manager.url(), &manager.issue_token(), &manager.ca_pem()),
            Kind::Program { folder, url, .. } => {
                let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the manager");
                place.enrol(url, &read("token"), &read("ca.pem"));
            }
        }
    }

    /// This is wished from now on.
    pub(crate) fn wish(&self, revision: u64) {
        match &self.kind {
            Kind::Inside(manager) => manager.set_desired(Some(document(revision))),
            Kind::Program { folder, .. } => {
                let text = document(revision).to_string();
                manager::write_file(&folder.join("desired.json"), &text, 0o600).expect("the document");
            }
        }
    }

    /// A heartbeat has come that reports this revision as applied.
    pub(crate) fn has_reported(&self, revision: u64) -> bool {
        let mut heard = self.heard.lock().unwrap();
        match &self.kind {
            Kind::Inside(manager) => {
                let count = *manager.heartbeat_count().borrow();
                if count > heard.beats {
                    for beat in manager.heartbeats_after(heard.beats) {
                        heard.take(&beat.body);
                    }
                    heard.beats = count;
                }
            }
            Kind::Program { folder, .. } => {
                if let Some(body) = std::fs::read(folder.join("last.json")).ok().filter(|text| !text.is_empty()) {
                    heard.take(&serde_json::from_slice(&body).expect("a heartbeat"));
                }
            }
        }
        heard.applied >= revision
    }

    /// The host has no ledger from now on, until a document comes.
    pub(crate) fn ledger_is_gone(&self) {
        self.heard.lock().unwrap().has_no_ledger = true;
    }

    pub(crate) fn no_violations(&self) {
        if let Kind::Inside(manager) = &self.kind {
            assert!(manager.violations().is_empty(), "{:#?}", manager.violations());
        }
    }
}

impl Heard {
    /// What a heartbeat reports as applied, its host shows: nothing in it is older.
    fn take(&mut self, body: &Value) {
        let (observed, effective) = (&body["observed"], &body["effective"]);
        let applied = observed["applied_revision"].as_u64().unwrap_or_default();
        let in_force = observed["revision"].as_u64().unwrap_or_default();
        let shown = [&effective["zone"], &effective["pool"], &effective["labels"]["n"]].map(named);
        assert!(applied <= in_force, "{observed}");
        self.has_no_ledger &= in_force == 0;
        let is_shown = |one: &u64| (applied..=in_force).contains(one) || self.has_no_ledger;
        assert!(shown.iter().all(is_shown), "{observed} and the host shows {effective}");
        self.applied = applied.max(self.applied);
    }
}

impl Drop for Wisher {
    fn drop(&mut self) {
        if let Kind::Program { child, .. } = &mut self.kind {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Waits until the request for desired state is with the manager.
pub(crate) fn until_it_polls(place: &Place) {
    wait::until("the long-poll", PATIENCE, || (place.json(&["desired", "show"])["Fetch"] == "long_poll").then_some(()));
}
