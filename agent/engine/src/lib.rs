//! The running core: it observes a host, takes commands in, and publishes what is so. It knows ports, never an adapter.
//!
//! # Tasks
//!
//! ```text
//!                    settings (watch)   kernel log (watch)
//!                            |             |
//!   device events  --->  [observer] <------+          asks the host: each source a task of its own, with a deadline
//!                          |    ^
//!             Publisher    |    | Ask (queue): refresh, sample, ping
//!   observation (watch) <--+    |
//!   records     (watch) <--+    |
//!                          |    |
//!   faces --Submission-> [core] -+-> one task for each job: a change, a confirmation, enrol, leave, lock, ...
//!        <-- jobs (watch) --+--------------/
//! ```
//!
//! *The observer* ([`observer`]) is the only writer of what was seen. It is never waited for by the core's loop: a job that needs a
//! fresh look asks for one and waits in its own task.
//!
//! *The core* (`core`) is one loop. It takes a [`handle::Submission`] in, gives it a number, and begins its task. It also begins, of
//! itself, the undo of a binding that nobody confirmed in time. It never waits for a task: it hears of its end.
//!
//! *The table of jobs* (`jobs`) is the one path of progress: the core begins and ends jobs in it, the task of a change writes plan and
//! steps into it, and everybody reads the `watch` that it publishes. [`handle::Handle::run`] hands a command in and waits there.
//!
//! *Changes* ([`change`]): the executor admits a change in the core's loop: it is known, its record can be read, policy and rate allow
//! it, and all its lanes are free. They are taken all or none, so that nobody waits for one while it has another. The task then looks,
//! plans (`model::change::Change::plan`, pure), and drives `model::change::Machine` over the ports. When the core hears of its end the
//! executor concludes it: records, rate, lanes. So lanes and records have one writer, and no lock is held over an `.await`.
//!
//! *The reconciler* ([`reconcile`]), where there is a desired state, computes what is to be done from the latest of everything and hands it
//! in as commands, through the gate of its source, like any other caller.
//!
//! *The keeper of events* ([`event_keeper`]) looks at everything that is published, writes what has happened to its spool, and answers who
//! shows and who delivers events ([`event_port`]).
//!
//! *Authority* ([`command`]): each source of commands has a gate of its own, which sets the origin. Nothing else makes an
//! [`command::Authorized`], and the daemon's own origin can only be had for what its records show to be overdue.
//!
//! # Start and end
//!
//! [`start::EngineParts`] has the channels, so that faces can be built before the engine runs. [`start::EngineParts::engine`] reads the
//! journal and undoes what an earlier run left open before it returns: no command is served before that. On cancellation every
//! task is dropped where it is; what a change had begun is in the journal, and the next start undoes it.

pub mod alarm;
pub mod change;
pub mod command;
mod core;
mod driver_changing;
pub mod event_keeper;
pub mod event_port;
mod fresh_host;
pub mod handle;
mod health;
pub mod image_board;
pub mod images;
pub mod job;
pub mod jobs;
pub mod kernel_log;
pub mod mig_look;
mod mig_return;
mod mig_watch;
mod named_images;
pub mod nvidia;
pub mod observer;
pub mod publish;
mod pull_ends;
pub mod reconcile;
pub mod stale_driver;
pub mod start;
mod workspace_asks;
pub mod workspace_meter;
mod workspace_notices;
pub mod workspaces;

/// A length as a number of things.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
