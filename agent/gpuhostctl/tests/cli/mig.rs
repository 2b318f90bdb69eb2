//! `gpuhostctl mig` without a daemon and without a GPU.

use crate::run::{Ran, finish, program};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn run_in(folder: &Path, args: &[&str], variables: &BTreeMap<String, String>, input: &[u8]) -> Ran {
    let mut command = program("unix:path=/nonexistent");
    command.args(args).current_dir(folder).envs(variables);
    finish(command, input)
}

fn run(args: &[&str]) -> Ran {
    run_in(Path::new("/"), args, &BTreeMap::new(), b"")
}

fn plan(product: &str, present: &str, want: &str) -> (i32, Value) {
    let ran = run(&["mig", "plan", "--product", product, "--present", present, "--want", want, "--json"]);
    let json = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran.status, json)
}

#[test]
fn a_plan_is_told_in_json() {
    let (status, told) = plan("A100-40GB", "3g.20gb@0:in-use,1g.5gb@4", "1g.5gb:3,3g.20gb:1");
    assert_eq!(status, 0);
    let expected = json!({
        "feasible": true,
        "keep": [
            {"profile": "3g.20gb", "start": 0, "in_use": true, "destroy_compute": [], "create_compute": []},
            {"profile": "1g.5gb", "start": 4, "in_use": false, "destroy_compute": [], "create_compute": []},
        ],
        "destroy": [],
        "create": [
            {"profile": "1g.5gb", "start": 5, "compute": [1]},
            {"profile": "1g.5gb", "start": 6, "compute": [1]},
        ],
        "rest": {"7g.40gb": 0, "4g.20gb": 0, "3g.20gb": 0, "2g.10gb": 0, "1g.10gb": 0, "1g.5gb": 0},
        "reason": null, "message": null, "in_use": [{"profile": "3g.20gb", "start": 0}], "largest": null,
    });
    assert_eq!(told, expected);
}

#[test]
fn a_refusal_has_a_code_a_sentence_the_largest_part_and_an_exit_status() {
    let (status, told) = plan("0x20B010DE", "3g.20gb@0:in-use", "1g.5gb:5,3g.20gb:1");
    assert_eq!(status, 11);
    let part = (&told["feasible"], &told["reason"], &told["largest"]);
    assert_eq!(part, (&false.into(), &"memory".into(), &"1g.5gb,1g.5gb,1g.5gb,3g.20gb".into()));
    let ran = run(&["mig", "plan", "--product", "A100-40GB", "--want", "4g.20gb:2"]);
    assert_eq!(ran.status, 11);
    assert!(ran.out.contains("the largest part that fits: 4g.20gb"), "{ran:?}");
    assert!(ran.err.contains("maximum: 2 instances of 4g.20gb are wanted, and this GPU can hold 1"), "{ran:?}");
}

#[test]
fn a_plan_is_drawn_with_what_stays() {
    let ran =
        run(&["mig", "plan", "--product", "A30-24GB", "--present", "1g.6gb@0:in-use,2g.12gb@2", "--want", "1g.6gb:3"]);
    assert!(ran.status == 0 && ran.err.is_empty(), "{ran:?}");
    for part in [
        "before",
        "after",
        "│1g.6gb│",
        "in use",
        "goes",
        "new",
        "■ ■ ■ □  3 of 4 compute slices",
        "1 kept, 1 destroyed, 2 created",
    ] {
        assert!(ran.out.contains(part), "no {part:?} in\n{}", ran.out);
    }
}

#[test]
fn what_cannot_be_there_is_no_beginning() {
    for (present, reason) in [
        ("1g.5gb@0,2g.10gb@0", "placement_overlap"),
        ("1g.5gb+me@0,1g.5gb+me@1", "maximum"),
        ("2g.10gb@6", "placement_unknown"),
        ("1g.6gb@0", "unknown_profile"),
    ] {
        let (status, told) = plan("A100-40GB", present, "-");
        assert_eq!((status, &told["reason"], &told["feasible"]), (11, &reason.into(), &false.into()), "{present}");
    }
}

#[test]
fn a_wrong_argument_is_named() {
    let plan = |args: &[&str]| run(&[&["mig", "plan"], args].concat());
    for (args, parts) in [
        (&["--product", "A100", "--want", "-"][..], ["--product", "A100-40GB"]),
        (&["--product", "A100-40GB", "--want", "1g.5gb:010"], ["--want", "010"]),
        (&["--product", "A100-40GB", "--want", "0c.1g.5gb"], ["--want", "0c"]),
        (&["--product", "A100-40GB", "--want", ""], ["--want", "expected PROFILE"]),
        (&["--product", "A100-40GB", "--present", "1g.5gb", "--want", "-"], ["--present", "it has no placement"]),
        (&["--want", "1g.5gb"], ["--product", "--profiles"]),
        (&["--product", "A30-24GB"], ["--want", "required"]),
        (&["--product", "A30-24GB", "--profiles", "-", "--want", "-"], ["--product", "--profiles"]),
    ] {
        let ran = plan(args);
        assert!(ran.status == 2 && ran.out.is_empty(), "{args:?}: {ran:?}");
        assert!(parts.iter().all(|part| ran.err.contains(part)), "{args:?}: {ran:?}");
    }
}

#[test]
fn profiles_are_listed_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let told = run(&["mig", "profiles", "--product", "RTX-PRO-6000-96GB", "--json"]);
    let json: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&json["memory_slots"], &json["compute_slices"]), (&12.into(), &4.into()));
    let file = folder.path().join("gpu.json");
    std::fs::write(&file, &told.out).unwrap();
    let path = file.to_str().unwrap();
    let from_file = run(&["mig", "plan", "--profiles", path, "--want", "1g.24gb+me.all,1g.24gb-me:3", "--json"]);
    assert_eq!(
        from_file.out,
        run(&["mig", "plan", "--product", "0x2BB510DE", "--want", "1g.24gb+me.all,1g.24gb-me:3", "--json"]).out
    );
    let again = run_in(
        Path::new("/"),
        &["mig", "profiles", "--profiles", "-", "--json"],
        &BTreeMap::new(),
        told.out.as_bytes(),
    );
    assert_eq!(again.out, told.out);
    std::fs::write(&file, told.out.replace("\"instances\": 4", "\"instances\": 0")).unwrap();
    let wrong = run(&["mig", "profiles", "--profiles", path]);
    assert!(wrong.status == 2 && wrong.err.contains("gpu.json") && wrong.err.contains("instances is 0"), "{wrong:?}");
    let missing = run(&["mig", "profiles", "--profiles", "/nonexistent.json"]);
    assert!(missing.status == 1 && missing.err.contains("/nonexistent.json"), "{missing:?}");
}

#[test]
fn profiles_are_a_table_with_what_still_fits_and_where() {
    let ran = run(&["mig", "profiles", "--product", "A100-40GB", "--present", "3g.20gb@0,1g.5gb+me@4"]);
    assert!(ran.status == 0 && ran.err.is_empty(), "{ran:?}");
    for part in [
        "2g.10gb    14",
        "0/2",
        "1/4",
        "9.75 GiB",
        "[--][--][--]",
        "[------][------]",
        "7 compute slices, 8 memory slots",
    ] {
        assert!(ran.out.contains(part), "no {part:?} in\n{}", ran.out);
    }
}

#[test]
fn a_layout_is_drawn() {
    let ran = run(&["mig", "show", "--product", "A100-40GB", "--present", "1c.3g.20gb@4:in-use,2c.3g.20gb@4"]);
    assert!(ran.status == 0 && ran.out.contains("1c 2c") && ran.out.contains("3 of 7 compute slices"), "{ran:?}");
    let wrong = run(&["mig", "show", "--product", "A100-40GB", "--present", "1g.5gb@0,1g.5gb@0"]);
    assert!(wrong.status == 2 && wrong.err.contains("--present: 1g.5gb@0 and 1g.5gb@0"), "{wrong:?}");
}

const FILE: &str =
    "version: v1\nmig-configs:\n  a: [{devices: all, mig-enabled: no}]\n  b: [{devices: [0], mig-enabled: no}]\n";

#[test]
fn a_file_is_checked_with_mig_parteds_flags_and_variables() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.yaml"), FILE).unwrap();
    let run = |args: &[&str], variables: &[(&str, &str)], input: &str| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        run_in(folder.path(), &[&["mig", "assert"], args].concat(), &variables, input.as_bytes())
    };
    for (args, variables, input) in [
        (&["--valid-config", "-f", "f.yaml", "-c", "a"][..], &[][..], ""),
        (&["-a", "--config-file", "f.yaml", "--selected-config", "b"], &[], ""),
        (&["-a", "-f", "-", "-c", "a"], &[], FILE),
        (
            &[],
            &[
                ("MIG_PARTED_CONFIG_FILE", "f.yaml"),
                ("MIG_PARTED_SELECTED_CONFIG", "b"),
                ("MIG_PARTED_VALID_CONFIG", "true"),
            ],
            "",
        ),
    ] {
        let ran = run(args, variables, input);
        assert!(ran.status == 0 && ran.err.is_empty(), "{args:?}: {ran:?}");
    }
    let json = run(&["-a", "-f", "f.yaml", "-c", "b", "--json"], &[], "");
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap(), json!({"valid": true, "selected-config": "b"}));
    for (args, status, part) in [
        (&["-a"][..], 2, "MIG_PARTED_CONFIG_FILE"),
        (&["-a", "-f", "f.yaml"], 2, "name one of them: a, b"),
        (&["-a", "-f", "f.yaml", "-c", "c"], 2, "f.yaml: there is no configuration c; there are: a, b"),
        (&["-a", "-f", "."], 2, ". is a directory"),
        (&["-a", "-f", "/nonexistent"], 1, "/nonexistent"),
        (&["-f", "f.yaml", "-c", "a"], 8, "cannot connect to the bus"),
        (&["-a", "-f", "f.yaml", "-c", "a", "-k", "hooks.yaml"], 2, "hooks are not run"),
        (&["--nope"], 2, "--nope"),
    ] {
        let ran = run(args, &[], "");
        assert!(ran.status == status && ran.err.contains(part) && ran.out.is_empty(), "{args:?}: {ran:?}");
    }
    let ran = run(&["-f", "f.yaml", "-c", "a"], &[("MIG_PARTED_VALID_CONFIG", "perhaps")], "");
    assert!(ran.status == 2 && ran.err.contains("perhaps"), "{ran:?}");
}

#[test]
fn a_wrong_file_is_named_with_line_and_field() {
    for (input, part) in [
        (FILE.replace("[0]", "[-1]").into_bytes(), "line 4: mig-configs.b[0].devices[0]: -1 is negative"),
        (b"version: v1\nmig-configs: \xff\n".to_vec(), "not UTF-8"),
        (vec![b' '; (1 << 20) + 1], "larger than 1048576 bytes"),
        (format!("a: {}", "[".repeat(3000)).into_bytes(), "nested deeper"),
    ] {
        let ran = run_in(Path::new("/"), &["mig", "assert", "-a", "-f", "-"], &BTreeMap::new(), &input);
        assert!(
            ran.status == 2 && ran.err.starts_with("gpuhostctl: standard input") && ran.err.contains(part),
            "{ran:?}"
        );
    }
}

/// The cases of a file that lies beside the tree; none where it is not there.
fn cases(name: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mig_cases").join(name);
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("SKIPPED: {} is absent, so none of its cases was tried", file.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn places(list: &Value) -> Vec<(String, u64)> {
    let place = |one: &Value| (one["profile"].as_str().unwrap().to_owned(), one["start"].as_u64().unwrap());
    list.as_array().unwrap().iter().map(place).collect()
}

#[test]
fn handed_plans_are_those_of_the_answers() {
    for case in cases("planner_cases.jsonl") {
        let text = |key: &str| case[key].as_str().unwrap();
        let (id, answer) = (text("id"), &case["answer"]);
        let (status, told) = plan(text("device"), text("present"), text("want"));
        assert_eq!(told["feasible"], answer["feasible"], "{id}");
        assert_eq!(status, if answer["feasible"] == true { 0 } else { 11 }, "{id}");
        if answer["feasible"] == true {
            let (destroy, create) = (places(&told["destroy"]), places(&told["create"]));
            assert_eq!(
                (&answer["destroys"], &answer["creates"]),
                (&destroy.len().into(), &create.len().into()),
                "{id}"
            );
            let mut after: Vec<_> = places(&told["keep"]).into_iter().chain(create).collect();
            after.sort_by_key(|(_, start)| *start);
            let example: Vec<_> = answer["example"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_u64().unwrap()))
                .collect();
            assert_eq!(after, example, "{id}");
        } else {
            assert!(answer["reasons"].as_array().unwrap().contains(&told["reason"]), "{id}: {told}");
            if let Some(any_of) = answer["largest"]["any_of"].as_array() {
                assert!(any_of.contains(&told["largest"]), "{id}: {told}");
            }
        }
    }
}

/// Cases of the command line that ask a host; `mig_live` asks one the same.
const NEED_A_HOST: [&str; 3] = ["cli-mode-only-env", "cli-skip-reset-env", "cli-export-label-env"];

#[test]
fn handed_command_lines_end_as_in_the_answers() {
    for case in cases("cli.jsonl") {
        let id = case["id"].as_str().unwrap();
        if NEED_A_HOST.contains(&id) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in case["files"].as_object().unwrap() {
            std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let args: Vec<&str> = case["argv"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let variables = case["env"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        let ran = run_in(folder.path(), &[vec!["mig"], args].concat(), &variables.collect(), b"");
        match case["ours_exit"].as_i64() {
            Some(status) => assert_eq!(i64::from(ran.status), status, "{id}: {ran:?}"),
            None => assert!(case["ours_exit"] == "nonzero" && ran.status != 0, "{id}: {ran:?}"),
        }
    }
}

#[test]
fn handed_files_end_as_in_the_answers() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases("spec_parse.jsonl") {
        let id = case["id"].as_str().unwrap();
        let yaml = case["yaml"].as_str().unwrap();
        // A file with several configurations, or with none, has nothing to select by itself.
        let Ok(file) = model::mig::files::read(yaml) else {
            let ran = run_in(folder.path(), &["mig", "assert", "-a", "-f", "-"], &BTreeMap::new(), yaml.as_bytes());
            assert!(case["ours"] != "accept" && ran.status == 2, "{id}: {ran:?}");
            assert!(
                ran.err.contains("line ") && ran.err.contains(case["names"].as_str().unwrap_or_default()),
                "{id}: {ran:?}"
            );
            continue;
        };
        assert_ne!(case["ours"], "reject", "{id}");
        for config in &file.configs {
            let args = ["mig", "assert", "-a", "-f", "-", "-c", &config.name];
            let ran = run_in(folder.path(), &args, &BTreeMap::new(), yaml.as_bytes());
            assert_eq!(ran.status, 0, "{id}: {ran:?}");
        }
    }
}
