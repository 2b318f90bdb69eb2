//! The check-in against the reference manager: real TLS, real files, virtual time. Tests bear the number of their rule in
//! the manager API's behaviour page.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod authorities;
mod cadence;
mod clock;
mod clones;
mod connections;
mod crashes;
mod credentials;
mod desired;
mod enrolling;
mod events;
mod failing;
mod fronts;
mod keeping;
mod lists;
mod proxy_cert;
mod readiness;
mod recovery;
mod relay;
mod reports;
mod restarts;
mod tokens;
mod trust_edits;
mod trusting;
mod unattended;
mod version;
mod workspaces;
mod world;
