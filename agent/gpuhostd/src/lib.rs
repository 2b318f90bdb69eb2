//! The daemon as a library: its faces and its life. `main` picks the role and the adapters.

pub mod args;
pub mod bus;
pub mod checkin;
mod conditions;
pub mod config;
pub mod desired;
mod drained;
pub mod front;
mod installed_toolkit;
pub mod launch;
pub mod lifecycle;
mod linux;
mod linux_images;
mod linux_nvidia;
mod linux_workspaces;
pub mod metrics;
mod mig_users;
mod notify;
mod overlay;
mod paths;
mod policy;
pub mod proxy_cert;
pub mod readiness;
mod remote;
mod roster;
mod status_line;
