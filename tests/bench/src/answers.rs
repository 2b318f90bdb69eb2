//! B17: the large and the small question on D-Bus, 8 GPUs with 16 MIG devices each.

use crate::Ground;
use crate::bus::{quantiles, talk};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::sized;
use anyhow::ensure;
use std::fs;
use wire::dbus::{BUS_NAME, GPU_INTERFACE, ROOT_PATH, gpu_path};
use zbus::Connection;

const CALLS: usize = 500;
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DRIVER: &str = "org.freedesktop.DBus";

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
        let mut bytes = 0;
        let all = quantiles(CALLS, async || {
            bytes = managed().await?;
            Ok(())
        });
        let all = all.await?;
        ensure!(bytes > 10_000, "{bytes} bytes are no answer about 8 GPUs");
        let one = quantiles(CALLS, async || get_all(connection, BUS_NAME, &first, GPU_INTERFACE).await).await?;
        let bus = quantiles(CALLS, async || get_all(connection, DRIVER, "/org/freedesktop/DBus", DRIVER).await).await?;
        Ok((all, one, bus, bytes))
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
            format!("{CALLS} calls each on one connection; half take {:.3}, {:.3} and {:.3} ms", one.0, all.0, bus.0),
            format!("GetManagedObjects answers {:.1} kB", bytes as f64 / 1e3),
        ],
    })
}

async fn get_all(connection: &Connection, name: &str, path: &str, interface: &str) -> anyhow::Result<()> {
    connection.call_method(Some(name), path, Some(PROPERTIES), "GetAll", &(interface)).await?;
    Ok(())
}
