//! Where snapshot and facts go: a reader that has gone ends them quietly, a full disk is an error, and no device is replaced.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up has failed")]

use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Output, Stdio};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpuhostd-collect"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end: status, what it printed, and what it said on standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

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
    let (config, root) = (config.to_str().unwrap(), folder.path().to_str().unwrap());
    let archive = folder.path().join("x.tar.gz");
    let snapshot =
        |output| vec!["snapshot", "--root", root, "--config", config, "--bus", "unix:path=/none", "-o", output];
    for args in [
        vec!["--help"],
        vec!["--version"],
        vec!["doctor-facts", "--root", root, "--config", config, "--bus", "unix:path=/none"],
        snapshot(archive.to_str().unwrap()),
        snapshot("-"),
    ] {
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
fn words_and_options_that_are_not_known_are_named() {
    for (args, named) in [
        (vec!["nonsense"], "nonsense"),
        (vec!["snapshot", "--with-hands"], "--with-hands"),
        (vec!["snapshot", "now"], "now"),
        (vec!["doctor-facts", "--json"], "--json"),
        (vec![], "snapshot or doctor-facts"),
    ] {
        let (status, _, said) = run(&args);
        assert!(status == 2 && said.contains(named), "{args:?}: {status} {said}");
    }
}

#[test]
fn a_snapshot_never_replaces_what_is_no_plain_file() {
    for output in ["/dev/null", "/dev/full", "/dev/stdout", "/"] {
        let (status, _, said) = run(&["snapshot", "--root", "/nonexistent", "-o", output]);
        assert!(
            status == 1 && (said.contains("only a regular file is replaced") || said.contains("not a valid file name")),
            "{said}"
        );
    }
    for device in ["/dev/null", "/dev/full"] {
        assert!(std::fs::symlink_metadata(device).unwrap().file_type().is_char_device(), "{device} is gone");
    }
}

#[test]
fn a_snapshot_goes_to_standard_output_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "").unwrap();
    let (config, root) = (config.to_str().unwrap(), folder.path().to_str().unwrap());
    let args = ["snapshot", "--root", root, "--config", config, "--bus", "unix:path=/none", "-o", "-"];
    let ended = program(&args).current_dir(folder.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(&ended.stdout[..2], b"\x1f\x8b", "a gzip archive and nothing else");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("standard output:"));
    assert!(!folder.path().join("-").exists());
}
