//! The program of both MIG hands: with `--mode` it is the one that switches the mode.

use protocol::hand::HandRole;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().skip(1).any(|argument| argument == "--mode") {
        return hands::program::main(HandRole::MigMode, spawn::prepare, gpuhostd_mig::mode_registry);
    }
    hands::program::main(HandRole::Mig, spawn::prepare, gpuhostd_mig::layout_registry)
}
