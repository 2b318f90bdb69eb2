//! `doctor` on facts from a file: what it prints for people and for scripts, and how it ends.

use crate::doctor_world::healthy;
use crate::run::{Ran, finish, program};
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::DoctorFacts;

/// The operator's table of all checks.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/DOCTOR.md");
const PROMISES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SPECIFICATION.md");
/// Behind this line the table is written by the test below.
const GENERATED: &str =
    "<!-- generated from the code: UPDATE_GOLDEN=1 cargo test -p gpuhostctl --test cli doctor -->\n";

#[test]
fn the_operators_table_is_that_of_the_code() {
    let document = std::fs::read_to_string(TABLE).unwrap();
    let (head, told) = document.split_once(GENERATED).unwrap();
    let table = model::doctor::table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(TABLE, format!("{head}{GENERATED}{table}")).unwrap();
    } else {
        assert!(told == table, "docs/DOCTOR.md is not that of the code; write it anew with UPDATE_GOLDEN=1");
    }
    let checks: usize = model::doctor::CATALOGUE.iter().map(|(_, checks)| checks.len()).sum();
    let promises = std::fs::read_to_string(PROMISES).unwrap();
    for (name, text) in [("docs/DOCTOR.md", head), ("docs/SPECIFICATION.md", &promises)] {
        assert!(text.contains(&format!("{checks} checks")), "{name} does not have the number of checks, {checks}");
    }
}

fn doctor(facts: &DoctorFacts, more: &[&str]) -> Ran {
    let mut command = program("unix:path=/nonexistent");
    command.args(["doctor", "--facts", "-"]).args(more);
    finish(command, serde_json::to_string(facts).unwrap().as_bytes())
}

fn sick() -> DoctorFacts {
    let mut facts = healthy();
    let scan = facts.host.scan.as_mut().unwrap();
    scan.gpus[0].driver = Reading::Known("nouveau".parse().unwrap());
    facts.nvidia.toolkit = Reading::Known("1.16.1\u{1b}[2J".to_owned());
    facts.nvidia.no_cgroups = Reading::Known(true);
    facts
}

#[test]
fn a_healthy_host_is_told_in_one_line() {
    let ran = doctor(&healthy(), &[]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{ran:?}");
    let checks: usize = model::doctor::CATALOGUE.iter().map(|(_, checks)| checks.len()).sum();
    assert_eq!(ran.out, format!("ok: {checks} checks, 0 errors, 0 warnings, 0 hints\n"));
}

#[test]
fn a_reader_that_has_gone_changes_nothing_of_the_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("facts.json");
    for (facts, status) in [(healthy(), 0), (sick(), 20)] {
        std::fs::write(&file, serde_json::to_string(&facts).unwrap()).unwrap();
        for more in [&[][..], &["--json"]] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = program("unix:path=/nonexistent");
            command.args(["doctor", "--facts", file.to_str().unwrap()]).args(more);
            let ended = command.stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
            assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(status), &b""[..]));
        }
    }
}

#[test]
fn findings_stand_under_their_area_with_their_cure() {
    let ran = doctor(&sick(), &[]);
    assert_eq!(ran.status, 20, "{ran:?}");
    assert!(!ran.out.contains('\u{1b}'), "no colours and no escapes where there is no terminal: {}", ran.out);
    let place = |words: &str| ran.out.find(words).unwrap_or_else(|| panic!("{words}: {}", ran.out));
    assert!(place("Kernel driver") < place("nouveau_bound") && place("nouveau_bound") < place("Docker"));
    assert!(place("Docker") < place("toolkit_vulnerable"));
    for words in ["CVE-2024-0132", "blacklist nouveau", "0000:41:00.0", "3 errors, 0 warnings", "cure", "found"] {
        place(words);
    }
}

#[test]
fn hints_do_not_make_it_fail() {
    let mut facts = healthy();
    facts.service.polkit = Reading::Known(false);
    let ran = doctor(&facts, &[]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains("polkit_missing") && ran.out.contains("1 hint\n"), "{}", ran.out);
}

#[test]
fn what_was_not_checked_is_named_with_its_reason_and_what_helps() {
    let mut facts = healthy();
    facts.as_root = false;
    facts.kernel.log = Reading::Absent(Absence::NoPermission);
    let ran = doctor(&facts, &[]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let line = ran.out.lines().find(|line| line.contains("the kernel's log: no_permission")).unwrap();
    assert!(line.contains("xid_logged") && line.contains("bar_no_space"), "{line}");
    assert!(ran.out.contains("sudo gpuhostctl doctor") && ran.out.contains("not checked"), "{}", ran.out);
}

#[test]
fn scripts_get_json() {
    let ran = doctor(&sick(), &["--json"]);
    assert_eq!(ran.status, 20);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let finding = &document["findings"][0];
    assert_eq!((finding["code"].as_str(), finding["severity"].as_str()), (Some("nouveau_bound"), Some("error")));
    for field in ["area", "subject", "found", "why", "cure"] {
        assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding}");
    }
    assert!(document["checks"].as_u64().unwrap() > 40 && document["unchecked"].is_array());
}

#[test]
fn all_checks_can_be_listed() {
    let run = |args: &[&str]| {
        let mut command = program("unix:path=/nonexistent");
        command.args(args);
        finish(command, b"")
    };
    let ran = run(&["doctor", "--list"]);
    assert!(ran.status == 0 && ran.out.lines().count() > 40 && ran.out.contains("nouveau_bound"), "{ran:?}");
    let listed: serde_json::Value = serde_json::from_str(&run(&["doctor", "--list", "--json"]).out).unwrap();
    assert_eq!(listed.as_array().unwrap().len() + 1, ran.out.lines().count());
}

#[test]
fn what_is_no_facts_is_refused() {
    let judge = |text: &str| {
        let mut command = program("unix:path=/nonexistent");
        command.args(["doctor", "--facts", "-"]);
        finish(command, text.as_bytes())
    };
    for (text, words) in [
        ("", "not a document of doctor facts"),
        ("{}", "it names no format"),
        ("{\"format\": 9}", "its format is 9"),
        ("{\"format\": 1}", "not a document of doctor facts"),
    ] {
        let ran = judge(text);
        assert!(ran.status == 2 && ran.out.is_empty() && ran.err.contains(words), "{text}: {ran:?}");
    }
    let mut missing = program("unix:path=/nonexistent");
    missing.args(["doctor", "--facts", "/nonexistent.json"]);
    let ran = finish(missing, b"");
    assert!(ran.status == 1 && ran.err.contains("/nonexistent.json"), "{ran:?}");
}
