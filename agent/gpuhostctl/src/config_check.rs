//! `config check`: has the daemon's executable check the configuration, so that both read the same, and prints what it states.

use crate::failure::Failure;
use crate::role;
use crate::text::print;
use std::path::PathBuf;

/// Runs the check; without files it takes those that the daemon reads.
pub(crate) fn run(files: Vec<PathBuf>, json: bool) -> Result<(), Failure> {
    let report = crate::block_on(role::config_check(files, json))?;
    if report.status != 0 {
        return Err(Failure::Wrong { status: report.status, faults: report.err.trim_end().to_owned() });
    }
    print(&report.out.lines().map(str::to_owned).collect::<Vec<_>>())
}
