//! The reference manager: the other end of the manager API, small enough to be read, strict enough to test an agent.
//!
//! It speaks HTTPS with an authority of its own, validates each body against the OpenAPI file of the contract, and
//! remembers what came. Nothing in it depends on the time of the runtime but the long-poll of the desired state, the
//! deadline of a TLS handshake and the delay of a scripted answer: all other time is the injected clock.
//!
//! Where to start reading: [`Endpoint`] (what there is), `desk` (what happens to each request), `enrolment` and
//! `heartbeat` (what a manager has to do), `agents` (who is who).

mod agents;
mod answer;
mod authority;
mod call;
pub mod contract;
mod desired;
mod desk;
mod endpoint;
mod enrolment;
mod fleet;
mod handlers;
mod heartbeat;
mod listener;
mod manager;
mod options;
mod raw;
mod record;
mod rules;
mod script;
mod script_file;
mod store;
mod tls;

pub use agents::{Agent, Standing};
pub use answer::Code;
pub use endpoint::{Endpoint, Verb};
pub use fleet::Fleet;
pub use manager::Manager;
pub use options::{Clock, EnrolToken, Mode, Options, Tls, wall_clock};
pub use raw::{End, Piece, RawAnswer};
pub use record::{Auth, Received, Request, Violation};
pub use script::{Delivery, Scripted};
pub use script_file::read_script;
pub use store::write_file;
