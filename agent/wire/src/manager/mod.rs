//! Documents of the manager API: what the agent sends, and what it takes from an answer.

pub mod agent;
pub mod desired;
pub mod enroll;
pub mod event_batch;
mod form;
pub mod gpu;
pub mod heartbeat;
pub mod lenient;
mod observed;
pub mod readiness;
pub mod reply;
pub mod report;
pub mod workspace_docs;
