//! B3: an `nvidia-smi -q -x` document into typed values, against a parser over expat and the bare tokeniser of libxml2.

use crate::Ground;
use crate::document;
use crate::report::{Figure, Goal, Row};
use crate::turns::median;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const TURNS: usize = 7;
const PARSES: usize = 200;
/// What `xmllint --repeat` does, fixed there.
const XMLLINT_PARSES: f64 = 100.0;

/// Milliseconds for one parse, one value for each turn.
#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    expat: Vec<f64>,
    xmllint: Vec<f64>,
    peak_heap: f64,
}

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let mut sizes = Vec::new();
    for gpus in [8, 64] {
        let path = ground.work.join(format!("smi-{gpus}.xml"));
        let text = document::smi(gpus);
        fs::write(&path, &text)?;
        sizes.push((path, text.len() as f64));
    }
    let (eight, bytes) = &sizes[0];
    let mut times = Times::default();
    let mut large = Vec::new();
    for _ in 0..TURNS {
        turn(ground, eight, &mut times)?;
        large.push(told(Command::new(ground.bin.join("parse-smi")).arg(&sizes[1].0).arg("20"), "median_ms")?);
    }
    let ours = median(times.ours);
    let growth = median(large) / ours / (sizes[1].1 / bytes);
    let speed = |ms: f64| bytes / ms / 1e3;
    let peer = |who: &str, values: Vec<f64>| {
        if values.is_empty() {
            Figure::absent(who, "not installed", "ms")
        } else {
            Figure::new(who, median(values), "ms")
        }
    };
    Ok(Row {
        name: "B3",
        what: format!("nvidia-smi -q -x document of 8 GPUs, {:.0} kB, to typed values", bytes / 1e3),
        ours: vec![
            (Figure::new("model::smi::parse", ours, "ms"), Goal::AtMost(0.5)),
            (Figure::new("the same as speed", speed(ours), "MB/s"), Goal::AtLeast(400.0)),
            (Figure::new("peak heap, without the document", times.peak_heap / 1e3, "kB"), Goal::AtMost(200.0)),
            (Figure::new("time per byte at 64 GPUs, by that at 8", growth, "x"), Goal::AtMost(1.2)),
        ],
        peers: vec![
            peer("python3 on expat, the same kind of values", times.expat),
            peer("xmllint --stream, tokens only, no values", times.xmllint),
        ],
        notes: vec![format!("each turn: the median of {PARSES} parses in one process; {TURNS} turns")],
    })
}

fn turn(ground: &Ground, document: &Path, times: &mut Times) -> anyhow::Result<()> {
    let mut ours = Command::new(ground.bin.join("parse-smi"));
    let report = json(ours.arg(document).arg(PARSES.to_string()))?;
    ensure!(report["gpus"] == 8, "the parser found {} GPUs in a document of 8", report["gpus"]);
    times.ours.push(report["median_ms"].as_f64().context("median_ms is a number")?);
    times.peak_heap = report["peak_heap_bytes"].as_f64().context("peak_heap_bytes is a number")?;
    let mut expat = Command::new("python3");
    times.expat.push(told(expat.arg("tests/bench/expat_peer.py").arg(document).arg("20"), "median_ms")?);
    if crate::child::is_installed("xmllint") {
        let begin = Instant::now();
        let status = Command::new("xmllint").args(["--stream", "--noout", "--repeat"]).arg(document).status()?;
        ensure!(status.success(), "xmllint ended with {status}");
        times.xmllint.push(begin.elapsed().as_secs_f64() * 1e3 / XMLLINT_PARSES);
    }
    Ok(())
}

fn told(command: &mut Command, key: &str) -> anyhow::Result<f64> {
    json(command)?[key].as_f64().with_context(|| format!("{key} is a number"))
}

fn json(command: &mut Command) -> anyhow::Result<Value> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} ended with {}: {}", output.status, said.trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}
