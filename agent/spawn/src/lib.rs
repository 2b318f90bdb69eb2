//! Starts processes. [`Supervisor`] runs a disposable child with a deadline and bounds and never loses sight of it; [`service`]
//! starts the hands and the front where there is no systemd; [`Own`] is a program of the package, held open.

mod own;
mod process;
pub mod service;

pub use own::Own;
pub use process::{
    Finished, GRACE, Hear, Program, Purpose, RunError, STDERR_MAX_BYTES, STDOUT_MAX_BYTES, Supervisor, prepare,
};
