//! A GPU given to a virtual machine and taken back, from the command line to the simulated kernel.

use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;

/// Free, alone in its group, and bound to NVIDIA's driver.
const FREE: &str = "0000:b7:00.0";
/// Free as well.
const OTHER: &str = "0000:bd:00.0";
/// A process computes on it.
const BUSY: &str = "0000:07:00.0";
struct Rig {
    world: World,
    bus: Bus,
    daemon: Option<SimDaemon>,
}

/// The host with persistence mode off on its two free GPUs.
fn rig(policy: &str) -> Rig {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    std::fs::write(world.path().join("policy.toml"), policy).expect("policy");
    let described = std::fs::read_to_string(e2e::world::repository().join("tests/hosts/dgx-a100.toml")).expect("host");
    let off = [FREE, OTHER].iter().fold(described, |text, gpu| {
        let address = format!("address = \"{gpu}\"\n");
        assert!(text.contains(&address), "{gpu} is on the host");
        text.replace(&address, &format!("{address}persistence = false\n"))
    });
    std::fs::write(world.path().join("dgx.toml"), off).expect("host");
    let mut rig = Rig { world, bus, daemon: None };
    rig.start();
    rig
}

impl Rig {
    fn start(&mut self) {
        let host = self.world.path().join("dgx.toml");
        self.daemon = Some(SimDaemon::start(&self.world, &self.bus.address, host.to_str().expect("UTF-8")));
    }

    fn pass(&self, args: &[&str]) -> Output {
        self.world.ctl(&self.bus.address, &[&["passthrough"], args].concat())
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.pass(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What it printed on both streams; it must end with this status.
    fn refused(&self, args: &[&str], status: i32) -> String {
        let output = self.pass(args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        said
    }

    fn gpu(&self, address: &str) -> Value {
        let gpus = self.world.ctl_json(&self.bus.address, &["gpus"]);
        let all = gpus.as_array().expect("a list").iter().find(|gpu| gpu["Address"] == address);
        all.expect("the GPU").clone()
    }

    fn until_use(&self, address: &str, wanted: &str) {
        wait::until("the GPU's use", PATIENCE, || (self.gpu(address)["Use"] == wanted).then_some(()));
    }

    fn condition(&self, kind: &str) -> Option<String> {
        let status = self.world.ctl_json(&self.bus.address, &["status"]);
        let held = status["Conditions"].as_array()?.iter().find(|one| one["Type"] == kind)?.clone();
        held["Message"].as_str().map(str::to_owned)
    }

    fn journal(&self) -> Vec<PathBuf> {
        let listed = std::fs::read_dir(self.world.path().join("sim-state/journal")).into_iter().flatten().flatten();
        listed.map(|entry| entry.path()).collect()
    }

    /// Ends the daemon without a warning and starts another one.
    fn kill_and_start(&mut self) {
        self.kill_and_start_after(|_| {});
    }

    /// The same, with something done to the files of the journal in between.
    fn kill_and_start_after(&mut self, change: impl FnOnce(&[PathBuf])) {
        drop(self.daemon.take());
        change(&self.journal());
        self.start();
    }
}

#[test]
fn a_gpu_goes_to_a_virtual_machine_and_comes_back() {
    let rig = rig("");
    let before = rig.gpu(FREE);
    let check = rig.done(&["check", FREE]);
    assert!(check.contains("  2  0000:b7:00.0: unbind from nvidia") && check.contains("isolated"), "{check}");
    rig.done(&["bind", FREE, "--dry-run"]);
    assert_eq!((rig.gpu(FREE)["Driver"].as_str(), rig.journal().len()), (Some("nvidia"), 0), "nothing was done yet");
    rig.done(&["bind", FREE]);
    rig.until_use(FREE, "passthrough");
    let given = rig.gpu(FREE);
    assert_eq!((given["Driver"].as_str(), given["Schedulable"].as_bool()), (Some("vfio-pci"), Some(false)));
    assert_eq!(rig.journal().len(), 1, "what is given away is written down");
    let listed = rig.world.ctl(&rig.bus.address, &["gpus"]).stdout;
    let listed = String::from_utf8(listed).expect("UTF-8");
    assert!(listed.contains("gpuhostctl passthrough release 0000:b7:00.0"), "the way back is ours: {listed}");
    assert!(!listed.contains("b7:00.0/driver_override"), "and not by hand: {listed}");
    assert_eq!(rig.done(&["release", FREE]), format!("{FREE} belongs to the host again.\n"));
    rig.until_use(FREE, "host");
    let nothing = rig.done(&["release", FREE]);
    assert_eq!(nothing, format!("{FREE} already belongs to the host; nothing to do.\n"));
    let after = rig.gpu(FREE);
    for key in ["Driver", "Schedulable", "UnschedulableReason"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(rig.journal(), Vec::<PathBuf>::new());
}

#[test]
fn a_gpu_in_use_is_refused_with_who_uses_it_and_what_to_do() {
    let rig = rig("");
    for args in [&["check", BUSY][..], &["bind", BUSY]] {
        let said = rig.refused(args, 11);
        assert!(said.contains("pid 41200") && said.contains("kill 41200"), "{said}");
    }
    assert_eq!(rig.gpu(BUSY)["Driver"], "nvidia");
    rig.refused(&["release", "0000:ff:00.0"], 5);
}

#[test]
fn the_policy_bounds_what_root_may_and_a_wrong_file_is_told() {
    let rig = rig("[host.passthrough]\nnever = ['0000:b7:00.0']\n");
    assert!(rig.refused(&["bind", FREE], 11).contains("host.passthrough.never"));
    let file = rig.world.path().join("policy.toml");
    std::fs::write(&file, "[host.passthrough]\nnever = 'all'\n").expect("policy");
    rig.daemon.as_ref().expect("a daemon").reload();
    let told = wait::until("the condition", PATIENCE, || rig.condition("policy_invalid"));
    assert!(told.contains("policy.toml") && told.contains(":2:9: host.passthrough.never"), "{told}");
    assert!(rig.refused(&["bind", FREE], 11).contains("host.passthrough.never"), "the old one stays");
    std::fs::write(&file, "[host.passthrough]\nchanges_per_minute = 2\n").expect("policy");
    rig.daemon.as_ref().expect("a daemon").reload();
    wait::until("the end of the condition", PATIENCE, || rig.condition("policy_invalid").is_none().then_some(()));
    rig.done(&["bind", OTHER]);
    rig.done(&["release", OTHER]);
    assert!(rig.refused(&["bind", OTHER], 11).contains("2 changes a minute"), "the rate is held for each GPU");
}

#[test]
fn what_nobody_confirms_is_undone_also_by_a_daemon_that_was_killed_meanwhile() {
    let mut rig = rig("");
    rig.done(&["bind", FREE, "--confirm-within", "1s"]);
    wait::until("the GPU to come back", PATIENCE, || rig.journal().is_empty().then_some(()));
    rig.until_use(FREE, "host");
    rig.done(&["bind", FREE, "--confirm-within", "3s"]);
    rig.kill_and_start();
    // The simulated kernel has started anew as well: what is left is the entry.
    wait::until("the entry to be closed", PATIENCE, || rig.journal().is_empty().then_some(()));
    rig.until_use(FREE, "host");
    rig.done(&["check", FREE]);
    rig.done(&["bind", FREE, "--confirm-within", "1h"]);
    let shows = |args: &[&str]| String::from_utf8(rig.world.ctl(&rig.bus.address, args).stdout).expect("UTF-8");
    let trial = format!("gpuhostctl passthrough confirm {FREE}");
    assert!(
        shows(&["gpus"]).contains(&trial) && shows(&["gpu", "show", FREE]).contains(&trial),
        "{}",
        shows(&["gpus"])
    );
    assert!(rig.gpu(FREE)["ConfirmBefore"].is_u64(), "{}", rig.gpu(FREE));
    assert!(rig.condition("passthrough_unconfirmed").expect("the condition").contains(FREE));
    let jobs = shows(&["jobs"]);
    for (kind, gpu, state) in [("passthrough-bind (dry run)", FREE, "planned"), ("passthrough-bind", FREE, "done")] {
        let is_it = |line: &str| line.contains(&format!("  {kind}  ")) && line.contains(gpu) && line.contains(state);
        assert!(jobs.lines().any(is_it), "{kind}: {jobs}");
    }
    rig.done(&["confirm", FREE]);
    assert!(!shows(&["gpus"]).contains(&trial) && rig.gpu(FREE)["ConfirmBefore"].is_null());
    rig.kill_and_start();
    assert_eq!(rig.journal().len(), 1, "what is confirmed is kept over a restart");
}

#[test]
fn a_record_that_cannot_be_read_is_named_by_every_answer_and_stays_as_it_is() {
    let mut rig = rig("");
    rig.done(&["bind", FREE]);
    let record = rig.journal().remove(0);
    let bytes = std::fs::read(&record).expect("the record");
    let (cut, name) = (bytes[..bytes.len() / 3].to_vec(), record.display().to_string());
    rig.kill_and_start_after(|_| std::fs::write(&record, &cut).expect("the record"));
    for args in [&["release", FREE][..], &["bind", FREE], &["check", FREE], &["confirm", FREE]] {
        let said = rig.refused(args, 11);
        assert!(said.contains(&name) && said.contains("systemctl restart gpuhostd"), "{args:?}: {said}");
    }
    let told = rig.condition("change_journal_unreadable").expect("the condition");
    assert!(told.contains(&name), "{told}");
    let gpu = rig.gpu(FREE);
    assert_eq!((gpu["Use"].as_str(), gpu["Schedulable"].as_bool()), (Some("quarantined"), Some(false)));
    let listed = rig.world.ctl(&rig.bus.address, &["gpus"]).stdout;
    assert!(String::from_utf8_lossy(&listed).contains(&name), "{}", String::from_utf8_lossy(&listed));
    assert_eq!(std::fs::read(&record).expect("the record"), cut);
    rig.done(&["bind", OTHER]);
    // Anything may stand where the record was: it is not followed, not waited for, and not replaced.
    rig.kill_and_start_after(|_| {
        std::fs::remove_file(&record).expect("the record");
        std::fs::create_dir(&record).expect("a folder in its place");
    });
    assert!(rig.refused(&["release", FREE], 11).contains(&name));
    assert!(record.is_dir());
    rig.kill_and_start_after(|_| {
        std::fs::remove_dir(&record).expect("the folder");
        std::fs::write(&record, &bytes).expect("the record from a backup");
    });
    assert_eq!(rig.condition("change_journal_unreadable"), None);
    rig.done(&["release", FREE]);
    assert!(!record.exists());
}

#[test]
fn a_lock_is_shown_until_it_is_lifted() {
    let mut rig = rig("");
    assert!(rig.world.ctl(&rig.bus.address, &["lock"]).status.success());
    rig.kill_and_start();
    assert!(rig.condition("remote_changes_locked").is_some_and(|told| told.contains("gpuhostctl unlock")));
    rig.done(&["bind", FREE]);
    assert!(rig.world.ctl(&rig.bus.address, &["unlock"]).status.success());
    assert_eq!(rig.condition("remote_changes_locked"), None);
}
