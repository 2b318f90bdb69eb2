//! B22: from a document at the manager to host settings that are in force and reported as applied: where the manager holds a request
//! for it (long-poll), and where only the replies to heartbeats name it. Each document that is accepted is written once.

use crate::Ground;
use crate::bus::talk;
use crate::process::{family, front};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Fetching, Rig, Wish};
use crate::turns::{median, percentile};
use anyhow::{Context, ensure};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wire::dbus::{BUS_NAME, DESIRED_INTERFACE, ROOT_PATH};
use zbus::Connection;
use zbus::OwnedVariant;

/// Documents that are handed in, one after the other.
const HELD: u64 = 20;
const NAMED: u64 = 6;
/// Those that are counted, not timed.
const COUNTED: u64 = 10;
/// The shortest interval that a manager may ask for.
const INTERVAL: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// No item is tried twice in a second.
const APART: Duration = Duration::from_millis(1_300);

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let (held, writes) = over(ground, Fetching::LongPoll, HELD, COUNTED)?;
    let (named, _) = over(ground, Fetching::Hints(INTERVAL), NAMED, 0)?;
    let each = writes.map(|writes| writes / COUNTED as f64).map_err(|error| format!("{error:#}"));
    let of_writes = Figure { who: "writes of desired.json for each document".into(), value: each, unit: "x" };
    Ok(Row {
        name: "B22",
        what: "a document at the manager to host settings applied".into(),
        ours: vec![
            (Figure::new("long-poll, half of them", median(held.clone()), "s"), Goal::AtMost(1.0)),
            (Figure::new("long-poll, the longest", percentile(held, 1.0), "s"), Goal::AtMost(1.0)),
            (
                Figure::new(
                    "named in replies, the longest, by the interval",
                    percentile(named, 1.0) / INTERVAL.as_secs_f64(),
                    "x",
                ),
                Goal::AtMost(1.0),
            ),
            (of_writes, Goal::AtMost(1.0)),
        ],
        peers: Vec::new(),
        notes: vec![
            format!(
                "{HELD} and {NAMED} documents, an interval of {} s; up to 0.2 s are the reference manager's, which looks at its file so often",
                INTERVAL.as_secs()
            ),
            "no peer: what is comparable asks each 30 s to 10 min".into(),
        ],
    })
}

/// Seconds that each document took, and how often the counted ones were written.
fn over(
    ground: &Ground,
    fetching: Fetching,
    timed: u64,
    counted: u64,
) -> anyhow::Result<(Vec<f64>, anyhow::Result<f64>)> {
    let rig = Rig::prepare(ground, &Wish { manager: true, fetching, ..Wish::default() })?;
    let mut daemon = rig.start_daemon()?;
    daemon.await_ready(|| rig.heartbeats() > 0)?;
    talk(&rig, async |connection| {
        hand_in(&rig, connection, 1).await?;
        let mut taken = Vec::new();
        for revision in 2..timed + 2 {
            std::thread::sleep(APART + Duration::from_millis(revision * 371 % 1000));
            let begin = Instant::now();
            hand_in(&rig, connection, revision).await?;
            taken.push(begin.elapsed().as_secs_f64());
        }
        let writes = count(&rig, daemon.pid(), connection, timed + 2..timed + 2 + counted).await;
        Ok((taken, writes))
    })
}

/// Hands in a revision with another label, and waits until it is applied.
async fn hand_in(rig: &Rig, connection: &Connection, revision: u64) -> anyhow::Result<()> {
    rig.hand_in(&format!(r#"{{"epoch":"e","revision":{revision},"agent":{{"labels":{{"revision":"{revision}"}}}}}}"#))?;
    let begin = Instant::now();
    while applied(connection).await? != Some(revision) {
        ensure!(begin.elapsed() < DEADLINE, "revision {revision} is not applied after {} s", DEADLINE.as_secs());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// None: nothing has been applied.
async fn applied(connection: &Connection) -> anyhow::Result<Option<u64>> {
    let asked = (DESIRED_INTERFACE, "AppliedRevision");
    let properties = Some("org.freedesktop.DBus.Properties");
    let answer = connection.call_method(Some(BUS_NAME), ROOT_PATH, properties, "Get", &asked).await;
    let value: Option<OwnedVariant> = answer.ok().and_then(|answer| answer.body().deserialize().ok());
    Ok(value.and_then(|value| u64::try_from(value).ok()).filter(|revision| *revision > 0))
}

/// How often the front puts its file in place while it gets these, by its calls of the kernel.
async fn count(
    rig: &Rig,
    daemon: u32,
    connection: &Connection,
    revisions: std::ops::Range<u64>,
) -> anyhow::Result<f64> {
    let trace = rig.path("renames");
    let front = front(&family(daemon)?).context("the front is not among the processes")?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=rename,renameat,renameat2", "-o"]).arg(&trace).args(["-p", &front.to_string()]);
    let mut strace: Child = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("strace is not there")?;
    std::thread::sleep(Duration::from_secs(1));
    let mut outcome = Ok(());
    for revision in revisions {
        std::thread::sleep(APART);
        outcome = hand_in(rig, connection, revision).await;
        if outcome.is_err() {
            break;
        }
    }
    Command::new("kill").args(["-INT", &strace.id().to_string()]).status()?;
    strace.wait()?;
    outcome?;
    let text = fs::read_to_string(&trace)?;
    Ok(text.lines().filter(|line| line.contains("desired.json\"") && line.ends_with("= 0")).count() as f64)
}
