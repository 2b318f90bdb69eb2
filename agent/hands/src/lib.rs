//! The hands of gpuhostd: processes with powers but without opinions, and the front's side of their sockets.
//!
//! The hand's side is [`entry::main`] (a process), [`server::serve`] (its loop) and [`acts::Acts`] (what it can do). The
//! front's side is [`client::Client`], [`launcher::run`] where there is no systemd, and [`remote::RemoteHost`].

pub mod acts;
pub mod client;
pub mod entry;
pub mod frame;
pub mod launcher;
pub mod linux;
pub mod listen;
pub mod notify;
pub mod peers;
pub mod policy;
pub mod power;
pub mod remote;
pub mod server;

pub use client::{Client, HandFault};
pub use remote::RemoteHost;
