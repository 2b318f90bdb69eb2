//! The disposable child of the hands.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // It is started through a descriptor, and `ps` would show that one's number.
    let _a_name_only = nix::sys::prctl::set_name(c"gpuhostd-child");
    gpuhostd_child::run(&std::env::args_os().skip(1).collect::<Vec<OsString>>())
}
