//! The daemon as a library: its faces and its life. `main` picks the role and the adapters.

pub mod bus;
pub mod checkin;
