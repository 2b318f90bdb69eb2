//! B15: many real check-ins over TLS, in one process, against the reference manager in another one. `BENCH_HOSTS` is how many.

use crate::Ground;
use crate::manager_child::ManagerChild;
use crate::many_hosts;
use crate::process::{cpu_seconds, mib};
use crate::report::{Figure, Goal, Row};
use anyhow::{Context, ensure};
use reference_agent::SimulatedAgent;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HOSTS: usize = 2000;
const INTERVAL_S: u64 = 30;
const SHORT: Duration = Duration::from_secs(180);
const LONG: Duration = Duration::from_secs(600);
/// After the last enrolment, until each host is in its slot.
const SETTLE: Duration = Duration::from_secs(70);

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let asked = std::env::var("BENCH_HOSTS").ok();
    let hosts: usize = asked.map_or(Ok(HOSTS), |text| text.parse()).context("BENCH_HOSTS is how many hosts")?;
    let time = if ground.long { LONG } else { SHORT };
    let mut manager = ManagerChild::start(hosts, INTERVAL_S)?;
    let root = tempfile::Builder::new().prefix("gpuhostd-bench.").tempdir_in(fast_folder())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let doors = &manager.doors;
    let began = Instant::now();
    let enrolling = many_hosts::enrolled(&doors.url, &doors.ca_pem, &doors.tokens, root.path());
    let agents = runtime.block_on(enrolling)?;
    let enrolled_s = began.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let cpu = |manager: &ManagerChild| {
        Ok::<_, anyhow::Error>((cpu_seconds(std::process::id())?, cpu_seconds(manager.pid())?))
    };
    manager.begin()?;
    let (before, failed_before, began) = (cpu(&manager)?, failed(&agents), Instant::now());
    std::thread::sleep(time);
    let counted = manager.counted()?;
    let (after, seconds) = (cpu(&manager)?, began.elapsed().as_secs_f64());
    ensure!(counted.hosts == hosts, "of {hosts} hosts {} have sent a heartbeat", counted.hosts);
    let beats = counted.beats as f64;
    let share = |spent: f64| 100.0 * spent / seconds;
    Ok(Row {
        name: "B15",
        what: format!(
            "{hosts} real check-ins over TLS against one reference manager, {seconds:.0} s, each {INTERVAL_S} s"
        ),
        ours: vec![
            (Figure::new("missed heartbeats", counted.missed as f64, ""), Goal::AtMost(0.0)),
            (
                Figure::new("heartbeats on a kept connection", 100.0 * (1.0 - counted.connections as f64 / beats), "%"),
                Goal::AtLeast(99.9),
            ),
        ],
        peers: Vec::new(),
        notes: vec![
            format!(
                "{beats} heartbeats, {} refused, {} failed at the hosts, {} violations, {} failed handshakes; the longest time \
                 between two of a host: {:.1} s",
                counted.refused,
                failed(&agents) - failed_before,
                counted.violations,
                counted.failed_handshakes,
                counted.longest_ms as f64 / 1e3
            ),
            format!("all were enrolled after {enrolled_s:.0} s, with certificates"),
            format!(
                "hosts: {:.0} % of a core, {:.2} MiB RSS each; manager: {:.0} % of a core, {:.0} MiB RSS",
                share(after.0 - before.0),
                mib(std::process::id(), "status", "VmRSS:")? / hosts as f64,
                share(after.1 - before.1),
                mib(manager.pid(), "status", "VmRSS:")?
            ),
        ],
    })
}

/// Heartbeats that failed, by the hosts.
fn failed(agents: &[SimulatedAgent]) -> u64 {
    agents.iter().map(|agent| agent.status().failed).sum()
}

/// Where ten thousand folders do not wait for a disk.
fn fast_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
