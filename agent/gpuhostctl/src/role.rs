//! Becomes a role of gpuhostd, for what reads the host itself and must work with the daemon down.

use crate::daemon::BUS_VARIABLE;
use crate::failure::Failure;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The daemon's executable.
const EXECUTABLE: &str = "gpuhostd";
/// Where the package has it.
const INSTALLED: &str = "/usr/bin/gpuhostd";

/// How a snapshot is asked for.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The archive.
    pub(crate) output: Option<PathBuf>,
    /// Another root than `/`.
    pub(crate) root: Option<PathBuf>,
    /// The daemon's configuration.
    pub(crate) config: Vec<PathBuf>,
    /// The bus where the daemon is asked.
    pub(crate) bus: Option<String>,
    /// Prints JSON.
    pub(crate) json: bool,
}

/// Takes a snapshot in place of this process; comes back only where that fails.
pub(crate) fn run_snapshot(asked: &Snapshot) -> Failure {
    let path = executable();
    let mut command = Command::new(&path);
    command.arg("snapshot");
    let files = asked.config.iter().map(|file| ("--config", file));
    let places = [("--output", &asked.output), ("--root", &asked.root)];
    let places = places.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
    for (name, path) in places.chain(files) {
        command.arg(name).arg(path);
    }
    let bus = asked.bus.clone().or_else(|| std::env::var(BUS_VARIABLE).ok().filter(|text| !text.is_empty()));
    if let Some(bus) = bus {
        command.arg("--bus").arg(bus);
    }
    if asked.json {
        command.arg("--json");
    }
    Failure::Role { source: command.exec(), path }
}

/// The one beside us, so that both are of one version; else the installed one.
fn executable() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(EXECUTABLE));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| Path::new(INSTALLED).to_owned())
}
