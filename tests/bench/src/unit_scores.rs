//! B18: what `systemd-analyze security` says of our units and of those of comparable services.

use crate::Ground;
use crate::report::{Figure, Goal, Row};
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our units with the score that each should not exceed.
const OURS: [(&str, f64); 7] = [
    ("gpuhostd.service", 1.5),
    ("gpuhostd-host.service", 1.3),
    ("gpuhostd-holders.service", 2.0),
    ("gpuhostd-containers.service", 0.8),
    ("gpuhostd-mig.service", 2.0),
    ("gpuhostd-mig-mode.service", 2.0),
    ("gpuhostd-mig-monitor.service", 1.2),
];
/// Their units, and the Debian package of each.
const PEERS: [(&str, &str); 3] =
    [("fwupd.service", "fwupd"), ("docker.service", "docker.io"), ("udisks2.service", "udisks2")];
const UNIT: &str = "0-10";

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let here = Path::new("systemd");
    let mut ours = Vec::new();
    for (unit, goal) in OURS {
        ours.push((Figure::new(unit, score(&here.join(unit))?, UNIT), Goal::AtMost(goal)));
    }
    let mut peers = Vec::new();
    for (unit, package) in PEERS {
        peers.push(match find(unit, &ground.work) {
            Some(path) => Figure::new(unit, score(&path)?, UNIT),
            None => Figure::absent(unit, format!("package {package} is neither installed nor fetched"), UNIT),
        });
    }
    let notes = vec!["0 = sealed, 10 = open".into()];
    Ok(Row { name: "B18", what: "systemd-analyze security --offline=true".into(), ours, peers, notes })
}

/// The unit as it is installed, or as `run.sh` unpacked it.
fn find(unit: &str, work: &Path) -> Option<PathBuf> {
    let unpacked = work.join("peer-units");
    let folders = [PathBuf::from("/lib/systemd/system"), PathBuf::from("/usr/lib/systemd/system"), unpacked];
    folders.into_iter().map(|folder| folder.join(unit)).find(|path| path.is_file())
}

fn score(unit: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager"]).arg(unit);
    let output = command.output().context("systemd-analyze cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} is not judged: {}", unit.display(), said.trim());
    overall(&text).with_context(|| format!("systemd-analyze gives no score for {}", unit.display()))
}

/// The number in `Overall exposure level for x.service: 1.5 OK`.
fn overall(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains("Overall exposure level for "))?;
    line.split_once(": ")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overall_score_is_read() {
        let text = "x\n\u{2192} Overall exposure level for fwupd.service: 4.6 OK \u{1f642}\n";
        assert_eq!(overall(text), Some(4.6));
        assert_eq!(overall("no such line"), None);
    }
}
