//! B4, B5 and B6: memory, CPU time and wake-ups of the daemon in its steady life (8 simulated NVML GPUs, a manager), and of
//! node-exporter beside it in the same minutes.

use crate::Ground;
use crate::child::{Running, is_installed};
use crate::counted::{Work, instructions};
use crate::group::Group;
use crate::process::{Sleeps, family, front, mib};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use anyhow::{Context, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(600);
/// Settled before it is measured: enrolled, probed, and past the first heartbeats.
const WARM_UP: Duration = Duration::from_secs(10);
const SCRAPE: Duration = Duration::from_secs(15);
/// Between two looks at the threads: shorter than a thread of either lives.
const LOOK: Duration = Duration::from_secs(3);
const EXPORTER: &str = "127.0.0.1:19100";
const PEER: &str = "prometheus-node-exporter, scraped each 15 s";

/// What was measured over the same time.
pub struct Steady {
    seconds: f64,
    processes: usize,
    beats: usize,
    front_rss: f64,
    /// Each process of ours, with what it holds for itself alone.
    anonymous: Vec<(String, f64)>,
    all_pss: f64,
    cpu: Result<f64, String>,
    wakes: f64,
    /// Each thread of ours by name, with its wake-ups in a minute.
    wakers: Vec<String>,
    peer: Result<Peer, String>,
}

struct Peer {
    rss: f64,
    pss: f64,
    anonymous: f64,
    cpu: Result<f64, String>,
    wakes: f64,
}

/// B4.
pub fn memory(ground: &Ground) -> anyhow::Result<Row> {
    let steady = ground.steady()?;
    let peer = steady.peer.as_ref().map_err(Clone::clone);
    let of_peer = |what: &str, value: fn(&Peer) -> f64| Figure {
        who: format!("{PEER}, {what}"),
        value: peer.clone().map(value),
        unit: "MiB",
    };
    let all_anonymous: f64 = steady.anonymous.iter().map(|(_, mib)| mib).sum();
    let mut ours = vec![
        (Figure::new("front and hands, PSS", steady.all_pss, "MiB"), Goal::AtMost(10.0)),
        (Figure::new("front and hands, anonymous", all_anonymous, "MiB"), Goal::AtMost(4.0)),
        (Figure::new("front, RSS", steady.front_rss, "MiB"), Goal::AtMost(8.0)),
    ];
    if let Ok(peer) = &peer {
        ours.push((Figure::new("PSS of ours by RSS of the peer", steady.all_pss / peer.rss, "x"), Goal::AtMost(0.6)));
    }
    let each = steady.anonymous.iter().map(|(who, mib)| format!("{who} {mib:.2}"));
    Ok(Row {
        name: "B4",
        what: format!("memory after {:.0} s, 8 simulated NVML GPUs, a manager", steady.seconds),
        ours,
        peers: vec![
            of_peer("PSS", |peer| peer.pss),
            of_peer("anonymous", |peer| peer.anonymous),
            of_peer("RSS", |peer| peer.rss),
        ],
        notes: vec![
            format!("anonymous, each in MiB: {}", each.collect::<Vec<_>>().join(", ")),
            "PSS: pages of files that several processes have mapped count in parts; RSS counts them whole for each"
                .into(),
            format!("{} processes; {} heartbeats accepted", steady.processes, steady.beats),
            "without workspaces: no Docker runs here".into(),
        ],
    })
}

/// B5.
pub fn cpu(ground: &Ground) -> anyhow::Result<Row> {
    let steady = ground.steady()?;
    let peer = steady.peer.as_ref().map_err(Clone::clone).and_then(|peer| peer.cpu.clone());
    let ours = Figure { who: "front, hands and their probes".into(), value: steady.cpu.clone(), unit: "%" };
    let mut ours = vec![(ours, Goal::AtMost(0.02))];
    if let (Ok(cpu), Ok(of_peer)) = (&steady.cpu, &peer) {
        ours.push((Figure::new("the same by the peer's", cpu / of_peer, "x"), Goal::AtMost(0.5)));
    }
    Ok(Row {
        name: "B5",
        what: format!("CPU of one core over {:.0} s, heartbeats and samples each 30 s", steady.seconds),
        ours,
        peers: vec![Figure { who: PEER.into(), value: peer, unit: "%" }],
        notes: vec![
            "by the control group: what has ended counts as well; the release build".into(),
            in_instructions("to judge the answers of a sample", Work::Judge),
            in_instructions("to build the body of a heartbeat", Work::Beat),
            "instructions of these two alone: D-Bus, TLS, the kernel and the probe of the driver come on top".into(),
        ],
    })
}

/// How many instructions a piece of work takes.
fn in_instructions(what: &str, work: Work<'_>) -> String {
    match instructions(work) {
        Ok(cost) => {
            format!("{:.0} thousand instructions {what} ({:.0} the first time)", cost.warm / 1e3, cost.cold / 1e3)
        }
        Err(error) => format!("instructions {what}: not counted: {error:#}"),
    }
}

/// B6.
pub fn wake_ups(ground: &Ground) -> anyhow::Result<Row> {
    let steady = ground.steady()?;
    let peer = steady.peer.as_ref().map_err(Clone::clone).map(|peer| peer.wakes);
    Ok(Row {
        name: "B6",
        what: format!("wake-ups over {:.0} s (voluntary context switches of all threads)", steady.seconds),
        ours: vec![(Figure::new("front and hands", steady.wakes, "1/s"), Goal::AtMost(0.5))],
        peers: vec![Figure { who: PEER.into(), value: peer, unit: "1/s" }],
        notes: vec![
            format!("who, for each minute: {}", steady.wakers.join(", ")),
            "with its heartbeats and samples; those of probes, which have ended, are not among them".into(),
        ],
    })
}

/// Runs both side by side and measures.
pub fn measure(ground: &Ground) -> anyhow::Result<Steady> {
    let tree = ground.work.join("tree");
    let (nvml, smi) = (tree.join("usr/lib/libnvidia-ml.so.1"), tree.join("usr/bin/nvidia-smi"));
    let sysfs = tree.join("sys");
    let rig = Rig::prepare(
        ground,
        &Wish { sysfs: Some(&sysfs), nvidia: Some((&nvml, &smi)), manager: true, ..Wish::default() },
    )?;
    let groups = Group::new("ours").and_then(|ours| Ok((ours, Group::new("peer")?)));
    let exporter = start_exporter(&rig, groups.as_ref().ok().map(|(_, peer)| peer))?;
    let command = groups.as_ref().map_or_else(|_| rig.daemon(), |(ours, _)| ours.inside(&rig.daemon()));
    let mut daemon = rig.start(command)?;
    daemon.await_ready(|| rig.heartbeats() > 0)?;
    std::thread::sleep(WARM_UP);

    let family = family(daemon.pid())?;
    let front = front(&family).unwrap_or(daemon.pid());
    // Where the front is a child, the first process only starts the others: under systemd that is systemd's work.
    let product: Vec<u32> = family.into_iter().filter(|pid| *pid == front || *pid != daemon.pid()).collect();
    let cpu = || groups.as_ref().map_err(ToString::to_string).and_then(|both| spent(both).map_err(|e| e.to_string()));
    let exporter_pids: Vec<u32> = exporter.iter().map(Running::pid).collect();
    let (mut ours, mut theirs) = (Sleeps::default(), Sleeps::default());
    let (begin, cpu_before) = (Instant::now(), cpu());
    let time = if ground.long { LONG } else { SHORT };
    let mut scraped = None;
    loop {
        ours.look(&product)?;
        theirs.look(&exporter_pids)?;
        let passed = begin.elapsed();
        if passed >= time {
            break;
        }
        if exporter.is_some() && scraped.is_none_or(|last: Duration| passed >= last + SCRAPE) {
            scraped = Some(passed);
            scrape()?;
        }
        std::thread::sleep(LOOK.min(time.saturating_sub(begin.elapsed())));
    }
    let (seconds, cpu_after) = (begin.elapsed().as_secs_f64(), cpu());
    let share = |pick: fn(&(Duration, Duration)) -> Duration| -> Result<f64, String> {
        let (before, after) =
            (pick(cpu_before.as_ref().map_err(Clone::clone)?), pick(cpu_after.as_ref().map_err(Clone::clone)?));
        Ok((after - before).as_secs_f64() / seconds * 100.0)
    };
    let peer = match &exporter {
        Some(running) => Ok(Peer {
            rss: mib(running.pid(), "status", "VmRSS:")?,
            pss: mib(running.pid(), "smaps_rollup", "Pss:")?,
            anonymous: mib(running.pid(), "smaps_rollup", "Anonymous:")?,
            cpu: share(|both| both.1),
            wakes: theirs.counted() / seconds,
        }),
        None => Err("not installed".to_owned()),
    };
    Ok(Steady {
        seconds,
        processes: product.len(),
        beats: rig.heartbeats(),
        front_rss: mib(front, "status", "VmRSS:")?,
        anonymous: product
            .iter()
            .map(|pid| Ok((role(*pid, front), mib(*pid, "smaps_rollup", "Anonymous:")?)))
            .collect::<anyhow::Result<_>>()?,
        all_pss: product.iter().map(|pid| mib(*pid, "smaps_rollup", "Pss:")).sum::<anyhow::Result<f64>>()?,
        cpu: share(|both| both.0),
        wakes: ours.counted() / seconds,
        wakers: ours
            .by_thread()
            .map(|((pid, name), count)| format!("{} {name} {:.1}", role(*pid, front), count / seconds * 60.0))
            .collect(),
        peer,
    })
}

/// What a process of ours is, by its command line.
fn role(pid: u32, front: u32) -> String {
    if pid == front {
        return "front".to_owned();
    }
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
    match words.next().as_deref() {
        Some("hand") => format!("hand {}", words.next().unwrap_or_default()),
        _ => program,
    }
}

/// CPU time of ours and of the peer.
fn spent((ours, peer): &(Group, Group)) -> anyhow::Result<(Duration, Duration)> {
    Ok((ours.cpu()?, peer.cpu()?))
}

fn start_exporter(rig: &Rig, group: Option<&Group>) -> anyhow::Result<Option<Running>> {
    if !is_installed("prometheus-node-exporter") {
        return Ok(None);
    }
    let mut plain = Command::new("prometheus-node-exporter");
    plain.arg(format!("--web.listen-address={EXPORTER}"));
    let mut command = group.map(|group| group.inside(&plain)).unwrap_or(plain);
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
