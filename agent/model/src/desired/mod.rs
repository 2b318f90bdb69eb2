//! The desired state: what a manager's document or a local file wishes of this host, before anything is done about it.

mod accept;
mod desired_document;
mod desired_key;
mod desired_mig;
mod desired_proxy;
mod desired_report;
mod desired_sections;
mod epoch;
mod ledger;
mod local_wishes;
mod state;
mod toml_document;
mod wish_text;

pub use accept::{Accepted, CAPABILITIES, DocumentError, HeldDocument, accept};
pub use desired_document::DesiredDocument;
pub use desired_key::Desired;
pub use desired_mig::{DesiredMig, DesiredMigMode, MigApply};
pub use desired_proxy::DesiredProxy;
pub use desired_report::{DesiredReport, Effective, Observed, UNMET_MAX, UnmetItem};
pub use desired_sections::{
    CapacityOverrides, DesiredAgent, DesiredNvidia, DesiredSections, DesiredUse, GpuEntry, GpuMatch,
};
pub use epoch::{DocumentId, Epoch, Revision};
pub use ledger::{DOCUMENT_MAX_BYTES, DOCUMENT_MAX_DEPTH, LEDGER_MAX_BYTES, Ledger, LedgerDamage};
pub use local_wishes::LOCAL_FILE_MAX_BYTES;
pub use state::{DesiredState, DocumentRefusal, FileFault, InForceDocument, LocalDocuments};
pub use toml_document::{TomlDocument, TomlError, pointer_to};
pub use wish_text::{UnreadWish, WishText};
