//! A manager's document after it was read: its identity, its conditions, and its wishes.

use super::desired_sections::DesiredSections;
use super::epoch::DocumentId;
use crate::time::UnixMillis;

/// A document of a manager whose shape is right. Whether it may come into force is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredDocument {
    /// Which document it is.
    pub id: DocumentId,
    /// When the manager made it.
    pub issued_at: Option<UnixMillis>,
    /// The host that it is for; `None` = it does not name one.
    pub server_id: Option<String>,
    /// It may not be accepted after this instant of the manager's clock. A document in force never ends by it.
    pub not_after: Option<UnixMillis>,
    /// What the agent must be able to do.
    pub requires: Vec<String>,
    /// What it wishes.
    pub wishes: DesiredSections,
}
