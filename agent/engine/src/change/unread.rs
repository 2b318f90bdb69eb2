//! Documents of the journal that could not be read: what is reported about them, and a journal in which nothing takes their place.

use model::change::{Held, Unread, listed};
use model::condition::{Condition, ConditionStatus};
use model::os_cause::OsCause;
use model::ports::{JournalDocument, JournalError, JournalPort};
use model::time::UnixMillis;
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many are named; a folder full of rubbish makes no endless condition.
const NAMED: usize = 4;

/// The condition `change_journal_unreadable`; `None` where every document could be read.
pub(super) fn condition(unread: &[Unread], since: UnixMillis) -> Option<Condition> {
    let each = |unread: &Unread| {
        let held = match &unread.held {
            Held::All => "no change of this host is made until it is in order".to_owned(),
            Held::Lanes(lanes) if lanes.is_empty() => "it is not known which GPU it belongs to".to_owned(),
            Held::Lanes(lanes) => format!("no change of {} is made until it is in order", listed(lanes)),
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
pub(crate) struct Guarded<J> {
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

    fn must_be_open(&self, attempted: &str, name: &str) -> Result<(), JournalError> {
        if !self.closed.contains(name) {
            return Ok(());
        }
        let cause = OsCause::found("the existing entry could not be read, and is kept as it is");
        Err(JournalError { attempted: attempted.to_owned(), path: name.into(), cause })
    }
}

impl<J: JournalPort> JournalPort for Guarded<J> {
    async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalError> {
        self.journal.read_all().await
    }

    async fn put(&self, name: &str, document: Vec<u8>) -> Result<(), JournalError> {
        self.must_be_open("write", name)?;
        self.journal.put(name, document).await
    }

    async fn remove(&self, name: &str) -> Result<(), JournalError> {
        self.must_be_open("remove", name)?;
        self.journal.remove(name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What was asked of the journal below.
    #[derive(Default)]
    struct Below(Mutex<Vec<String>>);

    impl JournalPort for Below {
        async fn read_all(&self) -> Result<Vec<JournalDocument>, JournalError> {
            Ok(Vec::new())
        }

        async fn put(&self, name: &str, _document: Vec<u8>) -> Result<(), JournalError> {
            self.0.lock().unwrap().push(format!("put {name}"));
            Ok(())
        }

        async fn remove(&self, name: &str) -> Result<(), JournalError> {
            self.0.lock().unwrap().push(format!("remove {name}"));
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_closed_name_is_neither_written_nor_removed_whoever_asks() {
        let below = Arc::new(Below::default());
        let journal = Guarded::new(Arc::clone(&below)).closing(BTreeSet::from(["group-7.json".to_owned()]));
        for refused in [journal.put("group-7.json", Vec::new()).await, journal.remove("group-7.json").await] {
            assert!(refused.unwrap_err().to_string().contains("group-7.json"));
        }
        journal.put("group-8.json", Vec::new()).await.unwrap();
        journal.remove("group-8.json").await.unwrap();
        assert_eq!(*below.0.lock().unwrap(), ["put group-8.json", "remove group-8.json"]);
    }

    #[test]
    fn a_folder_of_rubbish_makes_no_endless_condition() {
        let one = |number: usize| Unread {
            name: format!("{number}.json"),
            place: format!("/journal/{number}.json"),
            held: Held::Lanes(BTreeSet::new()),
            why: "it is no journal entry".to_owned(),
            remedy: "remove it".to_owned(),
        };
        let many: Vec<Unread> = (0..4000).map(one).collect();
        let told = condition(&many, UnixMillis(0)).unwrap().message;
        assert!(told.len() < 1000 && told.ends_with("and 3996 more files"), "{told}");
        assert!(condition(&[], UnixMillis(0)).is_none());
    }
}
