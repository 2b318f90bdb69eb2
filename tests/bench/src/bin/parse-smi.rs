//! Parses one nvidia-smi document so many times and prints the median time and the peak of the heap as JSON.

use anyhow::{Context, ensure};
use peak_alloc::PeakAlloc;
use std::time::Instant;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    ensure!(arguments.len() == 3, "parse-smi FILE TIMES");
    let document = std::fs::read(&arguments[1]).with_context(|| arguments[1].clone())?;
    let times: usize = arguments[2].parse().context("TIMES is a number")?;
    ensure!(times > 0, "TIMES is at least 1");

    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let report = model::smi::parse(&document)?;
    let peak = HEAP.peak_usage().saturating_sub(before);
    let gpus = report.gpus.len();

    let mut taken: Vec<f64> = Vec::with_capacity(times);
    for _ in 0..times {
        let begin = Instant::now();
        std::hint::black_box(model::smi::parse(std::hint::black_box(&document)))?;
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    let median = taken[times / 2];
    println!("{}", serde_json::json!({"gpus": gpus, "median_ms": median, "peak_heap_bytes": peak}));
    Ok(())
}
