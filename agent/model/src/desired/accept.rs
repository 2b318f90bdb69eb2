//! Whether a manager's document comes into force: the checks behind those of its shape, in their order. The first that fails
//! refuses the whole document, and what is in force stays.

use super::desired_document::DesiredDocument;
use super::epoch::{Epoch, Revision};
use crate::printable::printable;
use crate::time::UnixMillis;

/// What a document may require of this version; the heartbeat sends the same list as `agent.capabilities`.
pub const CAPABILITIES: [&str; 7] =
    ["host.v1", "gpu.v1", "passthrough.v1", "mig.v1", "nvidia.v1", "image.v1", "workspace.v1"];

/// So many left epochs are remembered.
const EPOCHS_LEFT_MOST: usize = 8;
/// So many names of a document are repeated in a message, each cut to so many characters.
const NAMES_SHOWN: usize = 16;
const NAME_SHOWN_CHARS: usize = 64;

/// Why a document is not in force. The code is also the type of the condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It breaks a limit, or its shape is wrong.
    #[error("{0}")]
    Invalid(String),
    /// It requires what this version cannot do.
    #[error(
        "it requires {}, which this version does not offer (it offers {}): install a version that does, or change the document",
        names(.0),
        CAPABILITIES.join(", ")
    )]
    UnsupportedFeature(Vec<String>),
    /// It is for another host.
    #[error("it is for the host {}, and this host is {ours}: correct the manager's assignment", printable(.document, NAME_SHOWN_CHARS))]
    WrongServerId {
        /// The host that it names.
        document: String,
        /// This host.
        ours: String,
    },
    /// It may not be accepted any more.
    #[error("it could be accepted until {} only, and it is {} by the manager's clock: the manager must issue it again", not_after.to_utc(), now.to_utc())]
    Expired {
        /// Its `not_after`.
        not_after: UnixMillis,
        /// The manager's clock.
        now: UnixMillis,
    },
    /// Its epoch was left for another one.
    #[error(
        "its epoch {0} was left for a later one: two managers send documents in turn, or one was restored from an old backup; \
         where this epoch is right, run `gpuhostctl desired accept {0}`"
    )]
    StaleEpoch(Epoch),
    /// A later revision of the same epoch is in force.
    #[error(
        "its revision {offered} is lower than {in_force}, which is in force: the manager must issue a higher one, or begin \
         another epoch if it was restored from a backup"
    )]
    StaleRevision {
        /// Of the document.
        offered: Revision,
        /// In force.
        in_force: Revision,
    },
    /// The revision is in force with other content.
    #[error(
        "its revision {0} is in force with other content: the manager must issue a higher revision for each change"
    )]
    ConflictingRevision(Revision),
}

impl DocumentError {
    /// Every code, in the order of the checks.
    pub const CODES: [&'static str; 7] = [
        "document_invalid",
        "unsupported_feature",
        "wrong_server_id",
        "document_expired",
        "stale_epoch",
        "stale_revision",
        "conflicting_revision",
    ];

    /// The stable code, snake_case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "document_invalid",
            Self::UnsupportedFeature(_) => "unsupported_feature",
            Self::WrongServerId { .. } => "wrong_server_id",
            Self::Expired { .. } => "document_expired",
            Self::StaleEpoch(_) => "stale_epoch",
            Self::StaleRevision { .. } => "stale_revision",
            Self::ConflictingRevision(_) => "conflicting_revision",
        }
    }
}

fn names(all: &[String]) -> String {
    let mut shown: Vec<String> = all.iter().take(NAMES_SHOWN).map(|name| printable(name, NAME_SHOWN_CHARS)).collect();
    if all.len() > NAMES_SHOWN {
        shown.push(format!("and {} more", all.len() - NAMES_SHOWN));
    }
    shown.join(", ")
}

/// What a document is judged against.
#[derive(Debug, Clone, Copy)]
pub struct HeldDocument<'a> {
    /// The id of this host.
    pub server_id: &'a str,
    /// What is in force for it; `None` = nothing, or it cannot be read.
    pub in_force: Option<&'a DesiredDocument>,
    /// Epochs that were left, the newest last.
    pub epochs_left: &'a [Epoch],
    /// The manager's clock.
    pub now: UnixMillis,
}

/// A document that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is in force already: there is nothing to do and nothing to write.
    Same,
    /// It comes into force as soon as it is saved together with these left epochs.
    New {
        /// The newest last.
        epochs_left: Vec<Epoch>,
    },
}

/// Judges a document whose shape is right. `is_same` reports whether its content equals the one in force after parsing, fields that
/// this version does not know included; it is asked only where epoch and revision are the same.
///
/// A document that is in force stays so: sent once more it is no news, although it may have expired since.
///
/// # Errors
/// The first check that fails.
pub fn accept(
    document: &DesiredDocument,
    held: HeldDocument<'_>,
    is_same: impl FnOnce() -> bool,
) -> Result<Accepted, DocumentError> {
    let same_id = held.in_force.is_some_and(|in_force| in_force.id == document.id);
    if same_id && is_same() {
        return Ok(Accepted::Same);
    }
    let unknown = document.requires.iter().filter(|name| !CAPABILITIES.contains(&name.as_str()));
    let unknown: Vec<String> = unknown.cloned().collect();
    if !unknown.is_empty() {
        return Err(DocumentError::UnsupportedFeature(unknown));
    }
    // A UUID may be written in either case.
    if let Some(named) = document.server_id.as_ref().filter(|named| !named.eq_ignore_ascii_case(held.server_id)) {
        return Err(DocumentError::WrongServerId { document: named.clone(), ours: held.server_id.to_owned() });
    }
    if let Some(not_after) = document.not_after.filter(|not_after| *not_after < held.now) {
        return Err(DocumentError::Expired { not_after, now: held.now });
    }
    if held.epochs_left.contains(&document.id.epoch) {
        return Err(DocumentError::StaleEpoch(document.id.epoch.clone()));
    }
    let Some(in_force) = held.in_force else {
        return Ok(Accepted::New { epochs_left: held.epochs_left.to_vec() });
    };
    if in_force.id.epoch != document.id.epoch {
        return Ok(Accepted::New { epochs_left: leave(held.epochs_left, &in_force.id.epoch) });
    }
    let (offered, in_force) = (document.id.revision, in_force.id.revision);
    if offered < in_force {
        Err(DocumentError::StaleRevision { offered, in_force })
    } else if same_id {
        Err(DocumentError::ConflictingRevision(offered))
    } else {
        Ok(Accepted::New { epochs_left: held.epochs_left.to_vec() })
    }
}

/// The left epochs with one more; the oldest are forgotten.
fn leave(left: &[Epoch], leaving: &Epoch) -> Vec<Epoch> {
    let mut all: Vec<Epoch> = left.iter().filter(|epoch| *epoch != leaving).cloned().collect();
    all.push(leaving.clone());
    all.split_off(all.len().saturating_sub(EPOCHS_LEFT_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{DesiredSections, DocumentId};

    const HOST: &str = "5f0c2f0e-7f4e-4d0b-9d0a-0d5a1a6c1b11";

    fn epoch(text: &str) -> Epoch {
        Epoch::try_from(text.to_owned()).unwrap()
    }

    fn document(epoch_name: &str, revision: u64) -> DesiredDocument {
        DesiredDocument {
            id: DocumentId { epoch: epoch(epoch_name), revision: revision.try_into().unwrap() },
            issued_at: None,
            server_id: None,
            not_after: None,
            requires: Vec::new(),
            wishes: DesiredSections::default(),
        }
    }

    fn held<'a>(in_force: Option<&'a DesiredDocument>, epochs_left: &'a [Epoch]) -> HeldDocument<'a> {
        HeldDocument { server_id: HOST, in_force, epochs_left, now: UnixMillis(1_000) }
    }

    fn code(document: &DesiredDocument, held: HeldDocument<'_>, same: bool) -> &'static str {
        match accept(document, held, || same) {
            Ok(Accepted::Same) => "same",
            Ok(Accepted::New { .. }) => "new",
            Err(refused) => refused.code(),
        }
    }

    #[test]
    fn the_first_check_that_fails_names_the_refusal_and_each_is_behind_the_others() {
        let (in_force, left) = (document("now", 5), [epoch("old")]);
        // Everything is wrong with it; one thing after the other is mended.
        let mut bad = document("old", 4);
        bad.requires = vec!["gpu.v1".to_owned(), "quota.v1".to_owned()];
        bad.server_id = Some("6f0c2f0e-7f4e-4d0b-9d0a-0d5a1a6c1b11".to_owned());
        bad.not_after = Some(UnixMillis(999));
        let held = held(Some(&in_force), &left);
        let mut seen = Vec::new();
        let mends: [fn(&mut DesiredDocument); 7] = [
            |_| {},
            |it| it.requires.truncate(1),
            |it| it.server_id = Some(HOST.to_ascii_uppercase()),
            |it| it.not_after = Some(UnixMillis(1_000)),
            |it| it.id.epoch = epoch("now"),
            |it| it.id.revision = 5.try_into().unwrap(),
            |it| it.id.revision = 6.try_into().unwrap(),
        ];
        for mend in mends {
            mend(&mut bad);
            seen.push(code(&bad, held, false));
        }
        assert_eq!(seen[..6], DocumentError::CODES[1..]);
        assert_eq!(seen[6], "new");
    }

    #[test]
    fn what_is_in_force_is_no_news_and_does_not_expire() {
        let mut in_force = document("e", 5);
        in_force.not_after = Some(UnixMillis(1));
        assert_eq!(code(&in_force, held(Some(&in_force), &[]), true), "same");
        assert_eq!(code(&in_force, held(Some(&in_force), &[]), false), "document_expired", "this is another one");
        assert_eq!(code(&in_force, held(None, &[]), true), "document_expired");
    }

    #[test]
    fn the_last_eight_epochs_that_were_left_are_not_taken_again() {
        let (mut left, mut in_force) = (Vec::new(), document("e0", 1));
        for number in 1..=9 {
            let next = document(&format!("e{number}"), 1);
            let Ok(Accepted::New { epochs_left }) = accept(&next, held(Some(&in_force), &left), || false) else {
                panic!("epoch e{number} is new");
            };
            (left, in_force) = (epochs_left, next);
        }
        let all: Vec<&str> = left.iter().map(Epoch::as_str).collect();
        assert_eq!(all, ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"]);
        for number in 1..=8 {
            assert_eq!(
                code(&document(&format!("e{number}"), 99), held(Some(&in_force), &left), false),
                "stale_epoch",
                "e{number}"
            );
        }
        assert_eq!(code(&document("e0", 1), held(Some(&in_force), &left), false), "new", "it is forgotten");
        assert_eq!(leave(&left, &epoch("e3")).last().map(Epoch::as_str), Some("e3"), "no epoch is in it twice");
    }

    #[test]
    fn messages_name_the_thing_and_the_cure_and_are_bounded() {
        let many: Vec<String> = (0..1000).map(|n| format!("feature-{n}\u{1b}[2J")).collect();
        let said = DocumentError::UnsupportedFeature(many).to_string();
        assert!(said.contains("feature-0[2J, feature-1") && said.contains("and 984 more"), "{said}");
        assert!(said.len() < 2000 && !said.contains('\u{1b}'), "{said}");
        let said = DocumentError::StaleEpoch(epoch("b0f4")).to_string();
        assert!(said.contains("`gpuhostctl desired accept b0f4`"), "{said}");
        let now = UnixMillis(1_774_962_793_140);
        let said = DocumentError::Expired { not_after: UnixMillis(0), now }.to_string();
        assert!(said.contains("1970-01-01 00:00:00 UTC") && said.contains("2026-03-31"), "{said}");
    }
}
