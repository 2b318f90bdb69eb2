//! The program of the holders hand: its verb on the socket that systemd or the launcher passes.

use protocol::hand::HandRole;
use std::process::ExitCode;

fn main() -> ExitCode {
    hands::program::main(HandRole::Holders, spawn::prepare, gpuhostd_holders::registry)
}
