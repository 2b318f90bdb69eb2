//! `gpuhostctl mig` of this host's GPUs: what it shows, what it asks of the daemon, and what it refuses before it asks.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts};
use crate::run::{Ran, finish, gpuhostctl, json, program, told};
use model::change::Change;
use model::mig::MigLayoutRequest;

/// Cut in three, of which a container has one.
const CUT: &str = "0000:41:00.0";

fn daemon() -> (PrivateBus, Served) {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    (bus, served)
}

fn changes(served: &Served) -> Vec<(Change, bool)> {
    served.core.got.borrow().iter().filter_map(|got| got.change.clone()).collect()
}

fn layout(layout: &str, replace_foreign: bool, dry_run: bool) -> (Change, bool) {
    let gpu = CUT.parse().unwrap();
    (
        Change::MigLayout(MigLayoutRequest {
            gpu,
            layout: layout.to_owned(),
            replace_foreign,
            confirm_within_ms: None,
        }),
        dry_run,
    )
}

/// Runs it with a file on standard input.
fn with_file(bus: &PrivateBus, args: &[&str], file: &str) -> Ran {
    let mut command = program(&bus.address);
    command.args(args);
    finish(command, file.as_bytes())
}

#[test]
fn a_look_shows_ids_places_who_has_what_and_whose_it_is() {
    let (bus, _served) = daemon();
    let drawn = told(&bus, &["mig", "show", CUT]);
    let line = |place: &str| drawn.lines().find(|line| line.starts_with(place)).unwrap_or_else(|| panic!("{drawn}"));
    let words = |place: &str| line(place).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("1g.10gb@0")[1..4], ["9", "0", "1c"]);
    assert!(line("1g.10gb@0").contains("in use  foreign     container lab-3 was given nvidia.com/gpu=0:1"), "{drawn}");
    assert!(line("1g.10gb@1").contains("none"), "a GPU instance that nobody can use is seen: {drawn}");
    assert_eq!(words("3g.40gb@4")[1..4], ["1", "4-7", "3c"]);
    assert!(line("3g.40gb@4").contains("idle    gpuhostd"), "{drawn}");
    assert!(drawn.contains("5 of 7 compute slices") && drawn.contains("MIG mode: enabled"), "{drawn}");
    let look = json(&bus, &["mig", "show", CUT, "--json"]);
    assert_eq!((&look["Instances"][0]["InUse"], &look["Instances"][2]["Ours"]), (&true.into(), &true.into()));
    let all = json(&bus, &["mig", "show", "--json"]);
    assert_eq!(all.as_array().map(Vec::len), Some(1), "one that the driver does not answer for is none of them");
}

#[test]
fn profiles_of_a_host_are_what_the_planner_reads_and_count_what_still_fits() {
    let (bus, _served) = daemon();
    let text = told(&bus, &["mig", "profiles", CUT]);
    let line = text.lines().find(|line| line.starts_with("1g.10gb ")).unwrap();
    assert_eq!(line.split_whitespace().nth(2), Some("2/7"), "{text}");
    let catalog = told(&bus, &["mig", "profiles", "--json"]);
    let ran = with_file(&bus, &["mig", "plan", "--profiles", "-", "--want", "7g.80gb", "--json"], &catalog);
    assert_eq!(ran.status, 0, "{ran:?}");
}

#[test]
fn a_layout_is_asked_for_once_it_is_known_to_be_possible() {
    let (bus, served) = daemon();
    let apply = |layout: &str, more: &[&str]| {
        gpuhostctl(&bus, &[&["mig", "apply", "--gpu", CUT, "--layout", layout][..], more].concat())
    };
    // A container has 1g.10gb@0: it is named before the daemon is asked for anything.
    let ran = apply("7g.80gb", &["--replace-foreign"]);
    assert_eq!(ran.status, 11, "{ran:?}");
    for part in ["1g.10gb@0", "(id 9)", "lab-3", "docker stop lab-3", "nothing was changed"] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    let ran = apply("1g.10gb,2g.20gb,3g.40gb", &[]);
    assert!(ran.status == 11 && ran.err.contains("1g.10gb@1") && ran.err.contains("--replace-foreign"), "{ran:?}");
    assert_eq!(changes(&served), []);
    let ran = apply("1g.10gb@0,3g.40gb:1,1g.10gb:2", &["--check", "--replace-foreign"]);
    assert_eq!((ran.status, changes(&served)), (3, vec![]), "{ran:?}");
    assert_eq!(apply("1g.10gb@0,3g.40gb,1g.10gb:2", &["--replace-foreign"]).status, 0);
    assert_eq!(apply("1g.10gb@0,3g.40gb,1g.10gb:2", &["--replace-foreign", "--dry-run"]).status, 0);
    let text = "1g.10gb@0,3g.40gb,1g.10gb:2";
    assert_eq!(changes(&served), [layout(text, true, false), layout(text, true, true)]);
}

#[test]
fn a_change_on_trial_names_the_command_that_keeps_it() {
    let (bus, served) = daemon();
    let text = "1g.10gb@0,3g.40gb,1g.10gb:2";
    let args = ["mig", "apply", "--gpu", CUT, "--layout", text, "--replace-foreign", "--confirm-within", "5m"];
    let ran = gpuhostctl(&bus, &args);
    assert!(ran.status == 0 && ran.out.contains(&format!("gpuhostctl mig confirm {CUT}")), "{ran:?}");
    let on_trial = MigLayoutRequest {
        gpu: CUT.parse().unwrap(),
        layout: text.to_owned(),
        replace_foreign: true,
        confirm_within_ms: Some(300_000),
    };
    assert_eq!(changes(&served), [(Change::MigLayout(on_trial), false)]);
    let ran = gpuhostctl(&bus, &["mig", "confirm", "41:00.0"]);
    assert!(ran.status == 0 && ran.out.contains("is confirmed"), "{ran:?}");
    let operations: Vec<&str> = served.core.got.borrow().iter().map(|got| got.operation).collect();
    assert_eq!(operations.last(), Some(&"mig-confirm"));
    assert_eq!(gpuhostctl(&bus, &[&args[..8], &["2d"]].concat()).status, 2);
}

#[test]
fn a_file_is_held_against_the_host_and_a_gpu_that_no_entry_names_is_left_alone() {
    let (bus, served) = daemon();
    let file = |devices: &str, wanted: &str| {
        format!(
            "version: v1\nmig-configs:\n  lab:\n  - devices: [{devices}]\n    mig-enabled: true\n    mig-devices: {wanted}\n"
        )
    };
    let there = file("0", "{1g.10gb: 1, 3g.40gb: 1}");
    let ran = with_file(&bus, &["mig", "assert", "-f", "-"], &there);
    assert!(ran.status == 1 && ran.out.contains("1g.10gb@1 has no compute instance"), "{ran:?}");
    let ran = with_file(&bus, &["mig", "assert", "-f", "-", "--mode-only"], &there);
    assert_eq!(ran.status, 0, "{ran:?}");
    let ran = with_file(&bus, &["mig", "apply", "-f", "-"], &file("3", "{1g.10gb: 1}"));
    assert!(ran.status == 2 && ran.err.contains("0 = 0000:41:00.0"), "an index that no GPU has: {ran:?}");
    let mut command = program(&bus.address);
    command.args(["mig", "apply", "-f", "-", "--json"]).env("MIG_PARTED_MODE_CHANGE_ONLY", "true");
    let ran = finish(command, there.as_bytes());
    assert!(ran.status == 0 && ran.out.contains("already_so"), "{ran:?}");
    let ran = with_file(&bus, &["mig", "apply", "-f", "-", "-k", "hooks.yaml"], &there);
    assert!(ran.status == 2 && ran.err.contains("hooks are not run"), "{ran:?}");
    assert_eq!(changes(&served), []);
}

#[test]
fn a_host_is_written_as_a_file_and_as_a_checkpoint_with_its_places() {
    let (bus, _served) = daemon();
    let ran = gpuhostctl(&bus, &["mig", "export", "-l", "night"]);
    assert!(ran.status == 0 && ran.out.contains("\"night\":") && ran.out.contains("\"3g.40gb\": 1"), "{ran:?}");
    assert!(ran.err.contains("1g.10gb@1 has no compute instance"), "what the file cannot hold is said: {ran:?}");
    let mut command = program(&bus.address);
    command.args(["mig", "export"]).env("MIG_PARTED_CONFIG_LABEL", "night").env("MIG_PARTED_OUTPUT_FORMAT", "json");
    let ran = finish(command, b"");
    let exported: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(exported["mig-configs"]["night"][0]["mig-enabled"], true, "{ran:?}");
    assert_eq!(gpuhostctl(&bus, &["mig", "export", "-o", "toml"]).status, 2);
    let ran = gpuhostctl(&bus, &["mig", "checkpoint"]);
    assert!(ran.status == 2 && ran.err.contains("--checkpoint-file"), "{ran:?}");
    let checkpoint = json(&bus, &["mig", "checkpoint", "-f", "-"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint.json");
    let ran = gpuhostctl(&bus, &["mig", "checkpoint", "-f", file.to_str().unwrap()]);
    assert!(ran.status == 0 && ran.out.is_empty(), "{ran:?}");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, checkpoint);
    let places: Vec<_> = checkpoint["MigState"]["Devices"][0]["GpuInstances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["Placement"]["Start"].as_u64().unwrap())
        .collect();
    assert_eq!(places, [0, 1, 4]);
    let other = checkpoint.to_string().replace("GPU-5d0e1f4a", "GPU-00000000");
    let ran = with_file(&bus, &["mig", "restore", "-f", "-"], &other);
    assert!(ran.status == 2 && ran.err.contains("is not on this host"), "{ran:?}");
}

#[test]
fn a_gpu_that_does_not_answer_is_named_and_holds_up_no_other_reader() {
    let (bus, served) = daemon();
    served.core.mig.send_replace(Vec::new());
    let ran = gpuhostctl(&bus, &["mig", "show"]);
    assert!(ran.status == 10 && ran.out.contains(CUT) && ran.err.contains("Not Supported"), "{ran:?}");
    let ran = gpuhostctl(&bus, &["mig", "export"]);
    assert!(ran.status == 10 && ran.out.is_empty(), "what is not known is not written as off: {ran:?}");
}
