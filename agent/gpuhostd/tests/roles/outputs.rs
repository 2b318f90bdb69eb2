//! Where the output of a role goes: a reader that has gone ends it quietly, a full disk is an error.

use crate::program;
use std::fs::File;
use std::process::{Command, Stdio};

/// Status and what was said on standard error.
fn into(mut command: Command, output: impl Into<Stdio>) -> (Option<i32>, String) {
    let ended = command.stdout(output).stderr(Stdio::piped()).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_reader_that_has_gone_ends_each_role_quietly_and_a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "").unwrap();
    let config = config.to_str().unwrap();
    for args in
        [vec!["--help"], vec!["--version"], vec!["config", "check", config], vec!["config", "check", "--json", config]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (status, said) = into(program(&args), writer);
        assert!(status == Some(0) && !said.contains("panicked"), "{args:?}: {status:?} {said}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (status, said) = into(program(&args), full);
        assert!(
            status == Some(1) && said.contains("cannot write the output: No space left"),
            "{args:?}: {status:?} {said}"
        );
    }
}

#[test]
fn what_cannot_be_told_to_anybody_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = program(&["nonsense"]).stdout(Stdio::null()).stderr(writer).status().unwrap();
    assert_eq!(ended.code(), Some(2));
}
