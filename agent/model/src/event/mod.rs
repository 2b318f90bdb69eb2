//! What happens on the host: the closed list of events, which of them follow from what is seen, and the spool that keeps them until
//! a manager has them.

mod event_facts;
mod event_gpu;
mod event_news;
mod event_page;
mod event_spool;
mod event_workspace;
mod host_event;
mod occurrence;
mod spool_disk;
mod spool_record;

pub use event_facts::{AgentSighting, EventFacts, EventWorld, NvidiaSighting, RejectedBind};
pub use event_gpu::GpuSighting;
pub use event_news::event_news;
pub use event_page::{EventPage, EventQuery};
pub use event_spool::{DELIVER_MOST, EventBatch, EventSpool, SPOOL_MOST, SpoolFound};
pub use event_workspace::WorkspaceSighting;
pub use host_event::HostEvent;
pub use occurrence::{EventKind, EventSeverity, Occurrence};
pub use spool_disk::{SPOOL_MAX_BYTES, SpoolWrite};
pub use spool_record::{BadSpool, SPOOL_SCHEMA};

#[cfg(test)]
mod tests;
