//! The program of the host hand: its verbs on the socket that systemd or the launcher passes.

use protocol::hand::HandRole;
use std::process::ExitCode;

fn main() -> ExitCode {
    hands::program::main(HandRole::Host, spawn::prepare, gpuhostd_host::registry)
}
