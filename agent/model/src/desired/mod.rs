//! The desired state: what a manager's document or a local file wishes of this host, before anything is done about it.

mod document;
mod epoch;
mod report;
mod section;
mod state;

pub use document::DesiredDocument;
pub use epoch::{DocumentId, Epoch, Revision};
pub use report::{CAPABILITIES, DesiredReport, Effective, Observed, UNMET_MAX, UnmetItem};
pub use section::{CapacityOverrides, Desired, DesiredAgent, DesiredSections, DesiredUse, GpuEntry, GpuMatch};
pub use state::{DesiredState, DocumentRefusal, FileFault, InForceDocument, LocalDocuments};
