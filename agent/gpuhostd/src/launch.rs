//! `--with-hands`: becomes the launcher, which starts front and hands where there is no systemd.

use crate::args::FrontArgs;
use anyhow::Context;
use files::OwnProgram;
use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes the launcher.
///
/// # Errors
/// It is not there, or is not to be trusted.
pub fn launch(args: &FrontArgs) -> anyhow::Result<Infallible> {
    let path = OwnProgram::Launcher.path();
    let cannot = || format!("cannot start {}; is the package gpuhostd installed as a whole?", path.display());
    let _held = files::hold(&path).with_context(cannot)?;
    Err(Command::new(&path).args(args.for_launcher()).exec()).with_context(cannot)
}
