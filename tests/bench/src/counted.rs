//! What a piece of work costs where no busy machine can be in the way: system calls (strace) and instructions (callgrind). The work is
//! done by this same program in a process of its own, once and eleven times; the ten between are counted.

use crate::{beat, sized, turn};
use anyhow::{Context, bail, ensure};
use host::front::Sysfs;
use model::judge::{ObservationMeta, judge};
use model::time::{BootMillis, UnixMillis};
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first argument by which this program is told to work and to say nothing.
pub const WORK: &str = "work";

/// What can be counted.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// Scans of a sysfs by one process.
    Scan(&'a Path),
    /// Answers of 8 GPUs judged into an observation.
    Judge,
    /// The body of a heartbeat of 8 GPUs.
    Beat,
    /// Turns of the reconciler.
    Turn,
}

/// What the first and each later turn costs.
pub struct Cost {
    /// The first.
    pub cold: f64,
    /// Each of those after it.
    pub warm: f64,
}

/// Does the work that the arguments name: `scan ROOT TIMES`, `judge TIMES`, `beat TIMES`, `turn TIMES`.
pub fn work(arguments: &[String]) -> anyhow::Result<()> {
    let times = |text: &String| text.parse::<usize>().context("how many times");
    match arguments {
        [what, root, count] if what == "scan" => {
            let sysfs = Sysfs::new(root);
            for _ in 0..times(count)? {
                black_box(sysfs.scan()?);
            }
        }
        [what, count] if what == "judge" => {
            let raw = sim::SimHost::new(sized::host(8, 0)?)?.asked();
            let seen = ObservationMeta { sequence: 1, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
            for _ in 0..times(count)? {
                black_box(judge(raw.clone(), seen, None));
            }
        }
        [what, count] if what == "beat" => {
            let seen = sized::observed(sized::host(8, 0)?)?;
            for _ in 0..times(count)? {
                black_box(beat::body(&seen, false)?);
            }
        }
        [what, count] if what == "turn" => {
            let mut settled = turn::Reconciled::settled()?;
            for _ in 0..times(count)? {
                black_box(settled.turn());
            }
        }
        _ => bail!("no such work: {arguments:?}"),
    }
    Ok(())
}

/// Calls of the kernel.
pub fn system_calls(work: Work<'_>) -> anyhow::Result<Cost> {
    let counted = |times| {
        let said = said(Command::new("strace").args(["-f", "-c", "-o", "/dev/stderr"]), work, times)?;
        let total = said.lines().find(|line| line.trim_end().ends_with(" total")).context("strace gives no total")?;
        total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).context("strace gives no number of calls")
    };
    cost(counted)
}

/// Instructions of the processor outside the kernel.
pub fn instructions(work: Work<'_>) -> anyhow::Result<Cost> {
    let counted = |times| {
        let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let said = said(Command::new("valgrind").args(callgrind), work, times)?;
        let line = said.lines().find_map(|line| line.split_once("Collected :")).context("callgrind gives no count")?;
        line.1.trim().parse().context("callgrind gives no number")
    };
    cost(counted)
}

fn cost(counted: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<Cost> {
    let [none, once, more] = [counted(0)?, counted(1)?, counted(11)?];
    Ok(Cost { cold: once - none, warm: (more - once) / 10.0 })
}

/// What the counting program says beside the work.
fn said(counter: &mut Command, work: Work<'_>, times: u32) -> anyhow::Result<String> {
    let name = counter.get_program().to_string_lossy().into_owned();
    counter.arg(std::env::current_exe()?).arg(WORK);
    match work {
        Work::Scan(root) => counter.arg("scan").arg(root),
        Work::Judge => counter.arg("judge"),
        Work::Beat => counter.arg("beat"),
        Work::Turn => counter.arg("turn"),
    };
    let output = counter.arg(times.to_string()).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{name} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{name} ended with {}: {}", output.status, said.trim());
    Ok(said)
}
