//! The life of NVIDIA's two containers against the simulated Docker: every single fault and a crash of the daemon at every turn.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

mod crashes;
mod docker_cdi;
mod gpu_access;
mod life;
mod lives;
mod reviewed;
