//! What `/proc` shows of the process that answers at Docker's socket: whether it is a dockerd of this host, and how it was started.
//!
//! Only what the kernel shows to uid 0 without a capability: not `exe`, `root` or `ns`.

use model::docker_config::WhyUnusable;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The file that dockerd reads where none is named.
const USUAL_FILE: &str = "/etc/docker/daemon.json";
/// Most of a file of `/proc` that is read, in bytes; a mount table of a host with a thousand containers has half a megabyte.
const MOST_BYTES: u64 = 8 << 20;

/// A dockerd, and how it was started.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DockerProcess {
    /// Its program, as it was started.
    pub(super) program: String,
    /// Its arguments without the name of the configuration file.
    pub(super) args: Vec<String>,
    /// Its configuration file.
    pub(super) file: String,
    /// The file is named by its arguments.
    pub(super) is_required: bool,
    /// The service whose control group it is in.
    pub(super) unit: Option<String>,
}

/// A text of `/proc/PID`.
pub(super) fn text(proc: &Path, pid: u32, name: &str) -> Result<String, WhyUnusable> {
    let path = proc.join(pid.to_string()).join(name);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text));
    read.map_err(|error| unknown(&format!("cannot read {}: {error}", path.display())))?;
    String::from_utf8(text).map_err(|_| unknown(&format!("{} is not UTF-8 text", path.display())))
}

fn unknown(said: &str) -> WhyUnusable {
    WhyUnusable::DockerUnknown { said: said.to_owned() }
}

/// The dockerd with this process id.
pub(super) fn docker_process(proc: &Path, pid: u32) -> Result<DockerProcess, WhyUnusable> {
    let command = text(proc, pid, "cmdline")?;
    let mut words = command.split_terminator('\0').map(str::to_owned);
    let program = words.next().ok_or_else(|| unknown(&format!("process {pid} has exited")))?;
    let unit = unit_of(&text(proc, pid, "cgroup")?);
    let is_snap = unit.as_deref().is_some_and(|unit| unit.starts_with("snap."));
    if is_snap || program.starts_with("/snap/") || program.starts_with("/var/lib/snapd/snap/") {
        return Err(WhyUnusable::DockerSnap { program });
    }
    // Distributions that wrap the program keep its name in it (`.dockerd-wrapped`).
    let name = text(proc, pid, "comm")?;
    if !name.contains("dockerd") {
        return Err(WhyUnusable::NotDocker { program: name.trim_end().to_owned() });
    }
    let uid = uid_of(&text(proc, pid, "status")?).ok_or_else(|| unknown(&format!("process {pid} has no uid")))?;
    let own_users = std::fs::read_to_string(proc.join("self/uid_map"));
    if uid != 0 || own_users.is_ok_and(|own| text(proc, pid, "uid_map").is_ok_and(|its| its != own)) {
        return Err(WhyUnusable::DockerRootless { uid });
    }
    let Started { named, args, runtime_flag } = started(words);
    if let Some(flag) = runtime_flag {
        return Err(WhyUnusable::DockerRuntimeFlag { flag });
    }
    match named {
        Some(file) if !file.starts_with('/') => Err(WhyUnusable::DockerConfigRelative { file }),
        Some(file) => Ok(DockerProcess { program, args, file, is_required: true, unit }),
        None => Ok(DockerProcess { program, args, file: USUAL_FILE.to_owned(), is_required: false, unit }),
    }
}

/// What the arguments hold.
#[derive(Debug, Default)]
struct Started {
    named: Option<String>,
    args: Vec<String>,
    runtime_flag: Option<String>,
}

/// As pflag reads them: `--flag value` and `--flag=value`, the last one counts, and nothing behind `--` is a flag.
fn started(mut words: impl Iterator<Item = String>) -> Started {
    let mut found = Started::default();
    while let Some(word) = words.next() {
        let (flag, value) = word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value)));
        match flag {
            "--config-file" => {
                found.named = Some(value.map(str::to_owned).or_else(|| words.next()).unwrap_or_default())
            }
            "--add-runtime" if value.is_none() => {
                let value = words.next().unwrap_or_default();
                found.runtime_flag = Some(format!("--add-runtime {value}"));
            }
            "--add-runtime" => found.runtime_flag = Some(word),
            "--" => {
                found.args.extend([word].into_iter().chain(words));
                break;
            }
            _ => found.args.push(word),
        }
    }
    found
}

/// The effective user, in the numbers of this process.
fn uid_of(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The innermost service of the control group that systemd made: of cgroup 2 (`0::PATH`), or of the hierarchy `name=systemd`.
fn unit_of(cgroup: &str) -> Option<String> {
    let path = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_systemd = controllers.is_empty() || controllers == "name=systemd";
        is_systemd.then(|| path.to_owned())
    };
    let paths = cgroup.lines().filter_map(path);
    paths.into_iter().find_map(|path| {
        let unit = path.split('/').rev().find(|part| part.ends_with(".service"))?;
        is_unit_name(unit).then(|| unit.to_owned())
    })
}

/// The characters of `systemd.unit(5)`, and never one that begins like an option.
fn is_unit_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.len() <= 255 && !name.starts_with(['-', '.']) && name.chars().all(known)
}

#[cfg(test)]
mod tests;
