//! The D-Bus service: keeps `org.gpuhost.Agent1` on the bus, and retries with exponential backoff while there is no bus.
//!
//! # Tasks and channels
//! One task, [`start`]'s, lives as long as the daemon. It connects and serves (`serve`), and after each loss of the bus waits and
//! connects again; its state is a `watch` that the status line and the readiness of the service read. For each connection there
//! are:
//! - the *intake*, a thread: reads the socket as fast as the bus writes, into a queue that is fair between senders (`intake`,
//!   `queue`). So one caller that floods the bus waits behind itself only, and the bus never disconnects us for not reading;
//! - the *transport*: gives one message after the other to zbus, and none while a reply cannot be written or too many calls are
//!   being served (`transport`, `limits`): the admission control of the service. `GetAll` it answers itself, from bytes that are encoded
//!   once for each view (`get_all`);
//! - the *executor*: Tokio as zbus sees it, with a place for each call that is served, so that their number is bounded
//!   (`executor`);
//! - the *publisher* of objects: follows the core's observation, the list of jobs, the state of the check-in and the desired
//!   state with how far it is met, and turns each difference into `InterfacesAdded`, `InterfacesRemoved` and `PropertiesChanged` (`tree`, `shown`).
//!
//! ```text
//!             bus ──► intake (thread) ──► fair queue ──► transport ──► zbus ──► handler ──► gate ──► submit ──► core (queue)
//!              ▲                                                                  │         │ polkit, on a connection of its own
//!              └───────────────── replies, signals ◄──────────────────────────────┘         │
//!                                        ▲                                                  ▼
//!  core ── watch: observation, jobs ──► publisher (tree, shown) ◄── watch: check-in, desired state      Authorized, the token that a command needs
//! ```
//!
//! # The way of a call
//! A handler (`host`, `desired_state`, `gpu`, `workspace`, …) only parses its options (`options`, `token`, `enrolment`); the `gate` looks up
//! the polkit action of the member, asks the `authority`, and alone can make an `Authorized` command; `submit` puts it into the
//! core's bounded queue and answers with the path of the job. Reading waits for nothing: an `object` takes its properties from the
//! `face`, the view of the latest observation. Errors leave through `failure`, which has the one table from refusals to D-Bus error names.
//!
//! # What must not happen
//! No handler waits for hardware (but `Sample`, two seconds at most, and `ListImages`, five) or holds a lock across an `.await`. The name is requested last
//! and released first, so that no client sees half a tree. polkit is asked over a second connection: it would be asked over the
//! first one behind the very calls that wait for it. A call whose sender has left is not decided for anyone else: unique names are
//! never reused.

pub mod action;
mod authority;
mod bus_socket;
mod descriptor;
mod desired_state;
mod enrol_options;
mod executor;
mod face;
mod failure;
mod gate;
mod get_all;
mod gpu;
mod header;
mod host;
mod intake;
mod job;
mod limits;
mod nvidia;
mod object;
mod options;
mod queue;
mod serve;
mod shown;
mod submit;
mod token;
mod tree;
mod workspace;
mod workspaces;

use engine::event_port::EventPort;
use engine::handle::Handle;
use engine::job::Job;
use engine::publish::Publisher;
use engine::reconcile::{ReconcileInputs, Reconciled};
use model::causes::with_causes;
use model::desired::DesiredState;
use model::enrol::CheckinStatus;
use model::message::Message;
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::proxy_cert::ProxyState;
use model::readiness::ReadinessStatus;
use model::roster::Known;
use model::settings::Settings;
use model::workspace_life::WorkspacesState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use serve::BusError;

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

/// The state of the service on the bus.
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
        /// What was tried, what the bus answered, what to do.
        why: String,
    },
    /// It was asked to stop.
    Stopped,
}

/// What the objects show: the core, what the host is reconciled from, and how far it is.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The core.
    pub handle: Handle,
    /// The desired state, the settings and the state of the check-in.
    pub inputs: ReconcileInputs,
    /// How far the host is what is wished.
    pub reconciled: watch::Receiver<Arc<Reconciled>>,
    /// The GPUs that this host has had.
    pub known: watch::Receiver<Arc<Vec<Known>>>,
    /// NVIDIA's driver container and toolkit container.
    pub nvidia: watch::Receiver<Arc<NvidiaState>>,
    /// Workspaces.
    pub workspaces: watch::Receiver<Arc<WorkspacesState>>,
    /// The kept events.
    pub events: EventPort,
    /// The readiness call.
    pub readiness: watch::Receiver<Arc<ReadinessStatus>>,
    /// Where images are shown and asked for.
    pub publisher: Arc<Publisher>,
    /// The certificate of the workspace proxy.
    pub proxy: watch::Receiver<Arc<ProxyState>>,
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
    /// What is wished.
    pub(crate) desired: Arc<DesiredState>,
    /// How far the host is what is wished.
    pub(crate) reconciled: Arc<Reconciled>,
    /// The settings in force.
    pub(crate) settings: Arc<Settings>,
    /// NVIDIA's two containers.
    pub(crate) nvidia: Arc<NvidiaState>,
    /// Workspaces.
    pub(crate) workspaces: Arc<WorkspacesState>,
    /// The readiness call.
    pub(crate) readiness: Arc<ReadinessStatus>,
}

impl Sources {
    /// The core, what the host is reconciled from, how far it is, and what the publisher shows.
    #[must_use]
    pub fn new(
        handle: Handle,
        inputs: ReconcileInputs,
        reconciled: watch::Receiver<Arc<Reconciled>>,
        publisher: &Arc<Publisher>,
    ) -> Self {
        let (known, nvidia, workspaces) = (publisher.known(), publisher.nvidia(), publisher.workspaces());
        let (readiness, proxy) = (publisher.readiness(), publisher.proxy());
        let (events, publisher) = (publisher.events(), Arc::clone(publisher));
        Self { handle, inputs, reconciled, known, nvidia, workspaces, readiness, proxy, events, publisher }
    }

    /// What is so now.
    pub(crate) fn now(&self) -> Moment {
        Moment {
            seen: Arc::clone(&self.handle.observation.borrow()),
            jobs: Arc::clone(&self.handle.jobs.borrow()),
            checkin: Arc::clone(&self.inputs.checkin.borrow()),
            desired: Arc::clone(&self.inputs.desired.borrow()),
            reconciled: Arc::clone(&self.reconciled.borrow()),
            settings: Arc::clone(&self.inputs.settings.borrow()),
            nvidia: Arc::clone(&self.nvidia.borrow()),
            workspaces: Arc::clone(&self.workspaces.borrow()),
            readiness: Arc::clone(&self.readiness.borrow()),
        }
    }
}

/// A face at work.
#[derive(Debug)]
pub struct RunningBus {
    /// Its present state.
    pub state: watch::Receiver<BusState>,
    /// Ends after the cancellation, when the name has been given back.
    pub task: tokio::task::JoinHandle<()>,
}

/// Starts the D-Bus face in the background. It never fails: where the bus is away the state shows it, and it is tried again
/// with growing pauses until `cancel`.
#[must_use]
pub fn start(address: BusAddress, sources: Sources, cancel: CancellationToken) -> RunningBus {
    let (publish, state) = watch::channel(BusState::Starting);
    let task = tokio::spawn(keep_serving(address, sources, publish, cancel));
    RunningBus { state, task }
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
            "D-Bus is unavailable, and the daemon continues without it: {why}"
        );
        state.send_replace(BusState::Unavailable { why });
        if tokio::time::timeout(pause, cancel.cancelled()).await.is_ok() {
            break;
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
    state.send_replace(BusState::Stopped);
}
