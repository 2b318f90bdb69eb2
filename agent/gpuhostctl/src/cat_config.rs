//! `cat-config`: the files that the daemon reads, in their order, each behind its path, as `systemd-analyze cat-config` prints them.

use crate::args::CatConfig;
use crate::failure::Failure;
use crate::role;
use crate::text::print;

/// Has the daemon's executable print them, so that both read the same.
pub(crate) fn run(what: Option<CatConfig>) -> Result<(), Failure> {
    let only = what.map(|what| match what {
        CatConfig::Config => "config",
        CatConfig::Policy => "policy",
    });
    let report = crate::block_on(role::config_cat(only))?;
    print(&report.out.lines().map(str::to_owned).collect::<Vec<_>>())?;
    if report.status == 0 { Ok(()) } else { Err(Failure::Wrong { status: report.status, faults: report.err }) }
}
