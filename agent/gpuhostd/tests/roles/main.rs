//! What the executable says when a person starts one of its roles by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod config_cat;
mod config_check;
mod outputs;

use std::process::{Command, Output, Stdio};

/// The executable.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpuhostd"));
    command.args(args).env_remove("SYSTEMD_EXEC_PID").stdin(Stdio::null());
    command
}

/// Runs it to its end: status, what it printed, and what it said on standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
