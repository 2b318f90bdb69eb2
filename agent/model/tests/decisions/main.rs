//! What is concluded of a host: verdicts and reasons, features, health, and plans of giving GPUs away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod claims;
mod desired_items;
mod features;
mod health_answers;
mod health_facts;
mod health_file;
mod health_link;
mod health_log;
mod health_over;
mod health_reports;
mod health_verdict;
mod judge;
mod judge_asleep;
mod judge_bound;
mod judge_cdi;
mod judge_chain;
mod judge_decide;
mod judge_laws;
mod mig_layout_changes;
mod mig_mode_changes;
mod mig_world;
mod pace;
mod passthrough;
mod readiness;
mod reconcile_runs;
mod silent;
mod unfit;
mod world;
