//! What is asked of the kept events at once, and the answer: a bounded page.

use super::host_event::HostEvent;
use crate::time::UnixMillis;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Only events with a larger number.
    pub after: u64,
    /// Only events of this time or later.
    pub since: Option<UnixMillis>,
    /// At most so many; a page has at least one event and never more than 500.
    pub most: usize,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// The events, in the order of their numbers.
    pub events: Vec<HostEvent>,
    /// Where the next page begins: to be asked for as `after`.
    pub next: u64,
    /// There are more.
    pub more: bool,
    /// So many wait to be delivered to the manager.
    pub waiting: u64,
    /// So many were dropped before the manager had them.
    pub dropped: u64,
}
