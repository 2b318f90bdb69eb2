//! Every decision of the check-in: when to send, to whom, what to leave out, and what an answer means. Pure; the caller brings
//! the instant.

pub mod answer;
pub mod condition;
pub mod machine;
pub mod manager;
pub mod notable;
pub mod omit;
pub mod renewal;
pub mod skew;
pub mod slot;
pub mod trouble;

pub use answer::{Answer, Fault, FaultKind, Meaning, Refused, Reply};
pub use machine::{Action, Beat, Config, Goal, Machine};
pub use manager::ManagerAddress;
pub use omit::Omit;
pub use slot::Slot;
pub use trouble::Trouble;
