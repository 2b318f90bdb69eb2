//! Runs the program.

use crate::rig::private_bus::PrivateBus;
use std::io::Write;
use std::process::{Command, Stdio};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program with a bus, in plain text.
pub(crate) fn program(bus: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpuhostctl"));
    command.env("GPUHOSTD_BUS", bus).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// Runs it to its end.
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Ran {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A program that ends without reading its input is no fault of the test.
    child.stdin.take().unwrap().write_all(input).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs it against a bus.
pub(crate) fn gpuhostctl(bus: &PrivateBus, args: &[&str]) -> Ran {
    let mut command = program(&bus.address);
    command.args(args);
    finish(command, b"")
}

/// What it printed; it must succeed without a word on stderr.
pub(crate) fn told(bus: &PrivateBus, args: &[&str]) -> String {
    let ran = gpuhostctl(bus, args);
    assert!(ran.status == 0 && ran.err.is_empty(), "{ran:?}");
    ran.out
}

/// The JSON that it printed.
pub(crate) fn json(bus: &PrivateBus, args: &[&str]) -> serde_json::Value {
    let text = told(bus, args);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
