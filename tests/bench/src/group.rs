//! The CPU time of a program and of everything that it starts, whether it still runs or not: a control group of its own.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where control groups are made: version 1, then version 2.
const HIERARCHIES: [(&str, &str); 2] = [("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")];

/// A control group, taken away with this value.
pub struct Group {
    folder: PathBuf,
    file: &'static str,
}

impl Group {
    /// Makes a group.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let name = format!("gpuhostd-bench-{}-{name}", std::process::id());
        for (above, file) in HIERARCHIES {
            let folder = Path::new(above).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Self { folder, file };
            if group.cpu().is_ok() {
                return Ok(group);
            }
        }
        anyhow::bail!("no control group can be made below /sys/fs/cgroup (are you root?)")
    }

    /// The same command, begun inside the group.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inner = Command::new("sh");
        inner.arg("-c").arg("echo $$ >\"$0\" && exec \"$@\"").arg(self.folder.join("cgroup.procs"));
        inner.arg(command.get_program()).args(command.get_args());
        inner.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inner
    }

    /// CPU time so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let path = self.folder.join(self.file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        spent(&text).with_context(|| format!("{} says {text:?}", path.display()))
    }
}

/// `123456` in nanoseconds, or the line `usage_usec 123` in microseconds.
fn spent(text: &str) -> Option<Duration> {
    match text.lines().find_map(|line| line.strip_prefix("usage_usec ")) {
        Some(micros) => micros.trim().parse().ok().map(Duration::from_micros),
        None => text.trim().parse().ok().map(Duration::from_nanos),
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended before; a group with one left cannot be taken away, and says so by staying.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        assert_eq!(spent("1500\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(spent("usage_usec 7\nuser_usec 5\n"), Some(Duration::from_micros(7)));
        assert_eq!(spent("none"), None);
    }
}
