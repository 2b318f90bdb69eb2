//! The Linux adapters behind the model's ports that read, and that keep the daemon's own state.

pub mod front;
mod readiness;
