//! B16: from the kernel's event of a device to the signal on D-Bus that says what has changed.

use crate::Ground;
use crate::bus::talk;
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::turns::percentile;
use anyhow::{Context, bail, ensure};
use futures_util::StreamExt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::dbus::{ROOT_PATH, gpu_path};
use zbus::{Connection, MatchRule, MessageStream};

const ROUNDS: usize = 120;
/// Longer than the daemon collects followers of a first change.
const QUIET: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_secs(10);

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let trigger = trigger()?;
    let tree = ground.work.join("tree/sys");
    let rig = Rig::prepare(ground, &Wish { sysfs: Some(&tree), ..Wish::default() })?;
    let _daemon = rig.start_daemon()?;
    let devices = tree.join("bus/pci/devices");
    let gpu = a_gpu(&devices)?;
    let (shown, hidden) = (devices.join(&gpu), tree.join("unplugged"));
    let path = gpu_path(gpu.parse()?);
    let taken = talk(&rig, async |connection| {
        let mut signals = of_objects(connection).await?;
        let mut taken = Vec::new();
        for round in 0..ROUNDS {
            std::thread::sleep(QUIET);
            let (from, to, member) = if round % 2 == 0 {
                (&shown, &hidden, "InterfacesRemoved")
            } else {
                (&hidden, &shown, "InterfacesAdded")
            };
            fs::rename(from, to).with_context(|| format!("cannot move {}", from.display()))?;
            let begin = Instant::now();
            fs::write(&trigger, "change")?;
            tokio::time::timeout(DEADLINE, until(&mut signals, member, &path)).await.context("no signal came")??;
            taken.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        Ok(taken)
    });
    if hidden.exists() {
        fs::rename(&hidden, &shown)?;
    }
    let taken = taken?;
    Ok(Row {
        name: "B16",
        what: "kernel event of a device to the signal on D-Bus (300 functions are scanned between)".into(),
        ours: vec![
            (Figure::new("half of them", percentile(taken.clone(), 0.5), "ms"), Goal::AtMost(20.0)),
            (Figure::new("99 of 100", percentile(taken, 0.99), "ms"), Goal::AtMost(20.0)),
        ],
        peers: Vec::new(),
        notes: vec![
            format!("{ROUNDS} rounds: a GPU goes and comes in a made tree, the event is a real one of the kernel"),
            "no peer: what is comparable polls, each minute or so".into(),
        ],
    })
}

/// A file that makes the kernel announce a device which is there.
fn trigger() -> anyhow::Result<PathBuf> {
    let folder = Path::new("/sys/bus/pci/devices");
    let entries = fs::read_dir(folder).context("this machine has no PCI bus")?;
    let first = entries.flatten().map(|entry| entry.path().join("uevent")).min().context("no PCI device is here")?;
    fs::write(&first, "change").with_context(|| format!("cannot write {} (are you root?)", first.display()))?;
    Ok(first)
}

/// The address of the first GPU of the made tree.
fn a_gpu(devices: &Path) -> anyhow::Result<String> {
    let mut names: Vec<_> =
        fs::read_dir(devices)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names {
        if fs::read_to_string(devices.join(&name).join("class"))?.starts_with("0x0302") {
            return Ok(name);
        }
    }
    bail!("no GPU in {}", devices.display())
}

async fn of_objects(connection: &Connection) -> anyhow::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .interface("org.freedesktop.DBus.ObjectManager")
        .path(ROOT_PATH)
        .build()?;
    Ok(MessageStream::for_match_rule(rule, connection, None).await?)
}

async fn until(signals: &mut MessageStream, member: &str, path: &str) -> anyhow::Result<()> {
    while let Some(message) = signals.next().await {
        let message = message?;
        if message.header().member().is_some_and(|name| name.as_str() == member) && about(&message)? == path {
            return Ok(());
        }
    }
    ensure!(false, "the bus closed the connection");
    Ok(())
}

/// The object that a signal of an ObjectManager is about: the first of its arguments.
fn about(message: &zbus::Message) -> anyhow::Result<String> {
    let body = message.body();
    let all: zbus::Structure<'_> = body.deserialize().context("the signal has no arguments")?;
    match all.fields().first() {
        Some(zbus::Variant::ObjectPath(path)) => Ok(path.to_string()),
        other => bail!("the signal is about {other:?}"),
    }
}
