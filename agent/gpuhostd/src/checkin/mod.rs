//! The check-in with a manager: drives the pure machines of `model::checkin` over real HTTPS, and keeps the identity.
//!
//! # Who does what
//! One task, the *session task* (`task`), owns everything that can change, and waits for nothing but events: no request and no
//! file holds it up. It has four parts, each its own master:
//! - `session`: who this host is (alone, asking, enrolled), its credentials by name, what the last reply reported;
//! - `transport`: the client that keeps the connection to a manager, for the trust and the certificate in force;
//! - `cadence`: the pure machines that say when what is due (heartbeats and enrolments, renewal, features);
//! - `status`: what everybody may read of it.
//!
//! Whatever takes time runs beside it as a task of its own (`lanes`): at most one of a kind, with all that it needs by value, its
//! result the only thing that returns. So a renewal that hangs, a `/version` that is cut off or a disk that does not answer
//! holds up no heartbeat, and nothing is shared.
//!
//! ```text
//!  jobs ──Ask──►  ┌──────────────┐ ──starts──► Beat · Version · Poll · Fetch · Events · Renewal · Enrolment · (HTTPS)
//!                 │              │             ByHand · Goodbye
//!  observation ─► │ session task │ ──starts──► Keeping · Wake · Prepare · TokenFile · TokenWatch        (files)
//!  settings ────► └──────────────┘ ◄──Back───  each with its result
//!                        └────────► status (watch)
//! ```
//!
//! One turn of the loop: look at the observation, start what is due (`due`), publish, wait; then take in what came (`took`) or
//! begin again (`begin`). What is to be on disk goes through `keeper`, one write at a time; a new credential is used only after it
//! is there. A request of a kind that must not run beside another one (a person's enrolment, goodbye) holds the others.

mod announce;
mod answers;
mod beat;
mod begin;
mod byhand;
mod cadence;
mod deliver;
mod delivering;
mod digest;
mod due;
mod edit;
mod enrolment;
mod fault;
mod fetching;
mod goodbye;
mod http;
mod identity;
mod keeper;
mod key;
mod lanes;
mod life;
pub mod look;
mod machine_id;
mod pem;
mod poll;
mod port;
mod probe;
mod renewal;
mod report;
mod rotated;
mod session;
mod sight;
mod status;
mod store;
mod task;
mod tls;
mod token_file;
mod took;
mod transport;
mod trust;
mod trust_edit;
mod tryon;
mod version;
mod wake;
mod wishes;

pub(crate) use announce::{Announcement, announce};
pub(crate) use digest::sha256_hex;
pub(crate) use pem::certificates_of;
pub use port::CheckinPort;

use crate::desired::DesiredPort;
use engine::event_port::EventPort;
use engine::handle::Handle;
use engine::publish::Publisher;
use engine::reconcile::Reconciled;
use engine::start::EngineParts;
use model::enrol::CheckinStatus;
use model::ports::Clock;
use model::settings::Settings;
use model::workspace_life::WorkspacesState;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A check-in that has been made and does nothing until its work is polled.
pub struct Checkin<F> {
    /// The port that jobs use.
    pub port: CheckinPort,
    /// The status to watch.
    pub status: watch::Receiver<Arc<CheckinStatus>>,
    /// The kinds of requests and files that are under way.
    pub under_way: watch::Receiver<Vec<&'static str>>,
    /// Works until cancelled.
    pub work: F,
}

/// What the check-in shares with those who keep and reconcile the desired state, and who keep events.
#[derive(Debug)]
pub struct DesiredEnds {
    /// Where documents of the manager go, and what is in force.
    pub port: DesiredPort,
    /// What of it is met, for the heartbeats.
    pub reconciled: watch::Receiver<Arc<Reconciled>>,
    /// The workspaces, for the same.
    pub workspaces: watch::Receiver<Arc<WorkspacesState>>,
    /// Where events go.
    pub publisher: Arc<Publisher>,
    /// The kept events, to be delivered.
    pub events: EventPort,
}

impl DesiredEnds {
    /// The ends of this port and of these parts.
    #[must_use]
    pub fn new(port: DesiredPort, parts: &EngineParts) -> Self {
        let publisher = parts.publisher();
        let (reconciled, workspaces, events) = (parts.reconciled(), publisher.workspaces(), publisher.events());
        Self { port, reconciled, workspaces, publisher, events }
    }
}

/// Makes the check-in. Another `[manager]` section in `configured` is taken up at once. `state_dir` must be there; the identity is
/// kept below it. All timers of the protocol run on `clock`.
pub fn start<C: Clock>(
    handle: Handle,
    configured: watch::Receiver<Arc<Settings>>,
    state_dir: PathBuf,
    clock: Arc<C>,
    desired: DesiredEnds,
    cancel: CancellationToken,
) -> Checkin<impl Future<Output = ()> + Send> {
    let (port, asks) = port::channel();
    let (publisher, status) = status::Publisher::new(configured.borrow().manager.heartbeat_interval_s);
    let (lanes, under_way) = lanes::Lanes::new();
    let parts = task::Parts {
        handle,
        configured,
        state_dir,
        clock,
        desired,
        cancel,
        asks,
        keep: port.clone(),
        publisher,
        lanes,
    };
    Checkin { port, status, under_way, work: task::Task::new(parts).run() }
}
