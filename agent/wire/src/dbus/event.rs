//! What `ReadEvents` gives, and `gpuhostctl events --json` prints: a page of the kept events.

use model::event::{EventPage, HostEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventView {
    /// Rises from event to event.
    pub seq: u64,
    /// Unique.
    pub id: String,
    /// When it was seen, in milliseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The boot in which it was seen; null where that is not known.
    pub boot_id: Option<String>,
    /// What happened: `gpu.added`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// To what; empty for the host.
    pub subject: String,
    /// `debug`, `info`, `warning` or `error`.
    pub severity: String,
    /// The code of a refusal or failure; null where it has none.
    pub code: Option<String>,
    /// For people.
    pub message: String,
    /// Further facts.
    pub data: BTreeMap<String, String>,
}

impl From<&HostEvent> for EventView {
    fn from(event: &HostEvent) -> Self {
        let HostEvent { id, seq, time, boot_id, what } = event;
        Self {
            seq: *seq,
            id: id.clone(),
            time: time.0,
            boot_id: Some(boot_id.clone()).filter(|id| !id.is_empty()),
            kind: what.kind.name().to_owned(),
            subject: what.subject.clone(),
            severity: what.severity.name().to_owned(),
            code: what.code.clone(),
            message: what.message.clone(),
            data: what.data.clone(),
        }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventPageView {
    /// The events, oldest first.
    pub events: Vec<EventView>,
    /// Where the next page begins: to be given as `after`.
    pub next: u64,
    /// There are more.
    pub more: bool,
    /// So many wait to be delivered to the manager.
    pub waiting: u64,
    /// So many were dropped before the manager had them.
    pub dropped: u64,
}

impl From<&EventPage> for EventPageView {
    fn from(page: &EventPage) -> Self {
        let EventPage { events, next, more, waiting, dropped } = page;
        let events = events.iter().map(EventView::from).collect();
        Self { events, next: *next, more: *more, waiting: *waiting, dropped: *dropped }
    }
}
