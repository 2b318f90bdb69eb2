//! Tests of the reference manager over real TLS, and of its reading of the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod agent;
mod coming_back;
mod contract;
mod desired;
mod enrolment;
mod faults;
mod fronts;
mod heartbeat;
mod program;
mod requests;
mod second_opinion;
mod sharing;
