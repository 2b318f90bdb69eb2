//! What the journal holds when the daemon starts: the entries, and the documents that could not be read as one.

use super::journal::{BadEntry, Entry, decode, name_of};
use crate::blocker::Blocker;
use crate::plan::{Lane, Scope};
use crate::ports::JournalDocument;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Entries, by the names of their documents.
    pub entries: Vec<(String, Entry)>,
    /// Documents that are left as they are.
    pub unread: Vec<Unread>,
}

/// A document that is no entry as far as this daemon can tell. It may hold the only record of what a GPU comes back to: so it is
/// neither replaced nor removed, and what it may be about is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its name in the journal.
    pub name: String,
    /// The path of its file.
    pub place: String,
    /// The lanes whose record it may be. Empty where neither name nor content says one.
    pub lanes: Vec<Lane>,
    /// What is wrong with it.
    pub why: String,
    /// What a person can do about it.
    pub remedy: String,
}

impl Unread {
    /// It may be the record of what a change of this scope would touch.
    #[must_use]
    pub fn concerns(&self, scope: &Scope) -> bool {
        self.lanes.iter().any(|lane| lane.concerns(scope))
    }

    /// The same as what stands in the way of a change.
    #[must_use]
    pub fn blocker(&self) -> Blocker {
        Blocker::ChangeJournalUnreadable { file: self.place.clone(), why: self.why.clone(), to_do: self.remedy.clone() }
    }
}

/// Tells entries from what cannot be read. An entry counts only under the name that it would be written to; under another one it
/// holds its lane where that has no record of its own.
#[must_use]
pub fn sort_out(documents: Vec<JournalDocument>) -> Found {
    let mut found = Found::default();
    let mut misnamed = Vec::new();
    for document in documents {
        match read(&document) {
            Ok(entry) if entry.name() == document.name => found.entries.push((document.name, entry)),
            Ok(entry) => misnamed.push((document, entry.plan.scope.lane)),
            Err((why, remedy)) => {
                let lanes = lane_of(&document.name).into_iter().collect();
                found.unread.push(Unread { name: document.name, place: document.place, lanes, why, remedy });
            }
        }
    }
    for (document, lane) in misnamed {
        let has_record = found.entries.iter().any(|(_, entry)| entry.plan.scope.lane == lane);
        let of_content = (!has_record).then_some(lane);
        let name = name_of(lane);
        let remedy = restarted(&format!("rename it to {name} if that file is missing, or remove it"));
        found.unread.push(Unread {
            lanes: lane_of(&document.name).into_iter().chain(of_content).collect(),
            why: format!("it is the record of {lane}, which belongs in {name}"),
            name: document.name,
            place: document.place,
            remedy,
        });
    }
    found.unread.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The entry, or what is wrong and what to do.
fn read(document: &JournalDocument) -> Result<Entry, (String, String)> {
    let place = &document.place;
    let lost = || {
        restarted(&format!(
            "restore {place} from a backup; without one: stop what uses the GPU, reboot (the kernel then gives every function \
             back to its own driver), and remove the file"
        ))
    };
    let bytes = document.content.as_ref().map_err(|said| (said.clone(), lost()))?;
    decode(&document.name, bytes).map_err(|fault| match fault {
        BadEntry::TooNew { schema, .. } => {
            let remedy = restarted(
                "install the version of gpuhostd that wrote it; without that: stop what uses the GPU, reboot (the kernel then \
                 gives every function back to its own driver), and remove the file",
            );
            (format!("it has schema {schema}, which a newer gpuhostd wrote"), remedy)
        }
        BadEntry::Garbled { source, .. } => (format!("it is not a journal entry: {source}"), lost()),
        BadEntry::LeavesScope { .. } => ("its plan goes beyond its own scope".to_owned(), lost()),
    })
}

fn restarted(remedy: &str) -> String {
    format!("{remedy}; then systemctl restart gpuhostd")
}

fn lane_of(name: &str) -> Option<Lane> {
    Lane::named(name.strip_suffix(".json")?)
}
