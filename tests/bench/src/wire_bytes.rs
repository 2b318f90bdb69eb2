//! B13: what a steady heartbeat costs on the wire, counted by a relay between the real check-in and the reference manager, and how
//! many heartbeats go over a connection that was there before.

use crate::Ground;
use crate::many_hosts;
use crate::relay::Relay;
use crate::report::{Figure, Goal, Row};
use anyhow::ensure;
use manager::{Endpoint, Manager, Options};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Hosts of the same size; each sends twelve heartbeats a minute.
const HOSTS: u64 = 20;
/// The shortest that a manager may ask for.
const INTERVAL_S: u64 = 5;
/// Longer than a request for desired state is held.
const SHORT: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(600);
/// The first ones have the inventory with them.
const SETTLED: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(120);
const PREFIX: &str = "gpuhostd-bench.";

/// What was counted, for each heartbeat.
struct Counted {
    beats: f64,
    up: f64,
    down: f64,
    body: f64,
    /// Connections for each heartbeat, in the same time.
    connections: f64,
    /// Connections that carried something in that time, for each host.
    of_each: f64,
    /// Requests for desired state.
    polls: f64,
}

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let runtime = tokio::runtime::Runtime::new()?;
    let time = if ground.long { LONG } else { SHORT };
    let alone = runtime.block_on(counted(&["gzip"], time))?;
    let with_polls = runtime.block_on(counted(&["gzip", "long_poll"], time))?;
    let plain = crate::beat::body(&crate::sized::observed(crate::sized::busy_host(8, 7)?)?, true)?.len();
    let kb = |bytes: f64| bytes / 1e3;
    Ok(Row {
        name: "B13",
        what: "a steady heartbeat over TLS on a kept connection, 8 GPUs x 7 MIG, 16 workspaces".into(),
        ours: vec![
            (Figure::new("bytes on the wire, both ways", kb(alone.up + alone.down), "kB"), Goal::AtMost(5.7)),
            (Figure::new("heartbeats on a kept connection", kept(&alone), "%"), Goal::AtLeast(99.9)),
            (Figure::new("the same beside held requests", kept(&with_polls), "%"), Goal::AtLeast(99.9)),
        ],
        peers: vec![Figure::new("the whole report as JSON without workspaces, body alone", kb(plain as f64), "kB")],
        notes: vec![
            format!(
                "to the manager {:.2} kB (body {:.2}), back {:.2} kB",
                kb(alone.up),
                kb(alone.body),
                kb(alone.down)
            ),
            format!(
                "{HOSTS} hosts, {:.0} heartbeats in {} s; TCP payload, TLS records included",
                alone.beats,
                time.as_secs()
            ),
            format!(
                "a request for desired state that is held 55 s: {:.2} kB more; with them {:.2} connections a host, without {:.2}",
                kb((with_polls.up + with_polls.down - alone.up - alone.down) / with_polls.polls),
                with_polls.of_each,
                alone.of_each
            ),
        ],
    })
}

/// How many of a hundred heartbeats needed no new connection.
fn kept(counted: &Counted) -> f64 {
    100.0 * (1.0 - counted.connections)
}

async fn counted(features: &[&str], time: Duration) -> anyhow::Result<Counted> {
    let features: Vec<_> = features.iter().map(|feature| (*feature).to_owned()).collect();
    // Without held requests the path is not there: nothing but heartbeats is counted then.
    let has_path = |path: &Endpoint| *path != Endpoint::DesiredState || features.iter().any(|one| one == "long_poll");
    let optional_paths = Endpoint::ALL.into_iter().filter(has_path).collect();
    let options = Options { next_heartbeat_s: INTERVAL_S, features, optional_paths, ..Options::default() };
    let manager = Manager::start(options).await?;
    let relay = Relay::start(manager.addr()).await?;
    let root = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
    let tokens: Vec<_> = (0..HOSTS).map(|_| manager.issue_token()).collect();
    let agents = many_hosts::enrolled(&relay.url(), &manager.ca_pem(), &tokens, root.path()).await?;
    for agent in &agents {
        ensure!(agent.until(PATIENCE, |now| now.accepted >= SETTLED).await, "a host's heartbeats are not accepted");
    }
    let (before, told, began) = (relay.passed(), *manager.heartbeat_count().borrow(), Instant::now());
    tokio::time::sleep(time).await;
    let (passed, came) = (relay.passed().since(before), manager.heartbeats_after(told));
    let requests: Vec<_> = manager.requests().into_iter().filter(|request| request.at >= began).collect();
    let used: BTreeSet<u64> = requests.iter().map(|request| request.connection_id).collect();
    let polls = requests.iter().filter(|request| request.endpoint == Some(Endpoint::DesiredState));
    ensure!(came.iter().all(|beat| beat.accepted && beat.gzip), "a heartbeat was refused, or was not compressed");
    let faults = manager.violations();
    ensure!(faults.is_empty(), "{faults:?}");
    let beats = came.len() as f64;
    let each = |bytes: u64| bytes as f64 / beats;
    Ok(Counted {
        beats,
        up: each(passed.up),
        down: each(passed.down),
        body: came.iter().map(|beat| beat.wire_bytes as f64).sum::<f64>() / beats,
        connections: each(passed.connections),
        of_each: used.len() as f64 / HOSTS as f64,
        polls: polls.count() as f64 / beats,
    })
}
