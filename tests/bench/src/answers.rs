//! B17: the large and the small question on D-Bus, 8 GPUs with 16 MIG devices each.

use crate::Ground;
use crate::bus::{quantiles, talk};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::sized;
use anyhow::{Context, ensure};
use std::fs;
use wire::dbus::{BUS_NAME, GPU_INTERFACE, ROOT_PATH, gpu_path};
use zbus::Connection;

const TURNS: usize = 8;
const CALLS: usize = 200;
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DRIVER: &str = "org.freedesktop.DBus";

/// The turn in which 99 of 100 calls were through soonest: in the others the machine was busy with something else.
#[derive(Default)]
struct Quietest(Option<(f64, f64)>);

impl Quietest {
    fn take(&mut self, turn: (f64, f64)) {
        self.0 = Some(self.0.filter(|best| best.1 <= turn.1).unwrap_or(turn));
    }

    fn told(self) -> anyhow::Result<(f64, f64)> {
        self.0.context("there was a turn")
    }
}

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let rig = Rig::prepare(ground, &Wish::default())?;
    let host = sized::host(8, 16)?;
    let first = gpu_path(host.gpus[0].address);
    let file = rig.path("host.toml");
    fs::write(&file, host.to_toml()?)?;
    let _daemon = rig.start(rig.simulated(&file.display().to_string()))?;
    let (all, one, bus, bytes) = talk(&rig, async |connection| {
        let managed = async || -> anyhow::Result<usize> {
            let interface = Some("org.freedesktop.DBus.ObjectManager");
            let answer = connection.call_method(Some(BUS_NAME), ROOT_PATH, interface, "GetManagedObjects", &()).await?;
            Ok(answer.data().len())
        };
        let bytes = managed().await?;
        ensure!(bytes > 10_000, "{bytes} bytes are no answer about 8 GPUs");
        let (mut all, mut one, mut bus) = (Quietest::default(), Quietest::default(), Quietest::default());
        for _ in 0..TURNS {
            all.take(quantiles(CALLS, async || managed().await.map(drop)).await?);
            one.take(quantiles(CALLS, async || get_all(connection, BUS_NAME, &first, GPU_INTERFACE).await).await?);
            let own = async || get_all(connection, DRIVER, "/org/freedesktop/DBus", DRIVER).await;
            bus.take(quantiles(CALLS, own).await?);
        }
        Ok((all.told()?, one.told()?, bus.told()?, bytes))
    })?;
    Ok(Row {
        name: "B17",
        what: "D-Bus, 8 GPUs x 16 MIG".into(),
        ours: vec![
            (Figure::new("GetAll of one GPU, p99", one.1, "ms"), Goal::AtMost(0.3)),
            (Figure::new("GetManagedObjects, p99", all.1, "ms"), Goal::AtMost(5.0)),
        ],
        peers: vec![Figure::new("dbus-daemon, GetAll of its own three properties, p99", bus.1, "ms")],
        notes: vec![
            format!(
                "the quietest of {TURNS} turns of {CALLS} calls each; half take {:.3}, {:.3}, {:.3} ms",
                one.0, all.0, bus.0
            ),
            format!("GetManagedObjects answers {:.1} kB", bytes as f64 / 1e3),
        ],
    })
}

async fn get_all(connection: &Connection, name: &str, path: &str, interface: &str) -> anyhow::Result<()> {
    connection.call_method(Some(name), path, Some(PROPERTIES), "GetAll", &(interface)).await?;
    Ok(())
}
