//! MIG of a GPU from the command line to the simulated driver: enabled, cut up, cut up otherwise, and refused where it would do harm.

use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use serde_json::Value;
use std::process::Output;

/// An idle H100 of the HGX, which switches the mode without a reset.
const IDLE: &str = "0000:9d:00.0";
/// Its place in the order of the addresses.
const IDLE_INDEX: u64 = 4;
/// A process computes on it.
const BUSY: &str = "0000:1b:00.0";
/// An A100 of the DGX that somebody else has cut into 3g.20gb twice.
const FOREIGN: &str = "0000:47:00.0";
/// One with MIG on and without an instance.
const EMPTY: &str = "0000:87:00.0";
/// Several changes a minute: what is tested is not the rate.
const OFTEN: &str = "[host.mig]\nchanges_per_minute = 60\n";

struct Rig {
    world: World,
    bus: Bus,
    _daemon: SimDaemon,
}

fn rig(host: &str, policy: &str) -> Rig {
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    std::fs::write(world.path().join("policy.toml"), policy).expect("policy");
    let daemon = SimDaemon::start(&world, &bus.address, host);
    Rig { world, bus, _daemon: daemon }
}

impl Rig {
    fn mig(&self, args: &[&str]) -> Output {
        self.world.ctl(&self.bus.address, &[&["mig"], args].concat())
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.mig(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What it printed on both streams; it must end with this status.
    fn ends(&self, args: &[&str], status: i32) -> String {
        let output = self.mig(args);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        said
    }

    fn json(&self, args: &[&str]) -> Value {
        self.world.ctl_json(&self.bus.address, &[&["mig"], args].concat())
    }

    /// Profile and start of each instance, as `mig show` has them.
    fn layout(&self, gpu: &str) -> Vec<(String, u64)> {
        let look = self.json(&["show", gpu]);
        let instances = look["Instances"].as_array().expect("a list").iter();
        let place = |one: &Value| (one["Profile"].as_str().unwrap().to_owned(), one["Start"].as_u64().unwrap());
        instances.map(place).collect()
    }

    fn layout_is(&self, gpu: &str, wanted: &[(&str, u64)]) {
        let wanted: Vec<_> = wanted.iter().map(|(profile, start)| ((*profile).to_owned(), *start)).collect();
        assert_eq!(self.layout(gpu), wanted);
    }

    fn gpu(&self, address: &str) -> Value {
        let gpus = self.world.ctl_json(&self.bus.address, &["gpus"]);
        gpus.as_array().expect("a list").iter().find(|gpu| gpu["Address"] == address).expect("the GPU").clone()
    }

    /// Writes a configuration file and returns its path.
    fn file(&self, text: &str) -> String {
        let path = self.world.path().join("mig.yaml");
        std::fs::write(&path, text).expect("file");
        path.display().to_string()
    }
}

/// A file in mig-parted's form with one configuration.
fn config(index: u64, devices: &str) -> String {
    format!(
        "version: v1\nmig-configs:\n  lab:\n  - devices: [{index}]\n    mig-enabled: true\n    mig-devices: {devices}\n"
    )
}

#[test]
fn a_file_enables_mig_on_an_idle_gpu_and_cuts_it_up_and_nothing_else_is_touched() {
    let rig = rig("hgx-h100", OFTEN);
    let file = rig.file(&config(IDLE_INDEX, "{1g.10gb: 2, 3g.40gb: 1}"));
    let args = ["apply", "-f", &file];
    assert!(rig.ends(&[&args[..], &["--check"]].concat(), 3).contains("would change: MIG mode enabled; layout "));
    rig.done(&[&args[..], &["--dry-run"]].concat());
    assert_eq!(rig.json(&["show", IDLE])["Mode"], "disabled", "a dry run changes nothing");
    rig.ends(&["assert", "-f", &file], 1);
    let said = rig.done(&args);
    let line = |address: &str| said.lines().find(|line| line.contains(address)).expect(&said).to_owned();
    assert!(line(IDLE).starts_with(" 4  ") && line(IDLE).contains("done"), "{said}");
    assert!(line(BUSY).contains("left alone"), "a GPU that no entry names: {said}");
    rig.layout_is(IDLE, &[("1g.10gb", 0), ("1g.10gb", 1), ("3g.40gb", 4)]);
    assert_eq!(rig.json(&["show", BUSY])["Mode"], "disabled");
    wait::until("the MIG devices on the bus", PATIENCE, || {
        (rig.gpu(IDLE)["MigDevices"].as_array().map(Vec::len) == Some(3)).then_some(())
    });
    let gpu = rig.gpu(IDLE);
    assert_eq!((gpu["Use"].as_str(), gpu["Schedulable"].as_bool()), (Some("mig"), Some(false)));
    rig.done(&["assert", "-f", &file]);
    rig.ends(&["assert", "-f", &file, "--all-gpus"], 1);
    assert!(rig.done(&args).contains("already as wanted"), "{said}");
    let drawn = rig.done(&["show", IDLE]);
    for part in ["│1g.10gb│1g.10gb│", "5 of 7 compute slices", "MIG mode: enabled", "1g.10gb@0", "idle"] {
        assert!(drawn.contains(part), "no {part:?} in\n{drawn}");
    }
}

#[test]
fn another_layout_keeps_what_it_can_and_what_cannot_be_had_leaves_everything_as_it_is() {
    let rig = rig("hgx-h100", OFTEN);
    rig.done(&["enable", IDLE]);
    rig.done(&["apply", "--gpu", IDLE, "--layout", "3g.40gb@4,1g.10gb@0"]);
    let uuid_at_4 = || {
        let look = rig.json(&["show", IDLE]);
        let instance = look["Instances"].as_array().expect("a list").iter().find(|one| one["Start"] == 4).cloned();
        instance.expect("an instance")["ComputeInstances"][0]["Uuid"].clone()
    };
    let before = uuid_at_4();
    rig.done(&["apply", "--gpu", IDLE, "--layout", "3g.40gb,1g.10gb:3", "--replace-foreign"]);
    rig.layout_is(IDLE, &[("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2), ("3g.40gb", 4)]);
    assert!(before.is_string() && uuid_at_4() == before, "what is wanted and there stays: {before}");
    let said = rig.ends(&["apply", "--gpu", IDLE, "--layout", "4g.40gb:2", "--replace-foreign"], 11);
    assert!(said.contains("can hold 1") && said.contains("4g.40gb"), "{said}");
    let said = rig.ends(&["apply", "--gpu", IDLE, "--layout", "1g.5gb"], 11);
    assert!(said.contains("1g.5gb") && said.contains("1g.10gb+me"), "the profiles that it has are named: {said}");
    let said = rig.ends(&["apply", "--gpu", IDLE, "--layout", "1g.10gb:010"], 2);
    assert!(said.contains("010"), "{said}");
    assert_eq!(rig.layout(IDLE).len(), 4);
    let file = rig.file(&config(99, "{1g.10gb: 1}"));
    let said = rig.ends(&["apply", "-f", &file], 2);
    assert!(said.contains("there is no GPU 99") && said.contains("4 = 0000:9d:00.0"), "{said}");
}

#[test]
fn a_gpu_in_use_keeps_its_mode_and_who_uses_it_is_named() {
    let rig = rig("hgx-h100", OFTEN);
    for args in [&["enable", BUSY][..], &["enable", BUSY, "--dry-run"]] {
        let said = rig.ends(args, 11);
        assert!(said.contains("pid 91750") && said.contains("kill 91750"), "{said}");
    }
    assert_eq!(rig.json(&["show", BUSY])["Mode"], "disabled");
    let said = rig.ends(&["apply", "--gpu", IDLE, "--layout", "7g.80gb"], 11);
    assert!(said.contains(&format!("gpuhostctl mig enable {IDLE}")), "{said}");
    rig.done(&["enable", IDLE]);
    assert!(rig.done(&["enable", IDLE]).contains("enabled already"));
    rig.done(&["disable", IDLE]);
    assert_eq!(rig.json(&["show", IDLE])["Mode"], "disabled");
}

#[test]
fn what_somebody_else_created_goes_only_on_request_and_is_listed_first() {
    let rig = rig("dgx-a100", OFTEN);
    let before = rig.layout(FOREIGN);
    assert_eq!(before.len(), 2);
    let want = ["apply", "--gpu", FOREIGN, "--layout", "1g.5gb:7"];
    let said = rig.ends(&want, 11);
    assert!(said.contains("did not create") && said.contains("3g.20gb@0, 3g.20gb@4"), "{said}");
    assert!(said.contains("--replace-foreign") && said.contains("nothing was changed"), "{said}");
    rig.ends(&[&want[..], &["--json"]].concat(), 11);
    rig.done(&[&want[..], &["--replace-foreign", "--dry-run"]].concat());
    assert_eq!(rig.layout(FOREIGN), before);
    // Beside it there is room for one more slice, and what is there stays.
    rig.done(&["apply", "--gpu", FOREIGN, "--layout", "3g.20gb:2", "--dry-run"]);
    let said = rig.done(&[&want[..], &["--replace-foreign"]].concat());
    let listed = said.lines().next().unwrap_or_default();
    assert!(listed.contains("replaces instances that gpuhostd did not create: 3g.20gb@0, 3g.20gb@4"), "{said}");
    let wanted: Vec<(String, u64)> = (0..7).map(|start| ("1g.5gb".to_owned(), start)).collect();
    assert_eq!(rig.layout(FOREIGN), wanted);
    let said = rig.ends(&["disable", EMPTY], 11);
    assert!(said.contains("with a reset only") && said.contains(&format!("nvidia-smi -i {EMPTY}")), "{said}");
}

#[test]
fn a_second_change_of_a_layout_within_a_minute_waits_as_the_policy_says() {
    let rig = rig("dgx-a100", "");
    rig.done(&["apply", "--gpu", EMPTY, "--layout", "1g.5gb"]);
    let output = rig.mig(&["apply", "--gpu", EMPTY, "--layout", "1g.5gb:2", "--json"]);
    assert_eq!(output.status.code(), Some(11));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (result, job) = (&told[0]["Result"], &told[0]["Jobs"][0]);
    assert_eq!((result, &job["Blockers"][0]["Code"]), (&"failed".into(), &"rate_limited".into()), "{told}");
    assert!(job["Blockers"][0]["Remedy"].as_str().is_some_and(|remedy| remedy.contains("changes_per_minute")));
    rig.layout_is(EMPTY, &[("1g.5gb", 6)]);
    let denied = rig_with_never();
    let said = denied.ends(&["apply", "--gpu", EMPTY, "--layout", "1g.5gb"], 11);
    assert!(said.contains("host.mig.never"), "{said}");
}

fn rig_with_never() -> Rig {
    rig("dgx-a100", &format!("[host.mig]\nnever = ['{EMPTY}']\n"))
}

#[test]
fn a_host_is_exported_and_a_checkpoint_brings_it_back() {
    let rig = rig("dgx-a100", OFTEN);
    let exported = rig.done(&["export"]);
    let file = rig.file(&exported);
    rig.done(&["assert", "-f", &file, "--all-gpus"]);
    rig.done(&["apply", "-f", &file, "--check"]);
    let checkpoint = rig.world.path().join("checkpoint.json");
    std::fs::write(&checkpoint, rig.done(&["checkpoint", "-f", "-"])).expect("file");
    let checkpoint = checkpoint.display().to_string();
    let before = rig.layout(FOREIGN);
    rig.done(&["apply", "--gpu", FOREIGN, "--layout", "7g.40gb", "--replace-foreign"]);
    rig.ends(&["assert", "-f", &file], 1);
    assert!(rig.ends(&["restore", "-f", &checkpoint, "--check", "--replace-foreign"], 3).contains(FOREIGN));
    rig.done(&["restore", "-f", &checkpoint, "--replace-foreign"]);
    assert_eq!(rig.layout(FOREIGN), before);
    let generated = rig.file(&rig.done(&["generate-config"]));
    rig.done(&["assert", "--valid-config", "-f", &generated, "-c", "all-1g.5gb"]);
    let profiles = rig.json(&["profiles"]);
    assert_eq!((&profiles["compute_slices"], &profiles["memory_slots"]), (&7.into(), &8.into()));
}

#[test]
fn a_layout_on_trial_is_kept_by_its_confirmation_and_undone_without_it() {
    let rig = rig("hgx-h100", OFTEN);
    rig.done(&["enable", IDLE]);
    let file = rig.file(&config(IDLE_INDEX, "{1g.10gb: 2, 3g.40gb: 1}"));
    rig.done(&["apply", "-f", &file]);
    let before = [("1g.10gb", 0), ("1g.10gb", 1), ("3g.40gb", 4)];
    rig.layout_is(IDLE, &before);
    let said = rig.done(&["apply", "--gpu", IDLE, "--layout", "3g.40gb", "--confirm-within", "3s"]);
    assert!(said.contains(&format!("gpuhostctl mig confirm {IDLE}")), "{said}");
    wait::until("the layout before", PATIENCE, || (rig.layout(IDLE).len() == 3).then_some(()));
    rig.layout_is(IDLE, &before);
    wait::until("the end of the undoing", PATIENCE, || rig.gpu(IDLE)["ConfirmBefore"].is_null().then_some(()));
    rig.done(&["apply", "--gpu", IDLE, "--layout", "3g.40gb", "--confirm-within", "1h"]);
    let shown = rig.world.ctl(&rig.bus.address, &["gpus"]).stdout;
    assert!(String::from_utf8_lossy(&shown).contains(&format!("gpuhostctl mig confirm {IDLE}")));
    let said = rig.ends(&["apply", "--gpu", IDLE, "--layout", "-"], 6);
    assert!(said.contains("mig confirm"), "{said}");
    rig.done(&["confirm", IDLE]);
    assert!(rig.gpu(IDLE)["ConfirmBefore"].is_null());
    rig.layout_is(IDLE, &[("3g.40gb", 4)]);
    // One change of a GPU can be on trial.
    rig.done(&["apply", "--gpu", IDLE, "--layout", "-"]);
    rig.done(&["disable", IDLE]);
    let said = rig.ends(&["apply", "-f", &file, "--confirm-within", "1h"], 2);
    assert!(said.contains("--mode-only") && said.contains("nothing was changed on any GPU"), "{said}");
}
