//! B1 and B2: GPUs among the functions of the PCI bus, listed by a cold process and by the scan inside the daemon.
//!
//! All read the same made tree: it is mounted over /sys in a mount namespace of this benchmark (see run.sh), since
//! driverctl and lshw know no other place. No preloaded library stands between a contender and the file system.

use crate::Ground;
use crate::counted::{Work, system_calls};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::turns::{Contender, median, wall_times};
use anyhow::{Context, ensure};
use host::front::Sysfs;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const ROUNDS: usize = 15;
const SCANS: usize = 200;
/// Functions of the smaller tree of B2, with as many GPUs among them.
const QUARTER: f64 = 0.25;

/// B1: 8 GPUs among 300 functions.
pub fn eight(ground: &Ground) -> anyhow::Result<Row> {
    const GPUS: usize = 8;
    const FUNCTIONS: usize = 300;
    is_mounted(FUNCTIONS)?;
    let rig = Rig::prepare(ground, &Wish::default())?;
    let mut daemon = rig.start_daemon()?;
    let (taken, all) = scans(Path::new("/sys"), GPUS)?;
    let scan = taken.median;
    let told = |output: std::process::Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        all.iter().all(|address| text.contains(address))
    };
    let gpus = rig.ctl(&["gpus"]);
    daemon.await_ready(|| Command::new(&gpus[0]).args(&gpus[1..]).output().is_ok_and(told))?;
    let ours = Contender { who: "gpuhostctl gpus, daemon running".into(), command: gpus, must_say: all.clone() };
    let contenders = [
        ours,
        Contender::new(&["lspci", "-Dnnk"], &all),
        Contender::new(&["driverctl", "list-devices", "display"], &all),
        Contender::new(&["lshw", "-quiet", "-C", "display", "-json"], &all),
    ];
    let mut figures = wall_times(&contenders, ROUNDS).into_iter();
    let ctl = figures.next().context("there is one figure for each contender")?;
    let peers: Vec<Figure> = figures.collect();
    let mut notes = vec![
        format!("{ROUNDS} rounds in turn; the scan: median of {SCANS} in one process, all but the first warm"),
        format!("the first scan of a process: {:.3} ms, median of {ROUNDS}", taken.first),
        calls(FUNCTIONS),
    ];
    if let Some(Ok(lspci)) = peers.first().map(|peer| peer.value.as_ref()) {
        notes.push(format!("lspci takes {:.1} times as long as the scan (goal: 30)", lspci / scan));
    }
    Ok(Row {
        name: "B1",
        what: format!("list {GPUS} GPUs among {FUNCTIONS} PCI functions"),
        ours: vec![
            (ctl, Goal::AtMost(8.0)),
            (Figure::new("the scan inside the daemon", scan, "ms"), Goal::AtMost(0.6)),
        ],
        peers,
        notes,
    })
}

/// B2: 64 GPUs among 1,000 functions, and a quarter of both.
pub fn many(ground: &Ground) -> anyhow::Result<Row> {
    const GPUS: usize = 64;
    const FUNCTIONS: usize = 1000;
    is_mounted(FUNCTIONS)?;
    let (scan, all) = scans(Path::new("/sys"), GPUS)?;
    let (quarter, _) = scans(&ground.work.join("quarter/sys"), GPUS / 4)?;
    let peers = wall_times(&[Contender::new(&["lspci", "-Dnnk"], &all)], ROUNDS);
    let lspci = peers.first().and_then(|peer| peer.value.as_ref().ok()).copied();
    let mut ours = vec![
        (Figure::new("the scan inside the daemon", scan.median, "ms"), Goal::AtMost(lspci.unwrap_or(f64::NAN) / 20.0)),
        (
            Figure::new("time for each function, by that in a quarter", scan.least * QUARTER / quarter.least, "x"),
            Goal::AtMost(1.2),
        ),
    ];
    if lspci.is_none() {
        ours.remove(0);
    }
    Ok(Row {
        name: "B2",
        what: format!("list {GPUS} GPUs among {FUNCTIONS} PCI functions"),
        ours,
        peers,
        notes: vec![
            format!("the scan: median of {SCANS} in one process; goal: 1/20 of lspci; growth by the least"),
            format!("the first scan of a process: {:.3} ms, median of {ROUNDS}", scan.first),
            calls(FUNCTIONS),
        ],
    })
}

fn is_mounted(functions: usize) -> anyhow::Result<()> {
    let devices = Path::new("/sys/bus/pci/devices");
    let here = fs::read_dir(devices).with_context(|| devices.display().to_string())?.count();
    ensure!(
        here == functions,
        "{here} functions in /sys, not {functions}: the made tree is not mounted (run.sh does it)"
    );
    Ok(())
}

/// How many calls of the kernel a scan makes.
fn calls(functions: usize) -> String {
    match system_calls(Work::Scan(Path::new("/sys"))) {
        Ok(cost) => format!(
            "system calls: {:.0} in the first scan, {:.0} in each later one ({:.2} for each function)",
            cost.cold,
            cost.warm,
            cost.warm / functions as f64
        ),
        Err(error) => format!("system calls: not counted: {error:#}"),
    }
}

/// Milliseconds for one scan.
struct Scans {
    median: f64,
    /// The first of a process, which remembers nothing yet.
    first: f64,
    /// Least of all: how it grows is asked of the work, not of a machine that is busy with others.
    least: f64,
}

/// How long the scans took, and the addresses that they found.
fn scans(root: &Path, gpus: usize) -> anyhow::Result<(Scans, Vec<String>)> {
    let sysfs = Sysfs::new(root);
    let mut addresses = Vec::new();
    let mut taken = Vec::with_capacity(SCANS);
    for _ in 0..SCANS {
        let begin = Instant::now();
        let scan = sysfs.scan()?;
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
        addresses = scan.gpus.iter().map(|gpu| gpu.address.to_string()).collect();
        ensure!(addresses.len() == gpus, "the scan found {} GPUs", addresses.len());
    }
    let mut first = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let fresh = Sysfs::new(root);
        let begin = Instant::now();
        fresh.scan()?;
        first.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let least = taken.iter().copied().fold(f64::INFINITY, f64::min);
    Ok((Scans { median: median(taken), first: median(first), least }, addresses))
}
