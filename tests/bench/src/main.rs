//! Benchmarks: ours and its peers on the same work, in turn, with the medians and their ratio. Nothing here fails for being slow.

mod answers;
mod applied;
mod beat;
mod bus;
mod changes;
mod child;
mod cli;
mod counted;
mod document;
mod engines;
mod group;
mod list_gpus;
mod manager_child;
mod many_hosts;
mod mig_plan;
mod parse_smi;
mod process;
mod ready;
mod relay;
mod report;
mod rig;
mod size;
mod sized;
mod steady;
mod turn;
mod turns;
mod unit_scores;
mod wire_bytes;

use anyhow::{Context, bail};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the programs under test and the made inputs lie.
pub struct Ground {
    /// Folder of the built programs (`target/release`).
    pub bin: PathBuf,
    /// Folder of the made inputs and of what the peers leave behind.
    pub work: PathBuf,
    /// Ten minutes instead of one, where a row knows the difference.
    pub long: bool,
    /// Measured once for the rows that share it.
    steady: OnceCell<Result<steady::Steady, String>>,
}

impl Ground {
    /// The daemon's steady life, measured when the first row asks for it.
    fn steady(&self) -> anyhow::Result<&steady::Steady> {
        let measured = self.steady.get_or_init(|| steady::measure(self).map_err(|error| format!("{error:#}")));
        measured.as_ref().map_err(|why| anyhow::anyhow!(why.clone()))
    }
}

type Bench = fn(&Ground) -> anyhow::Result<report::Row>;

const ROWS: [(&str, Bench); 18] = [
    ("b1", list_gpus::eight),
    ("b2", list_gpus::many),
    ("b3", parse_smi::run),
    ("b4", steady::memory),
    ("b5", steady::cpu),
    ("b6", steady::wake_ups),
    ("b7", ready::run),
    ("b8", cli::run),
    ("b9", beat::run),
    ("b10", mig_plan::run),
    ("b12", size::run),
    ("b13", wire_bytes::run),
    ("b15", engines::run),
    ("b16", changes::run),
    ("b17", answers::run),
    ("b18", unit_scores::run),
    ("b21", turn::run),
    ("b22", applied::run),
];

fn main() -> anyhow::Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some((counted::WORK, rest)) = wanted.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        counted::work(rest)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some((manager_child::MANAGER, rest)) = wanted.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        manager_child::serve(rest)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = wanted.iter().find(|name| !ROWS.iter().any(|(row, _)| row == name)) {
        bail!("there is no benchmark {unknown}; there are {}", ROWS.map(|(row, _)| row).join(", "));
    }
    let bin = std::env::current_exe()?.parent().context("the program lies in a folder")?.to_owned();
    let work = PathBuf::from(std::env::var_os("BENCH_WORK").context("BENCH_WORK names the folder of the inputs")?);
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    let ground = Ground { bin, work, long, steady: OnceCell::new() };
    let mut failed = 0;
    for (name, bench) in ROWS.iter().filter(|(row, _)| wanted.is_empty() || wanted.iter().any(|w| w == row)) {
        match bench(&ground) {
            Ok(row) => println!("{row}"),
            Err(error) => {
                failed += 1;
                println!("{}: not measured: {error:#}\n", name.to_uppercase());
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
