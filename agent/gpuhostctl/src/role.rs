//! Becomes or starts another program of the package, for what reads the host itself and must work with the daemon down.

use crate::daemon::BUS_VARIABLE;
use crate::failure::Failure;
use files::OwnProgram;
use serde::Deserialize;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::oneshot;

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

/// Takes a snapshot in place of this process; returns only where that fails.
pub(crate) fn run_snapshot(asked: &Snapshot) -> Failure {
    let path = OwnProgram::Collect.path();
    let mut command = Command::new(&path);
    command.arg("snapshot");
    let files = asked.config.iter().map(|file| ("--config", file));
    let places = [("--output", &asked.output), ("--root", &asked.root)];
    let places = places.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
    for (name, path) in places.chain(files) {
        command.arg(name).arg(path);
    }
    with_bus(&mut command, asked.bus.clone());
    if asked.json {
        command.arg("--json");
    }
    Failure::Role { source: command.exec(), path }
}

/// How the doctor's facts are asked for.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Another root than `/`.
    pub(crate) root: Option<PathBuf>,
    /// The daemon's configuration.
    pub(crate) config: Vec<PathBuf>,
    /// The daemon's state.
    pub(crate) state: Option<PathBuf>,
    /// The bus where the daemon is asked.
    pub(crate) bus: Option<String>,
    /// Variables that have another value there than here, or none.
    pub(crate) environment: Vec<(&'static str, Option<String>)>,
}

/// Every part of the role has its own deadline; this one is for a process that cannot end, as one that hangs in a driver.
const FACTS_WITHIN: Duration = Duration::from_secs(150);

/// Reads the doctor's facts in a process of their own: one line of JSON. Its end is not waited for.
pub(crate) async fn doctor_facts(asked: &Facts) -> Result<String, Failure> {
    let path = OwnProgram::Collect.path();
    let mut command = Command::new(&path);
    command.arg("doctor-facts").stdin(Stdio::null()).stdout(Stdio::piped());
    let places = [("--root", &asked.root), ("--state", &asked.state)];
    let places = places.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
    for (name, path) in places.chain(asked.config.iter().map(|file| ("--config", file))) {
        command.arg(name).arg(path);
    }
    with_bus(&mut command, asked.bus.clone());
    for (name, value) in &asked.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    line_of(command, path, FACTS_WITHIN).await
}

/// Each file has its own deadline; this one is for a process that cannot end.
const CHECK_WITHIN: Duration = Duration::from_secs(60);

/// What the front's executable reports about the configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigReport {
    /// Exit status.
    pub(crate) status: u8,
    /// For standard output.
    pub(crate) out: String,
    /// For standard error.
    pub(crate) err: String,
}

/// Has the files of the configuration or of the policy printed by a process of its own. Its end is not waited for.
pub(crate) async fn config_cat(only: Option<&str>) -> Result<ConfigReport, Failure> {
    let path = OwnProgram::Front.path();
    let mut command = Command::new(&path);
    command.args(["config", "cat", "--report", "--"]).args(only).stdin(Stdio::null()).stdout(Stdio::piped());
    let line = line_of(command, path, CHECK_WITHIN).await?;
    serde_json::from_str(&line).map_err(|source| Failure::Answer { source })
}

/// Has the configuration checked in a process of its own. Its end is not waited for.
pub(crate) async fn config_check(files: Vec<PathBuf>, json: bool) -> Result<ConfigReport, Failure> {
    let path = OwnProgram::Front.path();
    let mut command = Command::new(&path);
    command.args(["config", "check", "--report"]).stdin(Stdio::null()).stdout(Stdio::piped());
    if json {
        command.arg("--json");
    }
    command.arg("--").args(files);
    let line = line_of(command, path, CHECK_WITHIN).await?;
    serde_json::from_str(&line).map_err(|source| Failure::Answer { source })
}

/// What the installation of a file has to say.
#[derive(Debug, Deserialize)]
struct Installed {
    /// Exit status.
    status: u8,
    /// What is wrong; empty where it is installed.
    err: String,
}

/// Has a file written into the folder of the local desired state, whole or not at all, in a process that may write.
pub(crate) async fn install_desired(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = OwnProgram::Front.path();
    let mut command = Command::new(&path);
    command.args(["desired", "install", "--desired"]).arg(folder).args(["--", name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let line = line_after(command, (path, bytes.to_vec()), CHECK_WITHIN).await?;
    let said: Installed = serde_json::from_str(&line).map_err(|source| Failure::Answer { source })?;
    if said.status == 0 { Ok(()) } else { Err(Failure::Refused { status: said.status, message: said.err }) }
}

/// The first line that it prints.
async fn line_of(command: Command, path: PathBuf, within: Duration) -> Result<String, Failure> {
    line_after(command, (path, Vec::new()), within).await
}

/// The first line that it prints after it has read this.
async fn line_after(
    mut command: Command,
    (path, input): (PathBuf, Vec<u8>),
    within: Duration,
) -> Result<String, Failure> {
    let mut child = command.spawn().map_err(|source| Failure::Role { source, path: path.clone() })?;
    let (mut asked, output) = (child.stdin.take(), child.stdout.take());
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if let Some(asked) = &mut asked {
            // One that ends without reading it prints why.
            let _refused = asked.write_all(&input);
        }
        drop(asked);
        let read = output.map_or(Ok(0), |output| BufReader::new(output).read_line(&mut line));
        // Where nobody listens any more the time was over.
        let _gone = tell.send(read.map(|_| line));
    });
    match tokio::time::timeout(within, told).await {
        Ok(Ok(Ok(line))) if !line.trim().is_empty() => Ok(line),
        Ok(Ok(Err(source))) => Err(Failure::Output { source }),
        Ok(_) => Err(Failure::Form { why: format!("{} printed nothing", path.display()) }),
        Err(_) => {
            // It may hang in the kernel: then it ends when the kernel lets it go.
            let _refused = child.kill();
            Err(Failure::Silent { after_s: within.as_secs() })
        }
    }
}

fn with_bus(command: &mut Command, named: Option<String>) {
    let bus = named.or_else(|| std::env::var(BUS_VARIABLE).ok().filter(|text| !text.is_empty()));
    if let Some(bus) = bus {
        command.arg("--bus").arg(bus);
    }
}
