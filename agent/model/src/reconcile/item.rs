//! An item: one wish about one thing, with a stable path, and its state.

use crate::change::Change;
use crate::settings::HostSetting;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an item is in the desired state: `agent.labels`, `gpus[0000:41:00.0].use`. The same over revisions and restarts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemPath(String);

impl ItemPath {
    /// This path.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Whose wish an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WishSource {
    /// A file of this host.
    Local,
    /// The manager's document.
    Manager,
}

impl WishSource {
    /// As it is in JSON and on D-Bus.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Manager => "manager",
        }
    }
}

/// Why an item is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Stable code.
    pub code: String,
    /// What is in its way, with its numbers, and what to do.
    pub message: String,
}

impl Why {
    /// This code, with this message.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// What has to be done for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Set a setting of this host.
    Set(HostSetting),
    /// Change the host.
    Change(Change),
}

impl Deed {
    /// It takes something back: such deeds go before those that give something away.
    #[must_use]
    pub const fn takes_back(&self) -> bool {
        matches!(self, Self::Change(Change::PassthroughRelease(_)))
    }
}

/// The state of an item, as far as a look at the host shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// The host is so.
    Met,
    /// This has to be done.
    ToDo(Deed),
    /// Something else comes first: a change that is under way, a time that has not come.
    Waiting(Why),
    /// Nobody may do it now: it goes on when what holds it is lifted.
    Held(Why),
    /// It is not done as long as it is wished so, on a host like this.
    Refused(Why),
}

/// One wish about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub path: ItemPath,
    /// Whose wish it is.
    pub source: WishSource,
    /// Its state.
    pub state: ItemState,
    /// What could be in its way, in a form that is only compared: where it changes a failed attempt is worth another one at once.
    pub blockers: String,
}
