//! `import-kasm`: what it writes, what it never overwrites or prints, and files that only look like Kasm's.

use crate::run::{Ran, finish, program};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const TOKEN: &str = "kZ/9+canary&s3cret==";
const KASM: &str = "agent:\n  server_id: 7b0f42a1-58a4-4b13-9f3d-0a1b2c3d4e5f\n  public_hostname: None\n  provider: aws\n  tomorrow: 1\n\
                    manager:\n  hostnames: [m1.example]\n  public_port: 8443\n  token: kZ/9+canary&s3cret==\n";

fn import(folder: &Path, more: &[&str], input: &str) -> Ran {
    let at = |name: &str| folder.join(name).display().to_string();
    let (output, token) = (at("kasm.toml"), at("token"));
    let mut command = program("unix:path=/nonexistent");
    command.args(["import-kasm", "-", "--output", &output, "--token-file", &token]).args(more);
    let ran = finish(command, input.as_bytes());
    assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{ran:?}");
    ran
}

fn content(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}

#[test]
fn settings_and_token_are_written_apart_and_the_second_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dry = import(folder.path(), &["--dry-run"], KASM);
    assert!(dry.status == 0 && dry.out.contains("would be written; nothing was"), "{dry:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let ran = import(folder.path(), &[], KASM);
    assert_eq!(ran.status, 0, "{ran:?}");
    for words in [
        "manager.public_port",
        "agent.server_id -> manager.server_id",
        "agent.tomorrow (line 5)",
        "does not know",
        "reload",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let config = content(folder.path(), "kasm.toml").unwrap();
    let settings = model::settings::merge(&[("kasm.toml".to_owned(), config)]);
    assert_eq!(
        (settings.faults.as_slice(), settings.settings.manager.urls),
        (&[][..], vec!["https://m1.example:8443".to_owned()])
    );
    assert_eq!(content(folder.path(), "token").unwrap(), format!("{TOKEN}\n"));
    let mode = std::fs::metadata(folder.path().join("token")).unwrap().permissions().mode() & 0o777;
    assert!(mode == 0o600 || mode == 0o640, "{mode:o}");
    let again = import(folder.path(), &[], KASM);
    assert!(again.status == 0 && again.out.contains("the same content is there already"), "{again:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
}

#[test]
fn what_is_there_is_not_overwritten_without_force_and_nothing_is_half_done() {
    for there in ["kasm.toml", "token"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(there), "mine\n").unwrap();
        let ran = import(folder.path(), &[], KASM);
        assert!(ran.status == 7 && ran.err.contains(there) && ran.err.contains("--force"), "{ran:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the other file was not written either");
        assert_eq!(content(folder.path(), there).unwrap(), "mine\n");
        assert_eq!(import(folder.path(), &["--force"], KASM).status, 0);
        assert_ne!(content(folder.path(), there).unwrap(), "mine\n");
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("token")).unwrap();
    let ran = import(folder.path(), &["--force"], KASM);
    assert!(ran.status == 7 && ran.err.contains("not a regular file"), "{ran:?}");
}

#[test]
fn json_has_everything_but_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let ran = import(folder.path(), &["--json", "--dry-run"], KASM);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&document["changed"], &document["dry_run"]), (&true.into(), &true.into()));
    assert_eq!(document["left_out"][1]["key"], "agent.tomorrow");
    assert!(
        document["mapped"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["from"] == "manager.token" && key["value"].is_null())
    );
}

#[test]
fn what_is_no_configuration_of_kasm_is_refused_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let deep = format!("agent: {}", "[".repeat(100_000));
    for (what, text) in [
        ("empty", ""),
        ("another file", "api: {token: canary}\n"),
        ("a key twice", "manager:\n  token: canary-1\n  token: canary-2\n"),
        ("deep", &deep),
        ("a bad id", "agent: {server_id: canary}\n".replace("canary", "x").as_str()),
        ("a token of two lines", "manager: {token: \"canary\\ntwo\"}\n"),
        ("no YAML", "agent: [\n"),
    ] {
        let ran = import(folder.path(), &[], text);
        assert!(ran.status == 2 && ran.err.contains("nothing was written") && ran.out.is_empty(), "{what}: {ran:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
