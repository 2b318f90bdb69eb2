//! Documents of the journal that could not be read: what is said of them, and a journal in which nothing takes their place.

use model::change::Unread;
use model::condition::{Condition, ConditionStatus};
use model::ports::{JournalDocument, JournalFault, JournalPort};
use model::time::UnixMillis;
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many are named; a folder full of rubbish makes no endless condition.
const NAMED: usize = 4;

/// The condition `change_journal_unreadable`; `None` where every document could be read.
pub(super) fn condition(unread: &[Unread], since: UnixMillis) -> Option<Condition> {
    let each = |unread: &Unread| {
        let held: Vec<String> = unread.lanes.iter().map(ToString::to_string).collect();
        let held = if held.is_empty() {
            "whose record it is cannot be told".to_owned()
        } else {
            format!("no change of {} is made until it is in order", held.join(" and "))
        };
        format!("{}: {}; {held}. To do: {}", unread.place, unread.why, unread.remedy)
    };
    let mut told: Vec<String> = unread.iter().take(NAMED).map(each).collect();
    if unread.len() > NAMED {
        told.push(format!("and {} more files", unread.len().saturating_sub(NAMED)));
    }
    (!told.is_empty()).then(|| Condition {
        kind: "change_journal_unreadable".to_owned(),
        status: ConditionStatus::True,
        reason: "left_as_it_is".to_owned(),
        message: told.join(". "),
        since,
    })
}

/// A journal in which some names are closed: they are neither written to nor removed.
#[derive(Debug)]
pub(super) struct Guarded<J> {
    journal: Arc<J>,
    closed: BTreeSet<String>,
}

impl<J> Guarded<J> {
    /// Without a closed name.
    pub(super) const fn new(journal: Arc<J>) -> Self {
        Self { journal, closed: BTreeSet::new() }
    }

    /// The same journal with these names closed.
    pub(super) fn closing(&self, names: BTreeSet<String>) -> Self {
        Self { journal: Arc::clone(&self.journal), closed: names }
    }

    fn must_be_open(&self, attempted: &str, name: &str) -> Result<(), JournalFault> {
        if !self.closed.contains(name) {
            return Ok(());
        }
        let said = "what stands there could not be read, and is left as it is".to_owned();
        Err(JournalFault { attempted: format!("{attempted} {name}"), said })
    }
}

impl<J: JournalPort> JournalPort for Guarded<J> {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalFault> {
        self.journal.read_all().await
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalFault> {
        self.must_be_open("write", name)?;
        self.journal.put(name, document).await
    }

    async fn remove(&self, name: &str) -> Result<(), JournalFault> {
        self.must_be_open("remove", name)?;
        self.journal.remove(name).await
    }
}
