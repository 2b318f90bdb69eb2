//! B1: 8 GPUs among 300 PCI functions, listed by a cold process and by the scan inside the daemon.
//!
//! All read the same made tree: it is mounted over /sys in a mount namespace of this benchmark (see run.sh), since
//! driverctl and lshw know no other place. No preloaded library stands between a contender and the file system.

use crate::Ground;
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::turns::{Contender, median, wall_times};
use anyhow::{Context, ensure};
use host::front::Sysfs;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const GPUS: usize = 8;
const FUNCTIONS: usize = 300;
const ROUNDS: usize = 15;
const SCANS: usize = 200;

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let devices = Path::new("/sys/bus/pci/devices");
    let here = fs::read_dir(devices).with_context(|| devices.display().to_string())?.count();
    ensure!(
        here == FUNCTIONS,
        "{here} functions in /sys, not {FUNCTIONS}: the made tree is not mounted (run.sh does it)"
    );
    let rig = Rig::prepare(ground, &Wish::default())?;
    let mut daemon = rig.start_daemon()?;
    let (scan, all) = scan_ms()?;
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
    let mut notes = vec![format!("{ROUNDS} rounds in turn; the scan: median of {SCANS} in one process")];
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

/// Milliseconds for one scan, and the addresses that it found.
fn scan_ms() -> anyhow::Result<(f64, Vec<String>)> {
    let sysfs = Sysfs::new("/sys");
    let mut addresses = Vec::new();
    let mut taken = Vec::with_capacity(SCANS);
    for _ in 0..SCANS {
        let begin = Instant::now();
        let scan = sysfs.scan()?;
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
        addresses = scan.gpus.iter().map(|gpu| gpu.address.to_string()).collect();
        ensure!(addresses.len() == GPUS, "the scan found {} GPUs", addresses.len());
    }
    Ok((median(taken), addresses))
}
