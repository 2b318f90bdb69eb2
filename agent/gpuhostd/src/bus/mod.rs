//! The D-Bus face: keeps `org.gpuhost.Agent1` served as long as there is a bus, and goes on trying where there is none.

pub mod action;
mod authority;
mod dict;
mod enrolment;
mod executor;
mod face;
mod failure;
mod gate;
mod gpu;
mod group;
mod host;
mod intake;
mod job;
mod limits;
mod mig;
mod options;
mod queue;
mod serve;
mod shown;
mod submit;
mod token;
mod transport;
mod tree;

use engine::handle::Handle;
use engine::job::Job;
use model::causes::with_causes;
use model::enrol::CheckinStatus;
use model::message::Message;
use model::observation::HostObservation;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use serve::BusFault;
pub use shown::silent;

/// The pause before the first new try after the bus was lost or refused us; it doubles up to [`RETRY_LAST`].
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest pause between two tries.
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Which bus to serve on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusAddress {
    /// The system bus.
    System,
    /// The session bus of the caller.
    Session,
    /// A bus at a D-Bus address, `unix:path=/run/gpuhost-bus`.
    At(String),
}

/// Where the face stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusState {
    /// The first try is under way.
    Starting,
    /// The name is ours, and all objects are there.
    Serving {
        /// Our unique name on the bus.
        unique_name: String,
    },
    /// There is no bus, or it does not let us own the name; tried again in the background.
    Unavailable {
        /// What was tried, what the bus said, what to do.
        why: String,
    },
    /// It was told to stop.
    Stopped,
}

/// What the face shows: the core, and where the check-in stands.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The core.
    pub(crate) handle: Handle,
    /// The check-in.
    pub(crate) checkin: watch::Receiver<Arc<CheckinStatus>>,
}

/// What was so at one instant. It is taken once, so that what is shown together belongs together.
#[derive(Debug)]
pub(crate) struct Moment {
    /// The host.
    pub(crate) seen: Arc<HostObservation>,
    /// The jobs.
    pub(crate) jobs: Arc<Vec<Job>>,
    /// The check-in.
    pub(crate) checkin: Arc<CheckinStatus>,
}

impl Sources {
    /// What is so now.
    pub(crate) fn now(&self) -> Moment {
        Moment {
            seen: Arc::clone(&self.handle.observation.borrow()),
            jobs: Arc::clone(&self.handle.jobs.borrow()),
            checkin: Arc::clone(&self.checkin.borrow()),
        }
    }
}

/// A face at work.
#[derive(Debug)]
pub struct Running {
    /// Where it stands now.
    pub state: watch::Receiver<BusState>,
    /// Ends after the cancellation, when the name has been given back.
    pub task: tokio::task::JoinHandle<()>,
}

/// Starts the D-Bus face in the background. It never fails: where the bus is away the state says so, and it is tried again
/// with growing pauses until `cancel`.
#[must_use]
pub fn start(
    address: BusAddress,
    handle: Handle,
    checkin: watch::Receiver<Arc<CheckinStatus>>,
    cancel: CancellationToken,
) -> Running {
    let (publish, state) = watch::channel(BusState::Starting);
    let sources = Sources { handle, checkin };
    let task = tokio::spawn(keep_serving(address, sources, publish, cancel));
    Running { state, task }
}

async fn keep_serving(
    address: BusAddress,
    sources: Sources,
    state: watch::Sender<BusState>,
    cancel: CancellationToken,
) {
    let mut pause = RETRY_FIRST;
    loop {
        let Err(fault) = serve::serve_once(&address, &sources, &state, &cancel).await else { break };
        // What it serves may have ended before it, in the same stop.
        if cancel.is_cancelled() {
            break;
        }
        if matches!(*state.borrow(), BusState::Serving { .. }) {
            pause = RETRY_FIRST;
        }
        let why = with_causes(&fault);
        tracing::warn!(
            message_id = Message::BusUnavailable.id(),
            retry_ms = pause.as_millis(),
            "D-Bus is unavailable, and the daemon goes on without it: {why}"
        );
        state.send_replace(BusState::Unavailable { why });
        if tokio::time::timeout(pause, cancel.cancelled()).await.is_ok() {
            break;
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
    state.send_replace(BusState::Stopped);
}
