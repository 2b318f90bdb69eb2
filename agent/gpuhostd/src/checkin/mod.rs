//! The check-in with a manager: drives the pure machine of `model::checkin` over real HTTPS, and keeps the identity.

mod beat;
mod config;
mod credentials;
mod enrolment;
mod files;
mod http;
mod identity;
mod key;
mod life;
pub(crate) mod look;
mod machine_id;
mod port;
mod renewal;
mod request;
mod sight;
mod status;
mod task;
mod tls;
mod token_file;

pub use port::CheckinPort;

use engine::handle::Handle;
use model::enrol::CheckinStatus;
use model::ports::Clock;
use model::settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Makes the check-in: the port that jobs use, the status to watch, and the task that does the work until cancelled.
/// Another `[manager]` section in `configured` is taken up at once. `state_dir` must be there; the identity is kept below it. All timers of the protocol run on `clock`.
pub fn start<C: Clock>(
    handle: Handle,
    configured: watch::Receiver<Arc<Settings>>,
    state_dir: PathBuf,
    clock: Arc<C>,
    cancel: CancellationToken,
) -> (CheckinPort, watch::Receiver<Arc<CheckinStatus>>, impl Future<Output = ()> + Send) {
    let (port, asks) = port::channel();
    let (publisher, status) = status::Publisher::new(configured.borrow().manager.heartbeat_interval_s);
    let parts = task::Parts { handle, configured, state_dir, clock, cancel, asks, keep: port.clone(), publisher };
    (port, status, task::Task::new(parts).run())
}
