//! The reference manager in a process of its own, and what it counts of many hosts: heartbeats that came too late, and connections.

use anyhow::{Context, bail};
use manager::{Manager, Options, Received};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The first argument by which this program is the manager: `manager HOSTS SECONDS`.
pub const MANAGER: &str = "manager";
/// A heartbeat is missed where it comes so much later than the interval.
const LATE: Duration = Duration::from_secs(3);
/// Heartbeats that may come between two looks.
const HISTORY: usize = 4096;

/// Where it is, and how hosts get in.
#[derive(Serialize, Deserialize)]
pub struct Doors {
    /// `https://127.0.0.1:port`.
    pub url: String,
    /// Its authority.
    pub ca_pem: String,
    /// A one-use token for each host.
    pub tokens: Vec<String>,
}

/// What it has counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Heartbeats.
    pub beats: u64,
    /// Those that were not accepted.
    pub refused: u64,
    /// Slots in which none came.
    pub missed: u64,
    /// Hosts of which one came.
    pub hosts: usize,
    /// The longest time between two of one host, in milliseconds.
    pub longest_ms: u64,
    /// Connections that were made.
    pub connections: usize,
    /// What broke the contract.
    pub violations: usize,
    /// Handshakes that failed.
    pub failed_handshakes: usize,
}

/// The running child. It ends when it is dropped.
pub struct ManagerChild {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it is.
    pub doors: Doors,
}

impl ManagerChild {
    /// Starts it, for so many hosts and with so many seconds between their heartbeats.
    pub fn start(hosts: usize, every_s: u64) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([MANAGER, &hosts.to_string(), &every_s.to_string()]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the manager's process")?;
        let asks = child.stdin.take().context("its standard input")?;
        let mut answers = BufReader::new(child.stdout.take().context("its standard output")?);
        let doors = answer(&mut answers)?;
        Ok(Self { child, asks, answers, doors })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it counts from now on is asked for with [`Self::counted`].
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.ask("begin").map(drop)
    }

    /// What it has counted since.
    pub fn counted(&mut self) -> anyhow::Result<Counted> {
        self.ask("count")
    }

    fn ask(&mut self, what: &str) -> anyhow::Result<Counted> {
        writeln!(self.asks, "{what}").context("the manager has ended")?;
        answer(&mut self.answers)
    }
}

impl Drop for ManagerChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer<T: for<'a> Deserialize<'a>>(answers: &mut impl BufRead) -> anyhow::Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the manager answered {line:?}"))
}

/// What is known of each host.
struct Tally {
    every: Duration,
    last: BTreeMap<String, Instant>,
    connections: BTreeSet<u64>,
    counted: Counted,
}

impl Tally {
    fn new(every_s: u64) -> Self {
        let (last, connections) = (BTreeMap::new(), BTreeSet::new());
        Self { every: Duration::from_secs(every_s), last, connections, counted: Counted::default() }
    }

    fn take(&mut self, beat: &Received) {
        self.counted.beats += 1;
        self.counted.refused += u64::from(!beat.accepted);
        self.counted.connections += usize::from(self.connections.insert(beat.connection_id));
        let Some(id) = beat.body.get("server_id").and_then(serde_json::Value::as_str) else { return };
        if let Some(before) = self.last.insert(id.to_owned(), beat.at) {
            self.silent(beat.at.saturating_duration_since(before));
        }
    }

    /// A host has been silent for so long.
    fn silent(&mut self, time: Duration) {
        let late = time.saturating_sub(LATE).as_millis() / self.every.as_millis().max(1);
        self.counted.missed += u64::try_from(late).unwrap_or(u64::MAX);
        self.counted.longest_ms = self.counted.longest_ms.max(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// All that was counted, with those that are silent now.
    fn finish(&mut self, now: Instant) -> Counted {
        let limit = self.every + LATE;
        let silences = self.last.values().map(|at| now.saturating_duration_since(*at));
        let long: Vec<_> = silences.filter(|time| *time > limit).collect();
        long.into_iter().for_each(|time| self.silent(time));
        self.counted.hosts = self.last.len();
        std::mem::take(&mut self.counted)
    }
}

/// Is the manager, until standard input ends.
pub fn serve(arguments: &[String]) -> anyhow::Result<()> {
    let [hosts, every_s] = arguments else { bail!("manager HOSTS SECONDS") };
    let (hosts, every_s): (usize, u64) = (hosts.parse()?, every_s.parse()?);
    let (told, mut asked) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    tokio::runtime::Runtime::new()?.block_on(async {
        let options = Options { next_heartbeat_s: every_s, history: HISTORY, ..Options::default() };
        let manager = Manager::start(options).await?;
        let tokens = (0..hosts).map(|_| manager.issue_token()).collect();
        say(&Doors { url: manager.url(), ca_pem: manager.ca_pem(), tokens })?;
        let (mut count, mut tally, mut seen) = (manager.heartbeat_count(), Tally::new(every_s), 0);
        loop {
            tokio::select! {
                changed = count.changed() => changed?,
                line = asked.recv() => if line.is_none() { return Ok(()) } else {
                    let mut counted = tally.finish(Instant::now());
                    counted.violations = manager.violations().len();
                    counted.failed_handshakes = manager.failed_handshakes().len();
                    say(&counted)?;
                },
            }
            count.mark_unchanged();
            let beats = manager.heartbeats_after(seen);
            seen += u64::try_from(beats.len())?;
            beats.iter().for_each(|beat| tally.take(beat));
        }
    })
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_without_a_heartbeat_is_missed_and_one_that_is_late_by_less_is_not() {
        let (mut tally, start) = (Tally::new(30), Instant::now());
        for seconds in [30, 32, 33, 62, 64, 100] {
            tally.silent(Duration::from_secs(seconds));
        }
        tally.last.insert("a".to_owned(), start);
        let counted = tally.finish(start + Duration::from_secs(34));
        assert_eq!((counted.missed, counted.longest_ms, counted.hosts), (1 + 1 + 2 + 3 + 1, 100_000, 1));
        assert_eq!(tally.finish(start).missed, 0);
    }
}
