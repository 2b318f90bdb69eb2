//! A connection to the private bus of a rig, and how long calls on it take.

use crate::rig::Rig;
use crate::turns::percentile;
use anyhow::Context;
use std::time::Instant;
use zbus::Connection;

/// Runs a conversation with the daemon on the rig's bus.
pub fn talk<T>(rig: &Rig, conversation: impl AsyncFnOnce(&Connection) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let builder = zbus::connection::Builder::address(rig.bus().as_str());
        let connection = builder.build().await.context("cannot connect to the bus")?;
        conversation(&connection).await
    })
}

/// Half and 99 of 100 calls take no longer, in milliseconds.
pub async fn quantiles(times: usize, mut call: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<(f64, f64)> {
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begin = Instant::now();
        call().await?;
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok((percentile(taken.clone(), 0.5), percentile(taken, 0.99)))
}
