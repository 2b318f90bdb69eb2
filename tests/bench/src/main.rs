//! Benchmarks: ours and its peers on the same work, in turn, with the medians and their ratio. Nothing here fails for being slow.

mod child;
mod document;
mod list_gpus;
mod memory;
mod parse_smi;
mod ready;
mod report;
mod rig;
mod turns;
mod unit_scores;

use anyhow::{Context, bail};
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
}

type Bench = fn(&Ground) -> anyhow::Result<report::Row>;

const ROWS: [(&str, Bench); 5] = [
    ("b1", list_gpus::run),
    ("b3", parse_smi::run),
    ("b4", memory::run),
    ("b7", ready::run),
    ("b18", unit_scores::run),
];

fn main() -> anyhow::Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !ROWS.iter().any(|(row, _)| row == name)) {
        bail!("there is no benchmark {unknown}; there are {}", ROWS.map(|(row, _)| row).join(", "));
    }
    let bin = std::env::current_exe()?.parent().context("the program lies in a folder")?.to_owned();
    let work = PathBuf::from(std::env::var_os("BENCH_WORK").context("BENCH_WORK names the folder of the inputs")?);
    let ground = Ground { bin, work, long: std::env::var_os("LONG").is_some_and(|v| v == "1") };
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
