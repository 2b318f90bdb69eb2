//! Reads a host for a snapshot: allowed files, what the driver's tools and Docker say, and what the ports answer.
//!
//! It runs in a process of its own, started by a person, with the powers of that person; the front never does this.

mod archive;
mod basket;
mod daemon;
mod files;
mod port;
mod programs;
mod root;
mod run;
mod summary;
mod tree;

pub use archive::pack;
pub use basket::{Basket, BasketFile, Tell};
pub use run::{SnapshotArgs, parse, run};

use model::settings::Settings;
use model::snapshot::Recorded;
use spawn::Own;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

/// How long the files of the kernel may take: one that hangs in a driver must not keep the rest.
const FILES_WITHIN: Duration = Duration::from_secs(20);

/// Where and how a host is read.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// The root of the file system: `/`; another one is for tests and recorded hosts.
    pub root: PathBuf,
    /// What the daemon is configured to use of Docker and the driver.
    pub settings: Settings,
    /// The disposable child, which asks NVML.
    pub child: Own,
}

/// Reads the host into a basket, and what its ports answered.
///
/// Each part has its deadline: the files 20 s, each program what [`Settings`] give a probe or 20 s, Docker 10 s.
pub async fn take(request: &SnapshotRequest) -> (Basket, Recorded) {
    let mut basket = Basket::default();
    let root = request.root.clone();
    let found = in_a_thread(move |tell| files::read(&root, tell));
    collect(found, &mut basket, "the files of the kernel", FILES_WITHIN).await;
    let root = request.root.clone();
    let found = in_a_thread(move |tell| tree::read(&root, tell));
    collect(found, &mut basket, "/sys", FILES_WITHIN).await;
    let recorded = port::record(request, &mut basket).await;
    programs::run(request, &mut basket).await;
    (basket, recorded)
}

/// Only what the ports of the host answer, without the files of an archive.
pub async fn recorded(request: &SnapshotRequest) -> Recorded {
    port::record(request, &mut Basket::default()).await
}

/// Reads in a thread of its own, since a file of a driver may never answer; what it finds comes out one by one.
fn in_a_thread(read: impl FnOnce(&Tell) + Send + 'static) -> UnboundedReceiver<BasketFile> {
    let (sender, receiver) = unbounded_channel();
    tokio::task::spawn_blocking(move || read(&Tell::new(sender)));
    receiver
}

/// Takes what is found until nothing comes any more, or the time is over.
async fn collect(mut found: UnboundedReceiver<BasketFile>, basket: &mut Basket, what: &str, within: Duration) {
    let deadline = Instant::now() + within;
    let mut at = what.to_owned();
    loop {
        match timeout_at(deadline, found.recv()).await {
            Ok(None) => return,
            Ok(Some(BasketFile::Begin(path))) => at = path,
            Ok(Some(found)) => basket.put(found),
            Err(_) => {
                let why = format!("{at} did not answer within {} s; what follows it was not read", within.as_secs());
                basket.miss(what, &why);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
