//! B12: how large the programs and the package are.

use crate::Ground;
use crate::report::{Figure, Goal, Row};
use anyhow::{Context, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

const PEER: &str = "prometheus-node-exporter";

/// Measures. The package was built by `run.sh` out of the same programs.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let package = package(&ground.work.join("packages"))?;
    let peer = Figure {
        who: format!("{PEER}, program"),
        value: mb(Path::new("/usr/bin/prometheus-node-exporter")).map_err(|_| "not installed".to_owned()),
        unit: "MB",
    };
    let program = |name: &str, goal: f64| -> anyhow::Result<(Figure, Goal)> {
        Ok((Figure::new(format!("{name}, stripped"), mb(&ground.bin.join(name))?, "MB"), Goal::AtMost(goal)))
    };
    Ok(Row {
        name: "B12",
        what: "size of what is installed".into(),
        ours: vec![
            program("gpuhostd", 8.0)?,
            program("gpuhostctl", 8.0)?,
            program("gpuhostd-host", 2.0)?,
            program("gpuhostd-containers", 2.0)?,
            program("gpuhostd-holders", 2.0)?,
            program("gpuhostd-mig", 2.0)?,
            program("gpuhostd-child", 1.0)?,
            program("gpuhostd-launcher", 2.0)?,
            program("gpuhostd-collect", 8.0)?,
            (Figure::new("the .deb", mb(&package)?, "MB"), Goal::AtMost(4.0)),
        ],
        peers: vec![peer, peer_package()],
        notes: vec!["each role is a program of its own; gpuhostd is the front alone".into()],
    })
}

fn mb(file: &Path) -> anyhow::Result<f64> {
    Ok(fs::metadata(file).with_context(|| file.display().to_string())?.len() as f64 / 1e6)
}

fn package(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}: run.sh builds it", folder.display()))?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    // The SELinux module is a package beside it.
    let is_it = |name: &str| name.starts_with("gpuhostd_") && name.ends_with(".deb");
    found.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_it));
    ensure!(found.len() == 1, "{} packages in {}", found.len(), folder.display());
    found.pop().context("there is one")
}

/// The size of the peer's package as its archive tells it.
fn peer_package() -> Figure {
    let who = format!("{PEER}, .deb");
    let output = Command::new("apt-cache").args(["show", "--no-all-versions", PEER]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let size = text.lines().find_map(|line| line.strip_prefix("Size: ")?.trim().parse::<f64>().ok());
    match size {
        Some(bytes) => Figure::new(who, bytes / 1e6, "MB"),
        None => Figure::absent(who, "apt knows no such package", "MB"),
    }
}
