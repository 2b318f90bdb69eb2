//! What the journal holds when the daemon starts: the entries, and the documents that could not be read as one.

use super::at_start::{AtStart, at_start};
use super::entry::Entry;
use super::id::{Held, number_in};
use super::journal_document::{BadJournalEntry, decode};
use crate::blocker::Blocker;
use crate::mig::MigOwned;
use crate::os_cause::CauseSite;
use crate::plan::Lane;
use crate::ports::JournalDocument;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalContents {
    /// Entries.
    pub entries: Vec<Entry>,
    /// Documents that are left as they are.
    pub unread: Vec<Unread>,
    /// Records of the MIG instances that gpuhostd has created.
    pub owned: Vec<MigOwned>,
    /// The highest number that is in the name of a document.
    pub last_number: u64,
}

/// A document that is no entry as far as this daemon can tell. It may hold the only record of what a GPU returns to: so it is
/// neither replaced nor removed, and what it may be about is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its name in the journal.
    pub name: String,
    /// The path of its file.
    pub place: String,
    /// What it may be the record of.
    pub held: Held,
    /// What is wrong with it.
    pub why: String,
    /// What a person can do about it.
    pub remedy: String,
}

impl Unread {
    /// The same as what prevents a change.
    #[must_use]
    pub fn blocker(&self) -> Blocker {
        Blocker::ChangeJournalUnreadable { file: self.place.clone(), why: self.why.clone(), to_do: self.remedy.clone() }
    }
}

/// Separates entries from what cannot be read. An entry counts only under the name that it would be written to, and where no other one
/// is about one of its lanes; else it is left alone, and holds what its name states and those of its lanes that have no record.
/// One that an earlier boot left is about nothing any more, and only waits to be removed.
#[must_use]
pub fn sort_out(documents: Vec<JournalDocument>, boot_id: &str) -> JournalContents {
    let mut found = JournalContents::default();
    let mut readable = Vec::new();
    let mut misnamed = Vec::new();
    let (records, documents): (Vec<_>, Vec<_>) =
        documents.into_iter().partition(|document| MigOwned::is_name(&document.name));
    for document in records {
        match owned(&document) {
            Ok(owned) => found.owned.push(owned),
            Err(why) => {
                let remedy = restarted(&format!(
                    "restore {} from a backup or remove it; without it the MIG instances that it names count as foreign \
                     and are left alone",
                    document.place
                ));
                found.unread.push(unread(document, [], why, remedy));
            }
        }
    }
    for document in documents {
        found.last_number = found.last_number.max(number_in(&document.name));
        match read(&document) {
            Ok(entry) if entry.name() != document.name => misnamed.push((document, entry)),
            Ok(entry) if at_start(&entry, boot_id) == AtStart::Forget => found.entries.push(entry),
            Ok(entry) => readable.push((document, entry)),
            Err((why, remedy)) => found.unread.push(unread(document, [], why, remedy)),
        }
    }
    let owners = owners(&readable);
    for (document, entry) in readable {
        let of_lane = |lane| owners.get(lane).filter(|names| names.len() > 1).map(|names| (lane, names));
        match entry.plan.bounds.lanes.iter().find_map(of_lane) {
            None => found.entries.push(entry),
            Some((lane, names)) => {
                let why = format!("the records {} are all of {lane}", names.join(" and "));
                let lanes = entry.plan.bounds.lanes.clone();
                found.unread.push(unread(document, lanes, why, only_one_can_be_right()));
            }
        }
    }
    for (document, entry) in misnamed {
        let (name, lanes) = (entry.name(), entry.plan.bounds.lanes);
        let remedy = restarted(&format!("rename it to {name} if that file is missing, or remove it"));
        let why = format!("it is the record of {}, which belongs into {name}", listed(&lanes));
        let without = lanes.into_iter().filter(|lane| !owners.contains_key(lane));
        found.unread.push(unread(document, without, why, remedy));
    }
    found.unread.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn owned(document: &JournalDocument) -> Result<MigOwned, String> {
    let bytes = document.content.as_ref().map_err(ToString::to_string)?;
    MigOwned::decode(&document.name, bytes).map_err(|fault| fault.to_string())
}

/// The names of the documents that are about each lane.
fn owners(readable: &[(JournalDocument, Entry)]) -> BTreeMap<Lane, Vec<String>> {
    let mut owners: BTreeMap<Lane, Vec<String>> = BTreeMap::new();
    for (document, entry) in readable {
        for lane in &entry.plan.bounds.lanes {
            owners.entry(*lane).or_default().push(document.name.clone());
        }
    }
    owners
}

fn only_one_can_be_right() -> String {
    restarted(
        "keep the one that is right and remove the others; where that is not known: stop what uses the GPU, reboot (the kernel \
         then gives every function back to its own driver), and remove all of them",
    )
}

fn unread(document: JournalDocument, lanes: impl IntoIterator<Item = Lane>, why: String, remedy: String) -> Unread {
    let held = Held::by_name(&document.name).and(lanes);
    Unread { name: document.name, place: document.place, held, why, remedy }
}

/// Lanes as a person reads them.
#[must_use]
pub fn listed(lanes: &BTreeSet<Lane>) -> String {
    let each: Vec<String> = lanes.iter().map(ToString::to_string).collect();
    each.join(" and ")
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
    let bytes = document.content.as_ref().map_err(|cause| {
        // A file that cannot be read now is not lost: where the cure is known, it comes first.
        let remedy = cause.remedy(CauseSite::StateFile(Path::new(place))).map_or_else(lost, |cure| restarted(&cure));
        (cause.to_string(), remedy)
    })?;
    decode(&document.name, bytes).map_err(|fault| match fault {
        BadJournalEntry::TooNew { schema, .. } => {
            let remedy = restarted(
                "install the version of gpuhostd that wrote it; without that: stop what uses the GPU, reboot (the kernel then \
                 gives every function back to its own driver), and remove the file",
            );
            (format!("it has schema {schema}, which a newer gpuhostd wrote"), remedy)
        }
        BadJournalEntry::Garbled { source, .. } => (format!("it is not a journal entry: {source}"), lost()),
        BadJournalEntry::LeavesBounds { .. } => ("its plan leaves its own bounds".to_owned(), lost()),
    })
}

fn restarted(remedy: &str) -> String {
    format!("{remedy}; then systemctl restart gpuhostd")
}
