//! B9: an observation of 8 GPUs with 7 MIG devices each into the body of a heartbeat, and that body packed.

use crate::Ground;
use crate::report::{Figure, Goal, Row};
use crate::sized;
use crate::turns::median;
use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::checkin::Omit;
use model::desired::DesiredReport;
use model::observation::HostObservation;
use model::settings::ManagerSettings;
use model::time::{BootMillis, UnixMillis};
use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::process::Command;
use std::time::Instant;
use wire::manager::gpu::{inventory, inventory_rev};
use wire::manager::report::{CheckinFacts, build};

const TURNS: usize = 7;
const BUILDS: usize = 200;
/// The same document, read once and written again and again by python's json, which is written in C.
const PEER: &str = "import json,sys,time,statistics\nd=json.load(open(sys.argv[1]))\nt=[]\nfor _ in range(200):\n b=time.perf_counter()\n \
                    json.dumps(d,separators=(',',':')).encode()\n t.append((time.perf_counter()-b)*1e3)\nprint(statistics.median(t))";

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let seen = sized::observed(sized::host(8, 7)?)?;
    let (whole, steady) = (body(&seen, true)?, body(&seen, false)?);
    let file = ground.work.join("heartbeat.json");
    fs::write(&file, &whole)?;
    let (mut ours, mut packing, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(timed(|| body(&seen, true))?);
        packing.push(timed(|| packed(&whole))?);
        let output = Command::new("python3").arg("-c").arg(PEER).arg(&file).output().context("python3 is not there")?;
        peer.push(String::from_utf8_lossy(&output.stdout).trim().parse().context("python3 told no time")?);
    }
    let kb = |bytes: usize| bytes as f64 / 1e3;
    Ok(Row {
        name: "B9",
        what: "heartbeat with inventory, 8 GPUs x 7 MIG: observation to encoded body".into(),
        ours: vec![
            (Figure::new("build and encode", median(ours), "ms"), Goal::AtMost(1.0)),
            (Figure::new("body", kb(whole.len()), "kB"), Goal::AtMost(64.0)),
            (Figure::new("body, gzip", kb(packed(&whole)?.len()), "kB"), Goal::AtMost(8.0)),
            (Figure::new("steady heartbeat (no inventory), gzip", kb(packed(&steady)?.len()), "kB"), Goal::AtMost(5.7)),
        ],
        peers: vec![Figure::new("python3 json.dumps of the finished document", median(peer), "ms")],
        notes: vec![
            format!("{TURNS} turns of {BUILDS}; packing takes {:.2} ms more", median(packing)),
            "without workspaces; B13 has 16 of them".into(),
        ],
    })
}

fn timed<T>(work: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let mut taken = Vec::with_capacity(BUILDS);
    for _ in 0..BUILDS {
        let begin = Instant::now();
        black_box(work()?);
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(taken))
}

/// As the check-in does it: the inventory's revision, the document, its JSON.
pub fn body(seen: &HostObservation, with_inventory: bool) -> anyhow::Result<Vec<u8>> {
    let settings = ManagerSettings::default();
    let rev = inventory_rev(&inventory(seen));
    let wishes = DesiredReport::default();
    let facts = CheckinFacts {
        server_id: "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7",
        version: "0.1.0",
        seq: 864_000_001,
        wall: UnixMillis(1_790_000_000_001),
        boot: BootMillis(864_000_001),
        clock_skew_ms: Some(3),
        settings: &settings,
        enabled: true,
        cpu_before: None,
        with_inventory,
        omit: Omit::default(),
        conditions: &[],
        in_force: None,
        wishes: &wishes,
        inventory_rev: &rev,
    };
    let body = serde_json::to_vec(&build(seen, &facts))?;
    ensure!(!with_inventory || body.len() > 8 * 1000, "{} bytes are no heartbeat of 8 GPUs", body.len());
    Ok(body)
}

fn packed(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body)?;
    Ok(packer.finish()?)
}
