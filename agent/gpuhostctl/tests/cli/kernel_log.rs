//! `debug kernel-log`: what it prints for people and for scripts, and that no input holds it up or costs memory.

use crate::run::{Ran, finish, program};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// The operator's tables.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/HEALTH.md");
/// Behind this line the tables are written by the test below.
const GENERATED: &str =
    "<!-- generated from the code: UPDATE_GOLDEN=1 cargo test -p gpuhostctl --test cli kernel_log -->\n";

const LOG: &str = "3,900,100000000,-;NVRM: Xid (PCI:0000:41:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x025001c6)\n \
                   SUBSYSTEM=pci\n DEVICE=+pci:0000:41:00.0\n\
                   6,901,100000001,-;eth0: link up\n\
                   12,902,100000002,-;NVRM: Xid (PCI:0000:42:00): 79, said by a program\n\
                   4,903,100000003,-;NVRM: Xid (PCI:0000:43:00): 31, pid=1, name=a\\x1b[2J, MMU Fault\n\
                   6,904,200000000,-;vfio-pci 0000:41:00.0: reset done\n";

fn run(args: &[&str], input: &[u8]) -> Ran {
    let mut command = program("unix:path=/nonexistent");
    command.args(["debug", "kernel-log"]).args(args);
    finish(command, input)
}

#[test]
fn the_operators_tables_are_those_of_the_code() {
    let document = std::fs::read_to_string(TABLE).unwrap();
    let (head, told) = document.split_once(GENERATED).unwrap();
    let tables = model::health::health_page::tables();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(TABLE, format!("{head}{GENERATED}{tables}")).unwrap();
    } else {
        assert!(told == tables, "docs/HEALTH.md is not that of the code; write it anew with UPDATE_GOLDEN=1");
    }
}

#[test]
fn scripts_get_every_record_and_every_function() {
    let ran = run(&["--json", "-"], LOG.as_bytes());
    assert_eq!(ran.status, 0, "{ran:?}");
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["functions", "records"]);
    let records = document["records"].as_array().unwrap();
    let short = |record: &Value| json!([record["line"], record["address"], record["finding"]]);
    assert_eq!(
        records.iter().map(short).collect::<Vec<_>>(),
        [
            json!([1, "0000:41:00.0", "xid_149"]),
            json!([4, null, null]),
            json!([5, null, null]),
            json!([6, "0000:43:00.0", "xid_31"]),
            json!([7, "0000:41:00.0", "cleared_by_reset"]),
        ]
    );
    assert_eq!(records[1]["text"], "eth0: link up");
    assert_eq!(
        document["functions"],
        json!({
            "0000:41:00.0": {"health": "ok", "reasons": []},
            "0000:43:00.0": {"health": "ok", "reasons": []},
        })
    );
    let before: String = LOG.lines().take(5).map(|line| format!("{line}\n")).collect();
    let document: Value = serde_json::from_str(&run(&["--json", "-"], before.as_bytes()).out).unwrap();
    assert_eq!(document["functions"], json!({"0000:41:00.0": {"health": "failed", "reasons": ["xid_149"]}}));
}

#[test]
fn people_get_what_says_something_in_columns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    std::fs::write(&file, LOG).unwrap();
    let ran = run(&[file.to_str().unwrap()], b"");
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "LINE  FUNCTION      FINDING           MEANING",
            "1     0000:41:00.0  xid_149           Xid 149: NVLink error (NETIR) (failed)",
        ]
    );
    assert!(lines.contains(&"5 records, 3 of them about a device"), "{}", ran.out);
    assert!(lines.contains(&"0000:41:00.0  ok      -"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "a log does not steer the terminal: {}", ran.out);
}

#[test]
fn what_is_no_log_is_refused_by_its_name() {
    for input in [&b""[..], b"hello\nworld\n", b"\x7fELF\0\0\n", &[0; 100_000]] {
        for args in [&["-"][..], &["--json", "-"]] {
            let ran = run(args, input);
            assert_eq!(ran.status, 2, "{ran:?}");
            assert!(ran.err.starts_with("gpuhostctl: standard input holds no record of a kernel log"), "{ran:?}");
            assert!(ran.out.is_empty(), "{ran:?}");
        }
    }
    let missing = run(&["/nonexistent.kmsg"], b"");
    assert!(missing.status == 1 && missing.err.contains("/nonexistent.kmsg"), "{missing:?}");
}

#[test]
fn what_may_never_end_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for path in [fifo.to_str().unwrap(), link.to_str().unwrap(), "/dev/zero", folder.path().to_str().unwrap()] {
        let ran = run(&[path], b"");
        assert!(
            ran.status == 2 && ran.err.contains(path) && ran.err.contains("only a regular file is read"),
            "{path}: {ran:?}"
        );
    }
    let sparse = folder.path().join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    let ran = run(&["--json", sparse.to_str().unwrap()], b"");
    assert!(ran.status == 2 && ran.err.contains("shorten it") && ran.out.is_empty(), "{ran:?}");
}

#[test]
fn an_endless_input_ends_and_what_was_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    std::fs::write(&file, LOG).unwrap();
    for before in ["/dev/null", file.to_str().unwrap()] {
        let cat = Command::new("cat").args([before, "/dev/zero"]).stdout(Stdio::piped()).spawn();
        let mut cat = cat.unwrap();
        let mut command = program("unix:path=/nonexistent");
        let ran =
            command.args(["debug", "kernel-log", "--json", "-"]).stdin(cat.stdout.take().unwrap()).output().unwrap();
        // The command holds the pipe's end as long as it lives, and cat would wait for a reader.
        drop(command);
        cat.wait().unwrap();
        assert_eq!(ran.status.code(), Some(2));
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        if before == "/dev/null" {
            assert!(said.contains("holds no record") && ran.stdout.is_empty(), "{said}");
        } else {
            assert!(said.contains("the rest was not read"), "{said}");
            let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
            assert_eq!(document["records"].as_array().unwrap().len(), 5, "what was read is told");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program("unix:path=/nonexistent");
    command.args(["debug", "kernel-log", "--json", "-"]).stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), LOG.as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
}
