//! B8: the command line against a running daemon, and the command lines of others against theirs.

use crate::Ground;
use crate::child::{Running, is_installed};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::turns::{Contender, wall_times};
use anyhow::Context;
use std::process::Command;

const ROUNDS: usize = 25;

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let rig = Rig::prepare(ground, &Wish::default())?;
    let gpus = rig.ctl(&["gpus"]);
    let seen = ["0000:07:00.0".to_owned()];
    let mut daemon = rig.start(rig.simulated("dgx-a100"))?;
    let shows = |line: &[String], words: &[String]| {
        let output = Command::new(&line[0]).args(&line[1..]).output();
        output.is_ok_and(|o| words.iter().all(|word| String::from_utf8_lossy(&o.stdout).contains(word.as_str())))
    };
    daemon.await_ready(|| shows(&gpus, &seen))?;
    let call = format!("busctl --address={} call org.gpuhost.Agent1 /org/gpuhost/Agent1", rig.bus());
    let same_call = format!("{call} org.gpuhost.Agent1.Host GetObservation a{{sv}} 0");
    let docker = start_docker(&rig)?;
    let docker_ps = format!("docker --host unix://{} ps", rig.path("docker.sock").display());
    let split = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let contender = |who: &str, command: Vec<String>, says: &str| Contender {
        who: who.to_owned(),
        command,
        must_say: vec![says.to_owned()],
    };
    let mut all = vec![
        Contender { who: "gpuhostctl gpus".into(), command: gpus, must_say: seen.to_vec() },
        contender("busctl, the same call to the same daemon", split(&same_call), "0000:07:00.0"),
        contender("systemctl list-units", split("systemctl list-units --no-pager"), "UNIT"),
    ];
    if docker.is_some() {
        all.push(contender("docker ps", split(&docker_ps), "CONTAINER"));
    }
    let mut figures = wall_times(&all, ROUNDS).into_iter();
    let ours = figures.next().context("there is one figure for each contender")?;
    let mut peers: Vec<Figure> = figures.collect();
    if docker.is_none() {
        peers.push(Figure::absent("docker ps", "dockerd is not installed, or does not start here", "ms"));
    }
    Ok(Row {
        name: "B8",
        what: "command line against a running daemon, 8 GPUs, start to end".into(),
        ours: vec![(ours, Goal::AtMost(8.0))],
        peers,
        notes: vec![format!("{ROUNDS} rounds in turn; systemctl needs systemd as PID 1")],
    })
}

/// A Docker of our own without containers or networks; none where it cannot be had.
fn start_docker(rig: &Rig) -> anyhow::Result<Option<Running>> {
    if !is_installed("dockerd") || !is_installed("docker") {
        return Ok(None);
    }
    let mut command = Command::new("dockerd");
    command.arg("--host").arg(format!("unix://{}", rig.path("docker.sock").display()));
    command.arg("--data-root").arg(rig.path("docker")).arg("--exec-root").arg(rig.path("docker-exec"));
    command.arg("--pidfile").arg(rig.path("docker.pid"));
    command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
    let mut running = Running::start(&mut command, &rig.path("dockerd.log"))?;
    let host = format!("unix://{}", rig.path("docker.sock").display());
    let answers = || Command::new("docker").args(["--host", &host, "ps"]).output().is_ok_and(|o| o.status.success());
    Ok(running.await_ready(answers).is_ok().then_some(running))
}
