//! The program of the container hand: its verbs on the socket that systemd or the launcher passes.

use protocol::hand::HandRole;
use std::process::ExitCode;

fn main() -> ExitCode {
    hands::program::main(HandRole::Containers, hands::program::bound_memory, gpuhostd_containers::registry)
}
