//! B4: resident memory of the front and of all our processes, with 8 simulated NVML GPUs and a manager, and of node-exporter.

use crate::Ground;
use crate::child::{Running, is_installed};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(600);
const SCRAPE: Duration = Duration::from_secs(15);
const EXPORTER: &str = "127.0.0.1:19100";

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let tree = ground.work.join("tree");
    let (nvml, smi) = (tree.join("usr/lib/libnvidia-ml.so.1"), tree.join("usr/bin/nvidia-smi"));
    let sysfs = tree.join("sys");
    let rig = Rig::prepare(ground, &Wish { sysfs: Some(&sysfs), nvidia: Some((&nvml, &smi)), manager: true })?;
    let exporter = start_exporter(&rig)?;
    let daemon = rig.start_daemon()?;
    let time = if ground.long { LONG } else { SHORT };
    let begin = Instant::now();
    while begin.elapsed() < time {
        if exporter.is_some() {
            scrape()?;
        }
        std::thread::sleep(SCRAPE.min(time.saturating_sub(begin.elapsed())));
    }
    let family = family(daemon.pid())?;
    let front = front(&family).unwrap_or(daemon.pid());
    // Where the front is a child, the first process only starts the others: under systemd that is systemd's work.
    let product = family.iter().filter(|pid| **pid == front || **pid != daemon.pid());
    let pss: Result<Vec<f64>, _> = product.map(|pid| mib(*pid, "smaps_rollup", "Pss:")).collect();
    let pss = pss?;
    let beats = rig.heartbeats();
    ensure!(beats > 0, "the daemon checked in with nobody: this would not be the memory of its work");
    let peer = match &exporter {
        Some(running) => Figure::new("prometheus-node-exporter, RSS", mib(running.pid(), "status", "VmRSS:")?, "MiB"),
        None => Figure::absent("prometheus-node-exporter, RSS", "not installed", "MiB"),
    };
    Ok(Row {
        name: "B4",
        what: format!("resident memory after {} s, 8 simulated NVML GPUs, a manager", time.as_secs()),
        ours: vec![
            (Figure::new("front, RSS", mib(front, "status", "VmRSS:")?, "MiB"), Goal::AtMost(8.0)),
            (Figure::new("front and hands, PSS", pss.iter().sum(), "MiB"), Goal::AtMost(14.0)),
        ],
        peers: vec![peer],
        notes: vec![
            format!("{} processes; {beats} heartbeats accepted; the peer is scraped each 15 s", pss.len()),
            "no workspaces yet: the product does not run any".into(),
        ],
    })
}

fn start_exporter(rig: &Rig) -> anyhow::Result<Option<Running>> {
    if !is_installed("prometheus-node-exporter") {
        return Ok(None);
    }
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={EXPORTER}"));
    let mut running = Running::start(&mut command, &rig.path("exporter.log"))?;
    running.await_ready(|| TcpStream::connect(EXPORTER).is_ok())?;
    Ok(Some(running))
}

fn scrape() -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(EXPORTER).context("node-exporter went away")?;
    stream.set_read_timeout(Some(SCRAPE))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains("node_load1"), "node-exporter answers without metrics");
    Ok(())
}

/// A process with all that descend from it.
fn family(first: u32) -> anyhow::Result<BTreeSet<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = BTreeSet::from([first]);
    while let Some((pid, _)) = parents.iter().find(|(pid, parent)| family.contains(parent) && !family.contains(pid)) {
        family.insert(*pid);
    }
    Ok(family)
}

/// The front among the processes that a launcher started.
fn front(family: &BTreeSet<u32>) -> Option<u32> {
    family.iter().copied().find(|pid| is_launched_front(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()))
}

fn is_launched_front(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0).skip(1);
    let first = words.next().unwrap_or_default();
    first != b"hand" && (first == b"--launcher" || words.any(|word| word == b"--launcher"))
}

/// A line of a file in /proc that is told in kB, in MiB.
fn mib(pid: u32, file: &str, key: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key} in {path}"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("{key} in {path}"))?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_holds_grandchildren() {
        let script = ["-c", "sleep 1000 & echo $!; wait"];
        let mut child = Command::new("sh").args(script).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = [0; 32];
        let length = child.stdout.as_mut().unwrap().read(&mut line).unwrap();
        let grandchild: u32 = std::str::from_utf8(&line[..length]).unwrap().trim().parse().unwrap();
        let family = family(std::process::id()).unwrap();
        let killed = Command::new("kill").args([grandchild.to_string(), child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
        assert!(killed.success() && family.contains(&child.id()) && family.contains(&grandchild), "{family:?}");
    }

    #[test]
    fn the_front_is_neither_launcher_nor_hand() {
        assert!(is_launched_front(b"/usr/bin/gpuhostd\0--bus\0system\0--launcher\x0012\0"));
        assert!(!is_launched_front(b"/usr/bin/gpuhostd\0--with-hands\0--bus\0system\0"));
        assert!(!is_launched_front(b"/usr/bin/gpuhostd\0hand\0host\0--launcher\x0012\0"));
    }

    #[test]
    fn memory_is_told_in_mib() {
        let rss = mib(std::process::id(), "status", "VmRSS:").unwrap();
        assert!((0.5..500.0).contains(&rss), "{rss}");
        assert!(mib(std::process::id(), "status", "NoSuchKey:").is_err());
    }
}
